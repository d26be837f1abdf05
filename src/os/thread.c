#include "os/thread.h"

#include <assert.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/error.h"

enum { THREAD_NAME_MAX = 16 };

int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *argument,
	struct error *err)
{
	sigset_t all;
	sigset_t before;
	int code;

	assert(strlen(name) < THREAD_NAME_MAX);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &before);
	code = pthread_create(ret_thread, NULL, run, argument);
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (code != 0) {
		return error_set(err, code, "cannot start the thread %s", name);
	}
	(void)pthread_setname_np(*ret_thread, name);
	return 0;
}

static bool usable_cpus(cpu_set_t *ret_set)
{
	CPU_ZERO(ret_set);
	return sched_getaffinity(0, sizeof *ret_set, ret_set) == 0 && CPU_COUNT(ret_set) > 0;
}

uint32_t thread_cpu_count(void)
{
	cpu_set_t set;

	return usable_cpus(&set) ? (uint32_t)CPU_COUNT(&set) : 1;
}

void thread_exact_timers(void)
{
	(void)prctl(PR_SET_TIMERSLACK, 1UL); /* ns; 0 would be the default */
}

uint32_t thread_kernel_id(void)
{
	return (uint32_t)gettid();
}

void thread_pin(uint32_t n)
{
	cpu_set_t usable;
	cpu_set_t one;

	if (!usable_cpus(&usable)) {
		return;
	}
	n %= (uint32_t)CPU_COUNT(&usable);
	for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &usable) && n-- == 0) {
			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			(void)pthread_setaffinity_np(pthread_self(), sizeof one, &one);
			return;
		}
	}
}
