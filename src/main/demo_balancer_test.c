#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing.h"
#include "main/demo_balancer.h"

/* A balancer whose log is what we write. Returns the end to write to. */
static int open_log(struct demo_balancer *balancer)
{
	int ends[2];

	memset(balancer, 0, sizeof *balancer);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	balancer->log_fd = ends[0];
	return ends[1];
}

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void lines_come_one_at_a_time(void **state)
{
	struct demo_balancer balancer;
	const int fd = open_log(&balancer);

	(void)state;
	assert_null(demo_balancer_line(&balancer));
	put(fd, "one\ntwo\nthr");
	assert_string_equal(demo_balancer_line(&balancer), "one");
	assert_string_equal(demo_balancer_line(&balancer), "two");
	assert_null(demo_balancer_line(&balancer));
	put(fd, "ee\n\n");
	assert_string_equal(demo_balancer_line(&balancer), "three");
	assert_string_equal(demo_balancer_line(&balancer), "");
	assert_true(balancer.log_fd >= 0);
	assert_int_equal(close(fd), 0);
	assert_null(demo_balancer_line(&balancer));
	assert_int_equal(balancer.log_fd, -1);
	assert_null(demo_balancer_line(&balancer));
}

static void a_line_without_end_is_left_out(void **state)
{
	static char text[DEMO_LINE_MAX + 2];
	struct demo_balancer balancer;
	const int fd = open_log(&balancer);

	(void)state;
	memset(text, 'x', DEMO_LINE_MAX + 1);
	put(fd, text);
	assert_null(demo_balancer_line(&balancer));
	put(fd, "\nnext\n");
	assert_string_equal(demo_balancer_line(&balancer), "next");
	assert_int_equal(close(fd), 0);
	assert_null(demo_balancer_line(&balancer));
}

/* Stands for a balancer: ends with this code, or never. */
static void fork_one(struct demo_balancer *balancer, int code)
{
	memset(balancer, 0, sizeof *balancer);
	balancer->log_fd = -1;
	balancer->pid = fork();
	assert_true(balancer->pid >= 0);
	if (balancer->pid == 0) {
		if (code < 0) {
			(void)pause();
		}
		_exit(code);
	}
}

static void the_end_is_told_by_its_code(void **state)
{
	struct demo_balancer balancer;

	(void)state;
	fork_one(&balancer, 78);
	assert_int_equal(demo_balancer_join(&balancer, 20000), 78);
	fork_one(&balancer, -1);
	demo_balancer_stop(&balancer);
	assert_int_equal(demo_balancer_join(&balancer, 20000), 128 + SIGTERM);
	fork_one(&balancer, -1);
	assert_int_equal(demo_balancer_join(&balancer, 0), 128 + SIGKILL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_one_at_a_time),
		cmocka_unit_test(a_line_without_end_is_left_out),
		cmocka_unit_test(the_end_is_told_by_its_code),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
