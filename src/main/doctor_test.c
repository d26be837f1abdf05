#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/array.h"
#include "base/testing.h"
#include "main/doctor.h"

/* A machine on which there is nothing to be mended. */
static struct host healthy(void)
{
	return (struct host){
		.bind_right = true,
		.resource_right = true,
		.descriptors = 1 << 20,
		.core_bytes = INT64_MAX,
		.cpus = 4,
		.program = "/usr/bin/loble",
		.release = "6.1.0-18-amd64",
		.nr_open = 1 << 20,
		.somaxconn = 4096,
		.syn_backlog = 4096,
		.syncookies = 1,
		.port_first = 32768,
		.port_last = 60999,
		.tw_reuse = 1,
		.pipe_max_bytes = 1 << 20,
		.pipe_pages_soft = 16384,
		.memfd_noexec = 0,
		.unprivileged_port = 1024,
		.conntrack_max = HOST_ABSENT,
		.oom_group = 0,
		.congestion = "cubic",
		.core_pattern = "core",
		.huge_pages = "madvise",
		.huge_shared = "never",
	};
}

static void find(const struct host *host, const char *name, struct doctor_finding *ret_finding)
{
	*ret_finding = (struct doctor_finding){.name = NULL};
	for (size_t i = 0; i < doctor_count(); i++) {
		doctor_judge(host, i, ret_finding);
		if (strcmp(ret_finding->name, name) == 0) {
			return;
		}
	}
	fail_msg("there is no matter \"%s\"", name);
}

static void a_healthy_machine_has_nothing_to_mend(void **state)
{
	const struct host host = healthy();
	struct doctor_finding finding;

	(void)state;
	for (size_t i = 0; i < doctor_count(); i++) {
		doctor_judge(&host, i, &finding);
		if (finding.warn || finding.mend[0] != '\0' || finding.text[0] == '\0') {
			fail_msg("%s: %s", finding.name, finding.text);
		}
	}
}

static void what_cannot_be_read_is_no_warning(void **state)
{
	struct host host = healthy();
	struct doctor_finding finding;

	(void)state;
	host.nr_open = host.somaxconn = host.port_first = host.port_last = HOST_ABSENT;
	host.tw_reuse = host.pipe_max_bytes = host.pipe_pages_soft = HOST_ABSENT;
	host.memfd_noexec = host.oom_group = HOST_ABSENT;
	host.congestion[0] = host.core_pattern[0] = host.huge_pages[0] = '\0';
	for (size_t i = 0; i < doctor_count(); i++) {
		doctor_judge(&host, i, &finding);
		if (finding.warn) {
			fail_msg("%s: %s", finding.name, finding.text);
		}
	}
}

/* Each makes one thing worse and says which matter has to notice, and what it has to advise. */
static void old_kernel(struct host *host)
{
	(void)strncpy(host->release, "4.19.0-26", sizeof host->release - 1);
}

static void few_descriptors(struct host *host)
{
	host->resource_right = false;
	host->descriptors = 4096;
}

static void few_descriptors_at_all(struct host *host)
{
	host->nr_open = 1024;
	host->descriptors = 1024;
}

static void short_queue(struct host *host)
{
	host->somaxconn = 128;
}

static void no_cookies(struct host *host)
{
	host->syncookies = 0;
}

static void few_ports(struct host *host)
{
	host->port_last = 33000;
}

static void no_reuse(struct host *host)
{
	host->tw_reuse = 2;
}

static void few_pipes(struct host *host)
{
	host->resource_right = false;
}

static void small_pipes(struct host *host)
{
	host->resource_right = false;
	host->pipe_max_bytes = 65536;
}

static void no_exec(struct host *host)
{
	host->memfd_noexec = 2;
}

static void no_restore(struct host *host)
{
	host->thread_error = EINVAL;
}

static void no_bpf(struct host *host)
{
	host->bpf_error = EPERM;
}

static void no_uring(struct host *host)
{
	host->uring_error = EPERM;
}

static void old_uring(struct host *host)
{
	host->uring_error = EINVAL;
}

static void no_liburing(struct host *host)
{
	host->uring_error = EOPNOTSUPP;
}

static void no_low_ports(struct host *host)
{
	host->bind_right = false;
}

static void huge_shared(struct host *host)
{
	(void)strncpy(host->huge_shared, "force", sizeof host->huge_shared - 1);
}

static void huge_everywhere(struct host *host)
{
	(void)strncpy(host->huge_pages, "always", sizeof host->huge_pages - 1);
}

static void no_cores(struct host *host)
{
	host->core_bytes = 0;
}

static void killed_as_a_group(struct host *host)
{
	host->oom_group = 1;
}

static void little_tracking(struct host *host)
{
	host->conntrack_max = 65536;
}

/* Unless it is the matter itself. Who may raise no limit has few pipes, too. */
static void expect_silence(const struct doctor_finding *finding, const char *matter)
{
	const bool related =
		strcmp(matter, "descriptors") == 0 && strcmp(finding->name, "pipes") == 0;

	assert_int_equal(finding->warn, finding->mend[0] != '\0');
	if (finding->warn && strcmp(finding->name, matter) != 0 && !related) {
		fail_msg("%s: %s warns too", matter, finding->name);
	}
}

static void each_trouble_is_noticed_once(void **state)
{
	static const struct {
		void (*worsen)(struct host *host);
		const char *name;
		const char *mend;
	} cases[] = {
		{old_kernel, "kernel", "upgrade"},
		{few_descriptors, "descriptors", "ulimit -Hn 1048576"},
		{few_descriptors_at_all, "descriptors", "fs.nr_open=1048576"},
		{short_queue, "accept_queue", "net.core.somaxconn=4096"},
		{no_cookies, "syn_queue", "net.ipv4.tcp_syncookies=1"},
		{few_ports, "local_ports", "net.ipv4.ip_local_port_range="},
		{no_reuse, "time_wait", "net.ipv4.tcp_tw_reuse=1"},
		{few_pipes, "pipes", "fs.pipe-user-pages-soft=131072"},
		{small_pipes, "pipes", "fs.pipe-max-size=1048576"},
		{no_exec, "upgrade", "vm.memfd_noexec=1"},
		{no_restore, "supervisor", "CONFIG_CHECKPOINT_RESTORE"},
		{no_bpf, "steering", "setcap cap_bpf,cap_net_bind_service=ep /usr/bin/loble"},
		{no_uring, "io_uring", "kernel.io_uring_disabled=0"},
		{no_liburing, "io_uring", "liburing-dev"},
		{old_uring, "io_uring", "from Linux 5.18 on"},
		{no_low_ports, "low_ports",
			"setcap cap_bpf,cap_net_bind_service=ep /usr/bin/loble"},
		{huge_shared, "huge_pages", "echo advise > "},
		{huge_everywhere, "huge_pages", "echo madvise > "},
		{no_cores, "cores", "ulimit -Hc unlimited"},
		{killed_as_a_group, "out_of_memory", "OOMPolicy=continue"},
		{little_tracking, "conntrack", "nf_conntrack_max=1048576"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct host host = healthy();
		struct doctor_finding finding;

		cases[i].worsen(&host);
		for (size_t k = 0; k < doctor_count(); k++) {
			doctor_judge(&host, k, &finding);
			expect_silence(&finding, cases[i].name);
		}
		find(&host, cases[i].name, &finding);
		if (!finding.warn || strstr(finding.mend, cases[i].mend) == NULL) {
			fail_msg("case %zu: %s: \"%s\"", i, finding.name, finding.mend);
		}
	}
}

static void what_helps_makes_it_good(void **state)
{
	struct host host = healthy();
	struct doctor_finding finding;

	(void)state;
	/* Who may raises the limit itself. */
	host.descriptors = 1024;
	find(&host, "descriptors", &finding);
	assert_false(finding.warn);
	/* Low ports are free for all on some systems. */
	host.bind_right = false;
	host.unprivileged_port = 0;
	find(&host, "low_ports", &finding);
	assert_false(finding.warn);
	/* A crash handler gets cores of any size. */
	host.core_bytes = 0;
	(void)strncpy(host.core_pattern, "|/usr/lib/handler %p", sizeof host.core_pattern - 1);
	find(&host, "cores", &finding);
	assert_false(finding.warn);
	/* The longest path leaves the command whole. */
	host.bpf_error = EPERM;
	memset(host.program, 'p', sizeof host.program - 1);
	find(&host, "steering", &finding);
	assert_non_null(strstr(finding.mend, "SystemCallFilter=bpf"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_healthy_machine_has_nothing_to_mend),
		cmocka_unit_test(what_cannot_be_read_is_no_warning),
		cmocka_unit_test(each_trouble_is_noticed_once),
		cmocka_unit_test(what_helps_makes_it_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
