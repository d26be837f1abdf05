/*
 * How soon a dead worker process is replaced: at once, as long as that helps; a pure machine.
 *
 * One that had been serving is replaced at once, up to 300 times in a row and 5 times a second in
 * the long run (a token bucket). One that dies before it serves is tried again after 10 ms, 20 ms,
 * ... up to 1 s.
 *
 * Threads: any; it has no state but its own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct restarts {
	uint64_t spent_ns; /* of the bucket: when it would be full again, or earlier */
	uint32_t failures; /* in a row, before it served */
};

/* A worker process has died. Returns for how long to wait before the next one, in nanoseconds. */
uint64_t restarts_delay_ns(struct restarts *restarts, bool had_served, uint64_t now_ns);
