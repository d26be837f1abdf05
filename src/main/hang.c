#include "main/hang.h"

bool hang_feed(struct hang *hang, const struct hang_look *look, uint64_t watchdog_ns)
{
	const uint64_t passed_ns = hang->looked_ns == 0 ? 0 : look->now_ns - hang->looked_ns;
	const bool same_turn = hang->in_turn && look->awake && look->heartbeat == hang->heartbeat;
	const bool stopped = look->state == 'T' || look->state == 't';
	const bool starved = look->state == 'R'; /* by wall time: its CPU time has its own limit */

	hang->looked_ns = look->now_ns;
	hang->in_turn = look->awake;
	hang->heartbeat = look->heartbeat;
	if (!same_turn) {
		hang->turn_cpu_ns = look->cpu_ns;
		hang->turn_wall_ns = 0;
		return false;
	}
	/* The watcher was late: what the worker was kept from meanwhile is not known. */
	if (passed_ns <= 2 * HANG_LOOK_NS && !stopped && !starved) {
		hang->turn_wall_ns += passed_ns;
	}
	if (stopped) {
		return false;
	}
	return look->cpu_ns - hang->turn_cpu_ns >= HANG_CPU_NS || hang->turn_wall_ns >= watchdog_ns;
}
