#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/error.h"
#include "base/testing.h"
#include "os/thread.h"

struct seen {
	char name[16];
	bool blocked; /* SIGTERM is blocked in the thread */
	int cpus;     /* after pinning */
};

static void *look(void *argument)
{
	struct seen *seen = argument;
	sigset_t set;
	cpu_set_t cpus;

	(void)pthread_sigmask(SIG_BLOCK, NULL, &set);
	seen->blocked = sigismember(&set, SIGTERM) == 1;
	thread_pin(1000);
	(void)sched_getaffinity(0, sizeof cpus, &cpus);
	seen->cpus = CPU_COUNT(&cpus);
	return NULL;
}

static void a_thread_has_no_signals_and_one_cpu_when_pinned(void **state)
{
	struct seen seen = {.blocked = false};
	sigset_t before;
	sigset_t after;
	pthread_t thread;
	struct error err;

	(void)state;
	(void)pthread_sigmask(SIG_BLOCK, NULL, &before);
	assert_int_equal(thread_start(&thread, "test-thread", look, &seen, &err), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(seen.blocked);
	assert_int_equal(seen.cpus, 1);
	(void)pthread_sigmask(SIG_BLOCK, NULL, &after);
	assert_int_equal(sigismember(&before, SIGTERM), sigismember(&after, SIGTERM));
}

static void there_is_at_least_one_cpu(void **state)
{
	(void)state;
	assert_true(thread_cpu_count() >= 1);
}

static void timers_can_be_exact(void **state)
{
	const int before = prctl(PR_GET_TIMERSLACK);

	(void)state;
	thread_exact_timers();
	assert_int_equal(prctl(PR_GET_TIMERSLACK), 1);
	(void)prctl(PR_SET_TIMERSLACK, (unsigned long)before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thread_has_no_signals_and_one_cpu_when_pinned),
		cmocka_unit_test(there_is_at_least_one_cpu),
		cmocka_unit_test(timers_can_be_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
