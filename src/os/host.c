#include "os/host.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "os/batch.h"
#include "os/steering.h"
#include "os/thread.h"

/* The first line of a file, without its end. False: there is none. */
static bool read_line(const char *root, const char *name, char *line, size_t size)
{
	char path[HOST_PATH_MAX + 256];
	ssize_t length;
	int fd;

	if (snprintf(path, sizeof path, "%s%s", root, name) >= (int)sizeof path) {
		return false;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return false;
	}
	length = read(fd, line, size - 1);
	(void)close(fd);
	if (length <= 0) {
		return false;
	}
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static int64_t parse_number(const char *text, const char **ret_rest)
{
	char *end;
	long long number;

	errno = 0;
	number = strtoll(text, &end, 10);
	if (errno != 0 || end == text || number < 0) {
		return HOST_ABSENT;
	}
	*ret_rest = end;
	return number;
}

int64_t host_number(const char *root, const char *name)
{
	char line[64];
	const char *rest;

	return read_line(root, name, line, sizeof line) ? parse_number(line, &rest) : HOST_ABSENT;
}

static void read_word(const char *root, const char *name, char word[static HOST_WORD_MAX])
{
	if (!read_line(root, name, word, HOST_WORD_MAX)) {
		word[0] = '\0';
	}
}

/* "always [madvise] never": the choice that holds. */
static void read_choice(const char *root, const char *name, char word[static HOST_WORD_MAX])
{
	char line[HOST_WORD_MAX];
	char *start;

	word[0] = '\0';
	if (!read_line(root, name, line, sizeof line)) {
		return;
	}
	start = strchr(line, '[');
	if (start != NULL) {
		start++;
		start[strcspn(start, "]")] = '\0';
		(void)snprintf(word, HOST_WORD_MAX, "%s", start);
	}
}

void host_local_ports(const char *root, int64_t *ret_first, int64_t *ret_last)
{
	char line[64];
	const char *rest = NULL;

	*ret_first = HOST_ABSENT;
	*ret_last = HOST_ABSENT;
	if (!read_line(root, "/proc/sys/net/ipv4/ip_local_port_range", line, sizeof line)) {
		return;
	}
	*ret_first = parse_number(line, &rest);
	if (*ret_first != HOST_ABSENT) {
		*ret_last = parse_number(rest, &rest);
	}
}

/* Of the cgroup in the unified hierarchy, which the line "0::/path" names. */
static int64_t read_oom_group(const char *root)
{
	char name[HOST_PATH_MAX + 64];
	char path[HOST_PATH_MAX];
	char line[HOST_PATH_MAX];
	int64_t group = HOST_ABSENT;
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
	file = fopen(path, "re");
	if (file == NULL) {
		return HOST_ABSENT;
	}
	while (fgets(line, sizeof line, file) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::", 3) == 0) {
			(void)snprintf(
				name, sizeof name, "/sys/fs/cgroup%s/memory.oom.group", line + 3);
			group = host_number(root, name);
		}
	}
	(void)fclose(file);
	return group;
}

static bool has_right(unsigned capability)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	if (syscall(SYS_capget, &header, data) < 0) {
		return false;
	}
	return (data[capability / 32].effective >> (capability % 32) & 1) != 0;
}

static int64_t hard_limit(__rlimit_resource_t resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0) {
		return HOST_ABSENT;
	}
	return limit.rlim_max > INT64_MAX ? INT64_MAX : (int64_t)limit.rlim_max;
}

static int try_uring(void)
{
	struct batch *batch = NULL;
	const int r = batch_create(&batch);

	batch_free(batch);
	return -r;
}

static int try_thread_address(void)
{
	void *address = NULL;

	return prctl(PR_GET_TID_ADDRESS, &address) == 0 ? 0 : errno;
}

static void read_process(struct host *host)
{
	const ssize_t length = readlink("/proc/self/exe", host->program, sizeof host->program - 1);

	host->program[length > 0 ? length : 0] = '\0';
	host->user = geteuid();
	host->bind_right = has_right(CAP_NET_BIND_SERVICE);
	host->resource_right = has_right(CAP_SYS_RESOURCE);
	host->descriptors = hard_limit(RLIMIT_NOFILE);
	host->core_bytes = hard_limit(RLIMIT_CORE);
	host->bpf_error = -steering_try(NULL);
	host->uring_error = try_uring();
	host->thread_error = try_thread_address();
	host->cpus = thread_cpu_count();
}

static void read_kernel(const char *root, struct host *host)
{
	static const char thp[] = "/sys/kernel/mm/transparent_hugepage/";
	char name[128];
	struct utsname system;

	host->release[0] = '\0';
	if (uname(&system) == 0) {
		(void)snprintf(host->release, sizeof host->release, "%s", system.release);
	}
	host->nr_open = host_number(root, "/proc/sys/fs/nr_open");
	host->somaxconn = host_number(root, "/proc/sys/net/core/somaxconn");
	host->syn_backlog = host_number(root, "/proc/sys/net/ipv4/tcp_max_syn_backlog");
	host->syncookies = host_number(root, "/proc/sys/net/ipv4/tcp_syncookies");
	host_local_ports(root, &host->port_first, &host->port_last);
	host->tw_reuse = host_number(root, "/proc/sys/net/ipv4/tcp_tw_reuse");
	host->pipe_max_bytes = host_number(root, "/proc/sys/fs/pipe-max-size");
	host->pipe_pages_soft = host_number(root, "/proc/sys/fs/pipe-user-pages-soft");
	host->memfd_noexec = host_number(root, "/proc/sys/vm/memfd_noexec");
	host->unprivileged_port =
		host_number(root, "/proc/sys/net/ipv4/ip_unprivileged_port_start");
	host->conntrack_max = host_number(root, "/proc/sys/net/netfilter/nf_conntrack_max");
	host->oom_group = read_oom_group(root);
	read_word(root, "/proc/sys/net/ipv4/tcp_congestion_control", host->congestion);
	read_word(root, "/proc/sys/kernel/core_pattern", host->core_pattern);
	(void)snprintf(name, sizeof name, "%senabled", thp);
	read_choice(root, name, host->huge_pages);
	(void)snprintf(name, sizeof name, "%sshmem_enabled", thp);
	read_choice(root, name, host->huge_shared);
}

void host_read(const char *root, struct host *ret_host)
{
	read_process(ret_host);
	read_kernel(root, ret_host);
}
