/*
 * The graceful stop of the process, as a pure machine.
 *
 *   RUNNING --signal--> LAME DUCK --lame_duck--> DRAINING --(no listener, no session)--> STOPPED
 *                                                         --(drain is over)---> cut ---> STOPPED
 *   any of the three --second signal--> cut --> STOPPED
 *
 * Threads: control alone. Time comes in; nothing reads a clock.
 */
#pragma once

#include <stdint.h>

#include "model/shm.h"

enum stop_action {
	STOP_DO_NOTHING = 0,
	STOP_DO_ANNOUNCE = 1 << 0, /* say that the process is stopping */
	STOP_DO_REFUSE = 1 << 1,   /* tell the workers to close their listeners */
	STOP_DO_EXIT = 1 << 2,     /* tell the workers to leave: sessions that are left are cut */
};

struct stop {
	enum process_phase phase; /* RUNNING at first */
	uint32_t signals;         /* to stop, so far */
	uint64_t lame_duck_ns;
	uint64_t drain_ns;
	uint64_t phase_end_ns; /* of LAME_DUCK and DRAINING */
};

struct stop_input {
	uint64_t now_ns;
	uint32_t signals;        /* that came since the last call */
	uint32_t listeners_open; /* of all workers */
	uint64_t sessions;       /* of all workers */
};

void stop_init(struct stop *stop, uint64_t lame_duck_ns, uint64_t drain_ns);

/* One step; returns a set of enum stop_action. Once it says EXIT the phase is PHASE_STOPPED. */
unsigned stop_step(struct stop *stop, const struct stop_input *input);

/* When to call stop_step() at the latest; UINT64_MAX while nothing is under way. */
uint64_t stop_next_ns(const struct stop *stop, uint64_t now_ns);
