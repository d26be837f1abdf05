#include "main/doctor.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "main/descriptors.h"
#include "model/limits.h"

enum {
	KERNEL_MAJOR = 5, /* what is used at least came with 5.10 */
	KERNEL_MINOR = 10,
	DESCRIPTORS_FEW = 65536,
	BACKLOG = 4096,    /* the default of a listener */
	PORTS_FEW = 28000, /* the usual range has 28,232 */
	CONNTRACK_FEW = 262144,
	PIPE_BYTES = 1024 * 1024,
	PIPE_PAGES = PIPE_BYTES / 4096,
};

static void say(struct doctor_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void mend(struct doctor_finding *finding, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct doctor_finding *finding, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	(void)vsnprintf(finding->text, sizeof finding->text, format, values);
	va_end(values);
}

/* What has a mend is a warning, and the other way round. */
static void mend(struct doctor_finding *finding, const char *format, ...)
{
	va_list values;

	finding->warn = true;
	va_start(values, format);
	(void)vsnprintf(finding->mend, sizeof finding->mend, format, values);
	va_end(values);
}

static void judge_kernel(const struct host *host, struct doctor_finding *finding)
{
	char *end;
	const long major = strtol(host->release, &end, 10);
	const long minor = *end == '.' ? strtol(end + 1, NULL, 10) : 0;

	say(finding, "Linux %s", host->release);
	if (major < KERNEL_MAJOR || (major == KERNEL_MAJOR && minor < KERNEL_MINOR)) {
		say(finding, "Linux %s is older than %d.%d, the oldest that loble is made for",
			host->release, KERNEL_MAJOR, KERNEL_MINOR);
		mend(finding, "apt full-upgrade");
	}
}

static void judge_descriptors(const struct host *host, struct doctor_finding *finding)
{
	int64_t limit = host->descriptors;

	/* Who may does it at the start. */
	if (host->resource_right && limit < DESCRIPTORS_WANTED) {
		limit = host->nr_open == HOST_ABSENT || host->nr_open > DESCRIPTORS_WANTED
			? DESCRIPTORS_WANTED
			: host->nr_open;
	}
	say(finding, "%" PRId64 " descriptors, enough for %" PRIu32 " sessions", limit,
		descriptors_to_sessions(limit < 0 ? 0 : (uint64_t)limit));
	if (limit >= DESCRIPTORS_FEW) {
		return;
	}
	if (host->nr_open != HOST_ABSENT && host->nr_open < DESCRIPTORS_FEW) {
		mend(finding, "sysctl -w fs.nr_open=%d", DESCRIPTORS_WANTED);
		return;
	}
	mend(finding, "ulimit -Hn %d    # in a unit: LimitNOFILE=%d", DESCRIPTORS_WANTED,
		DESCRIPTORS_WANTED);
}

static void judge_accept_queue(const struct host *host, struct doctor_finding *finding)
{
	if (host->somaxconn == HOST_ABSENT) {
		say(finding, "net.core.somaxconn cannot be read");
		return;
	}
	say(finding, "up to %" PRId64 " clients wait to be accepted (net.core.somaxconn)",
		host->somaxconn);
	if (host->somaxconn < BACKLOG) {
		mend(finding, "sysctl -w net.core.somaxconn=%d", BACKLOG);
	}
}

static void judge_syn_queue(const struct host *host, struct doctor_finding *finding)
{
	if (host->syn_backlog == HOST_ABSENT) {
		say(finding, "net.ipv4.tcp_max_syn_backlog cannot be read");
		return;
	}
	say(finding, "%" PRId64 " handshakes at once (net.ipv4.tcp_max_syn_backlog)%s",
		host->syn_backlog, host->syncookies > 0 ? ", then SYN cookies" : "");
	if (host->syncookies == 0) {
		say(finding, "a flood of SYNs locks clients out: SYN cookies are off");
		mend(finding, "sysctl -w net.ipv4.tcp_syncookies=1");
	} else if (host->syn_backlog < BACKLOG && host->syncookies == HOST_ABSENT) {
		mend(finding, "sysctl -w net.ipv4.tcp_max_syn_backlog=%d", BACKLOG);
	}
}

static void judge_ports(const struct host *host, struct doctor_finding *finding)
{
	const int64_t count = host->port_last - host->port_first + 1;

	if (host->port_first == HOST_ABSENT || host->port_last == HOST_ABSENT) {
		say(finding, "net.ipv4.ip_local_port_range cannot be read");
		return;
	}
	say(finding, "%" PRId64 " ports: so many connections to one backend at a time", count);
	if (count < PORTS_FEW) {
		mend(finding, "sysctl -w net.ipv4.ip_local_port_range='10240 60999'");
	}
}

static void judge_time_wait(const struct host *host, struct doctor_finding *finding)
{
	if (host->tw_reuse == HOST_ABSENT) {
		say(finding, "net.ipv4.tcp_tw_reuse cannot be read");
	} else if (host->tw_reuse == 1) {
		say(finding, "ports of ended connections are used again after a second");
	} else {
		say(finding,
			"a port to a backend rests 60 s after its connection "
			"(net.ipv4.tcp_tw_reuse = %" PRId64 ")",
			host->tw_reuse);
		mend(finding, "sysctl -w net.ipv4.tcp_tw_reuse=1");
	}
}

/* A bulk direction has a pipe of 1 MiB, where it gets one. */
static void judge_pipes(const struct host *host, struct doctor_finding *finding)
{
	const int64_t pages = (int64_t)host->cpus * BULK_PIPES_PER_WORKER * PIPE_PAGES;

	if (host->pipe_max_bytes != HOST_ABSENT && host->pipe_max_bytes < PIPE_BYTES &&
		!host->resource_right) {
		say(finding, "pipes of at most %" PRId64 " bytes: bulk transfers cost more CPU",
			host->pipe_max_bytes);
		mend(finding, "sysctl -w fs.pipe-max-size=%d", PIPE_BYTES);
		return;
	}
	if (host->pipe_pages_soft > 0 && host->pipe_pages_soft < pages && !host->resource_right) {
		say(finding,
			"%" PRId64 " bulk transfers at a time, then they cost more CPU "
			"(fs.pipe-user-pages-soft)",
			host->pipe_pages_soft / PIPE_PAGES);
		mend(finding, "sysctl -w fs.pipe-user-pages-soft=%" PRId64, pages);
		return;
	}
	say(finding, "large pipes for bulk transfers");
}

static void judge_memfd(const struct host *host, struct doctor_finding *finding)
{
	if (host->memfd_noexec == 2) {
		say(finding,
			"a binary in memory cannot be run: an upgrade that fails finds no way "
			"back when the old file was overwritten");
		mend(finding, "sysctl -w vm.memfd_noexec=1");
		return;
	}
	say(finding, "an upgrade can keep a copy of the old binary");
}

static void judge_supervisor(const struct host *host, struct doctor_finding *finding)
{
	if (host->thread_error == 0) {
		say(finding, "a worker process that crashes can be replaced");
		return;
	}
	say(finding, "the kernel lacks CONFIG_CHECKPOINT_RESTORE (PR_GET_TID_ADDRESS): %s",
		strerrordesc_np(host->thread_error));
	mend(finding, "grep CONFIG_CHECKPOINT_RESTORE /boot/config-$(uname -r)    # y is needed");
}

static const char *program_of(const struct host *host)
{
	return host->program[0] != '\0' ? host->program : "$(command -v loble)";
}

static void judge_steering(const struct host *host, struct doctor_finding *finding)
{
	if (host->bpf_error == 0) {
		say(finding, "new clients go to the least loaded worker (BPF)");
		return;
	}
	say(finding, "new clients are spread by a hash, not by load: no BPF: %s",
		strerrordesc_np(host->bpf_error));
	mend(finding,
		"setcap cap_bpf,cap_net_bind_service=ep %s    # in a unit: AmbientCapabilities=, "
		"CapabilityBoundingSet= CAP_BPF, SystemCallFilter=bpf",
		program_of(host));
}

static void judge_uring(const struct host *host, struct doctor_finding *finding)
{
	if (host->uring_error == 0) {
		say(finding, "small messages of many sessions share system calls (io_uring)");
		return;
	}
	say(finding, "each small message takes system calls of its own: no io_uring: %s",
		strerrordesc_np(host->uring_error));
	if (host->uring_error == EOPNOTSUPP) {
		mend(finding, "apt-get install liburing-dev    # and build %s again",
			program_of(host));
		return;
	}
	if (host->uring_error == EINVAL || host->uring_error == ENOSYS) {
		mend(finding,
			"grep CONFIG_IO_URING /boot/config-$(uname -r)    # y, from Linux 5.18 on");
		return;
	}
	mend(finding,
		"sysctl -w kernel.io_uring_disabled=0    # in a unit: SystemCallFilter=@aio; in a "
		"container: let its seccomp profile pass io_uring_setup, _enter, _register");
}

static void judge_low_ports(const struct host *host, struct doctor_finding *finding)
{
	if (host->bind_right) {
		say(finding, "any port can be listened on");
		return;
	}
	say(finding, "no port below %" PRId64 " can be listened on",
		host->unprivileged_port == HOST_ABSENT ? 1024 : host->unprivileged_port);
	if (host->unprivileged_port == HOST_ABSENT || host->unprivileged_port > 80) {
		mend(finding,
			"setcap cap_bpf,cap_net_bind_service=ep %s    # in a unit: "
			"AmbientCapabilities=CAP_NET_BIND_SERVICE",
			program_of(host));
	}
}

static void judge_congestion(const struct host *host, struct doctor_finding *finding)
{
	if (host->congestion[0] == '\0') {
		say(finding, "the default of the kernel");
	} else if (strcmp(host->congestion, "bbr") == 0) {
		say(finding, "bbr");
	} else {
		say(finding, "%s; where paths to clients are lossy, bbr moves more",
			host->congestion);
	}
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
	return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* What is used here and there would take 2 MiB for each touch. */
static void judge_huge_pages(const struct host *host, struct doctor_finding *finding)
{
	static const char folder[] = "/sys/kernel/mm/transparent_hugepage";

	if (is_one_of(host->huge_shared, "always", "force")) {
		say(finding, "huge pages for shared memory: an idle session takes more of it");
		mend(finding, "echo advise > %s/shmem_enabled", folder);
	} else if (strcmp(host->huge_pages, "always") == 0) {
		say(finding, "huge pages for all memory: an idle session takes more of it");
		mend(finding, "echo madvise > %s/enabled", folder);
	} else {
		say(finding, "no huge pages where nobody asks for them");
	}
}

static void judge_cores(const struct host *host, struct doctor_finding *finding)
{
	if (host->core_pattern[0] == '|') {
		say(finding, "a crash is given to %s", host->core_pattern + 1);
		return;
	}
	if (host->core_bytes == 0) {
		say(finding, "a crash leaves no core to find its cause in");
		mend(finding, "ulimit -Hc unlimited    # in a unit: LimitCORE=infinity");
		return;
	}
	say(finding, "a crash may leave a core: \"%s\"", host->core_pattern);
}

static void judge_memory(const struct host *host, struct doctor_finding *finding)
{
	if (host->oom_group == 1) {
		say(finding, "when memory runs out, the whole unit is killed with one process");
		mend(finding, "systemctl edit loble    # [Service] OOMPolicy=continue");
		return;
	}
	say(finding, "when memory runs out, a process is killed, and not the whole unit");
}

static void judge_conntrack(const struct host *host, struct doctor_finding *finding)
{
	if (host->conntrack_max == HOST_ABSENT) {
		say(finding, "connections are not tracked");
		return;
	}
	say(finding,
		"%" PRId64 " tracked connections; a session is two of them "
		"(net.netfilter.nf_conntrack_max)",
		host->conntrack_max);
	if (host->conntrack_max < CONNTRACK_FEW) {
		mend(finding, "sysctl -w net.netfilter.nf_conntrack_max=%d", 4 * CONNTRACK_FEW);
	}
}

static const struct matter {
	const char *name;
	void (*judge)(const struct host *host, struct doctor_finding *finding);
} matters[] = {
	{"kernel", judge_kernel},
	{"descriptors", judge_descriptors},
	{"accept_queue", judge_accept_queue},
	{"syn_queue", judge_syn_queue},
	{"local_ports", judge_ports},
	{"time_wait", judge_time_wait},
	{"pipes", judge_pipes},
	{"supervisor", judge_supervisor},
	{"upgrade", judge_memfd},
	{"steering", judge_steering},
	{"io_uring", judge_uring},
	{"low_ports", judge_low_ports},
	{"congestion", judge_congestion},
	{"huge_pages", judge_huge_pages},
	{"cores", judge_cores},
	{"out_of_memory", judge_memory},
	{"conntrack", judge_conntrack},
};

size_t doctor_count(void)
{
	return ARRAY_COUNT(matters);
}

void doctor_judge(const struct host *host, size_t number, struct doctor_finding *ret_finding)
{
	assert(number < ARRAY_COUNT(matters));

	ret_finding->name = matters[number].name;
	ret_finding->warn = false;
	ret_finding->text[0] = '\0';
	ret_finding->mend[0] = '\0';
	matters[number].judge(host, ret_finding);
}
