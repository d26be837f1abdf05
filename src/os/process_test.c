#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing.h"
#include "os/process.h"

static void *do_nothing(void *argument)
{
	return argument;
}

static void what_the_child_opens_outlives_it(void **state)
{
	int *shared = mmap(
		NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	char byte;
	pid_t pid;

	(void)state;
	assert_ptr_not_equal(shared, MAP_FAILED);
	pid = process_fork_sharing_descriptors();
	assert_true(pid >= 0);
	if (pid == 0) {
		int ends[2];

		if (pipe(ends) == 0 && write(ends[1], "x", 1) == 1) {
			*shared = ends[0];
		}
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(read(*shared, &byte, 1), 1);
	assert_int_equal(byte, 'x');
	(void)close(*shared);
	(void)munmap(shared, sizeof *shared);
}

static void the_child_is_a_whole_process(void **state)
{
	const pid_t parent = getpid();
	const pid_t pid = process_fork_sharing_descriptors();
	int status;

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		pthread_t thread;
		pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
		void *block = malloc(100000);
		bool good = block != NULL && getpid() == gettid() && getppid() == parent &&
			process_die_with_parent(parent);

		free(block);
		good = good && pthread_create(&thread, NULL, do_nothing, NULL) == 0 &&
			pthread_join(thread, NULL) == 0;
		good = good && pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0;
		_exit(good ? 7 : 8);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 7);
}

static void a_thread_of_a_child_is_seen(void **state)
{
	const pid_t pid = process_fork_sharing_descriptors();
	struct process_thread thread = {.cpu_ns = 0};

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0) {
		volatile uint64_t n = 0;

		while (getppid() != 1) {
			n++;
		}
		_exit(0);
	}
	while (thread.cpu_ns == 0) {
		assert_true(process_look_at_thread(pid, pid, &thread));
	}
	assert_int_equal(thread.state, 'R');
	assert_false(process_is_traced(pid));
	assert_int_equal(kill(pid, SIGSTOP), 0);
	while (thread.state != 'T') {
		assert_true(process_look_at_thread(pid, pid, &thread));
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_false(process_look_at_thread(pid, pid, &thread));
}

static void the_table_grows_and_stays_empty(void **state)
{
	(void)state;
	process_grow_table(900);
	assert_int_equal(fcntl(899, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
	process_grow_table(0);
	process_grow_table(1);
}

static void the_oom_score_can_be_raised(void **state)
{
	int before;
	int after;

	(void)state;
	assert_true(process_oom_score(&before));
	process_set_oom_score(before + 1);
	assert_true(process_oom_score(&after));
	assert_int_equal(after, before + 1);
}

static void all_children_are_ended(void **state)
{
	pid_t pids[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		while (pids[i] == 0) {
			(void)pause();
		}
	}
	assert_true(process_ended_cpu_ns() > 0); /* of the children of other tests */
	process_end_children();
	for (int i = 0; i < 3; i++) {
		assert_int_equal(kill(pids[i], 0), -1);
	}
	process_end_children(); /* none is left: nothing happens */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_child_opens_outlives_it),
		cmocka_unit_test(the_child_is_a_whole_process),
		cmocka_unit_test(a_thread_of_a_child_is_seen),
		cmocka_unit_test(the_table_grows_and_stays_empty),
		cmocka_unit_test(all_children_are_ended),
		cmocka_unit_test(the_oom_score_can_be_raised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
