#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "base/array.h"
#include "main/exit_code.h"
#include "main/plane.h"
#include "main/supervisor_internal.h"
#include "os/clock.h"

uint64_t supervisor_last_reload(const struct supervisor *supervisor)
{
	return counter_get(&supervisor->shm.header->process.reload_wall_ns);
}

void supervisor_take_orders(struct supervisor *supervisor)
{
	static const struct timespec now = {.tv_sec = 0};
	sigset_t stops;

	(void)sigemptyset(&stops);
	(void)sigaddset(&stops, SIGTERM);
	(void)sigaddset(&stops, SIGINT);
	while (sigtimedwait(&stops, NULL, &now) > 0) {
		stop_orders_add(&supervisor->orders, clock_monotonic_ns());
	}
}

/* Two signals, since two of a kind would be one. */
/* Once: were it the reload that the worker process died of, the next one is not to die of it. */
static void pass_on_reload(struct supervisor *supervisor, pid_t process)
{
	if (supervisor->reload_ordered &&
		supervisor_last_reload(supervisor) == supervisor->reload_before) {
		(void)kill(process, SIGHUP);
	}
	supervisor->reload_ordered = false;
}

void supervisor_pass_on_orders(struct supervisor *supervisor, pid_t process)
{
	static const int signals[] = {SIGTERM, SIGINT};
	const enum process_phase phase = (enum process_phase)atomic_load_explicit(
		&supervisor->shm.header->process.phase, memory_order_acquire);
	const uint32_t untold = stop_orders_untold(&supervisor->orders, phase);

	for (uint32_t i = 0; i < untold && i < ARRAY_COUNT(signals); i++) {
		(void)kill(process, signals[i]);
	}
	pass_on_reload(supervisor, process);
}

int supervisor_stop_alone(const struct supervisor *supervisor)
{
	(void)fprintf(stderr, "loble: stopped without a worker process, %llu sessions cut\n",
		(unsigned long long)shm_sessions(&supervisor->shm));
	plane_reset_sessions(&supervisor->shm);
	return EXIT_CODE_DONE;
}
