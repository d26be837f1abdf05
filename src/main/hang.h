/*
 * Tells a worker that hangs from one that sleeps, works, is stopped or is starved; a pure machine.
 *
 * Each turn of a worker's loop is short. One that has not ended after 2 s of the thread's own CPU
 * time runs in a circle; one that has not ended after the watchdog's wall time, and neither waits
 * for a CPU nor is stopped, waits for something that never comes. Only time in which the watcher
 * itself ran counts: after a pause of the whole machine everybody looks hung.
 *
 * Threads: any; it has no state but its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct hang {
	uint64_t heartbeat;    /* at the last look */
	uint64_t turn_cpu_ns;  /* the thread's CPU time when this turn was first seen */
	uint64_t turn_wall_ns; /* how long it has been seen since then */
	uint64_t looked_ns;    /* when; 0: never */
	bool in_turn;          /* it was awake at the last look */
};

/* What is seen of a worker. */
struct hang_look {
	uint64_t now_ns;
	uint64_t heartbeat; /* changes with each turn */
	uint64_t cpu_ns;    /* of its thread */
	char state;         /* of its thread, as in /proc: 'R', 'S', 'D', 'T', 't' */
	bool awake;         /* in a turn */
};

static const uint64_t HANG_CPU_NS = 2 * 1000000000ULL;
static const uint64_t HANG_LOOK_NS = 500 * 1000000ULL; /* how often to look */

/* Returns whether it hangs. */
bool hang_feed(struct hang *hang, const struct hang_look *look, uint64_t watchdog_ns);
