#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/testing.h"
#include "os/pipe.h"

static void a_pipe_is_large_survives_exec_and_does_not_block(void **state)
{
	int ends[2];
	char byte;

	(void)state;
	assert_int_equal(pipe_open(1024 * 1024, ends), 0);
	assert_true(fcntl(ends[1], F_GETPIPE_SZ) >= 64 * 1024);
	assert_int_equal(fcntl(ends[0], F_GETFD) & FD_CLOEXEC, 0);
	assert_int_equal(read(ends[0], &byte, 1), -1);
	assert_int_equal(errno, EAGAIN);
	pipe_close(ends);
	assert_int_equal(fcntl(ends[0], F_GETFD), -1);
	assert_int_equal(fcntl(ends[1], F_GETFD), -1);
}

static void without_descriptors_the_failure_is_told(void **state)
{
	struct rlimit before;
	struct rlimit none;
	int ends[2];

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(pipe_open(65536, ends), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pipe_is_large_survives_exec_and_does_not_block),
		cmocka_unit_test(without_descriptors_the_failure_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
