#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/testing.h"
#include "os/host.h"

static void put(const char *root, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s%s", root, name);
	for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
		*slash = '\0';
		(void)mkdir(path, 0700);
		*slash = '/';
	}
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void remove_tree(const char *root)
{
	char command[600];

	(void)snprintf(command, sizeof command, "rm -rf '%s'", root);
	/* NOLINTNEXTLINE(cert-env33-c,concurrency-mt-unsafe): a test, of its own folder. */
	assert_int_equal(system(command), 0);
}

static void settings_are_read(void **state)
{
	char root[] = "/tmp/loble-host-XXXXXX";
	struct host host;

	(void)state;
	assert_non_null(mkdtemp(root));
	put(root, "/proc/sys/net/core/somaxconn", "128\n");
	put(root, "/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n");
	put(root, "/proc/sys/net/ipv4/tcp_congestion_control", "bbr\n");
	put(root, "/proc/sys/vm/memfd_noexec", "2\n");
	put(root, "/proc/sys/fs/nr_open", "not a number\n");
	put(root, "/proc/sys/fs/pipe-max-size", "99999999999999999999999\n");
	put(root, "/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
	put(root, "/proc/self/cgroup", "3:memory:/old\n0::/system.slice/loble.service\n");
	put(root, "/sys/fs/cgroup/system.slice/loble.service/memory.oom.group", "1\n");
	host_read(root, &host);
	remove_tree(root);

	assert_int_equal(host.somaxconn, 128);
	assert_int_equal(host.port_first, 32768);
	assert_int_equal(host.port_last, 60999);
	assert_string_equal(host.congestion, "bbr");
	assert_int_equal(host.memfd_noexec, 2);
	assert_string_equal(host.huge_pages, "madvise");
	assert_int_equal(host.oom_group, 1);
	/* What is missing, or makes no sense. */
	assert_int_equal(host.nr_open, HOST_ABSENT);
	assert_int_equal(host.pipe_max_bytes, HOST_ABSENT);
	assert_int_equal(host.conntrack_max, HOST_ABSENT);
	assert_string_equal(host.core_pattern, "");
	assert_string_equal(host.huge_shared, "");
}

static void this_machine_can_be_read(void **state)
{
	struct host host;

	(void)state;
	host_read("", &host);
	assert_true(host.cpus >= 1);
	assert_true(host.descriptors > 0);
	assert_true(host.somaxconn > 0);
	assert_true(host.port_last > host.port_first);
	assert_non_null(strstr(host.program, "host_test"));
	assert_true(strlen(host.release) > 0);
	assert_int_equal(host.user, geteuid());
}

static void nothing_at_all_is_no_failure(void **state)
{
	struct host host;

	(void)state;
	host_read("/nowhere", &host);
	assert_int_equal(host.somaxconn, HOST_ABSENT);
	assert_int_equal(host.port_first, HOST_ABSENT);
	assert_int_equal(host.oom_group, HOST_ABSENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_read),
		cmocka_unit_test(this_machine_can_be_read),
		cmocka_unit_test(nothing_at_all_is_no_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
