/*
 * A hierarchical timer wheel (Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987).
 *
 * Timers are named by index, one per session. Four levels of 256 slots of 8 ms cover more than a
 * year; a timer further ahead than 372 days may fire early, and is to be set again then. Setting
 * and clearing are O(1), and no memory is allocated after the start: a link of 12 bytes per index
 * is touched when it is first used.
 *
 * Owner and thread: the worker. Times are monotonic nanoseconds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { DEADLINE_LEVELS = 4, DEADLINE_SLOTS = 256 };

struct deadline_link {
	uint32_t next;
	uint32_t previous; /* of the first in a slot: the last one */
	uint32_t tick;     /* when it fires; 0: not armed */
};

struct deadlines {
	struct deadline_link *links; /* owned mapping, `capacity` long */
	uint32_t capacity;
	uint32_t tick;     /* all before and including this one has fired */
	uint64_t start_ns; /* of tick 0 */
	uint32_t heads[DEADLINE_LEVELS][DEADLINE_SLOTS];
	uint64_t occupied[DEADLINE_LEVELS][DEADLINE_SLOTS / 64]; /* a bit per slot with timers */
};

/* Returns 0 or -ENOMEM. */
int deadlines_init(struct deadlines *deadlines, uint32_t capacity, uint64_t now_ns);

/* Frees the links. Also right after a failed or no deadlines_init() of a zeroed struct. */
void deadlines_done(struct deadlines *deadlines);

/* Arms the timer, or moves it. It fires at or after `when_ns`, at the latest one tick after. */
void deadlines_set(struct deadlines *deadlines, uint32_t index, uint64_t when_ns);

/* Disarms it; does nothing when it is not armed. */
void deadlines_clear(struct deadlines *deadlines, uint32_t index);

/*
 * When deadlines_expire() should be called next: never after the first deadline by more than a
 * tick; earlier only to move timers down a level. UINT64_MAX when none is armed.
 */
uint64_t deadlines_next_ns(const struct deadlines *deadlines);

/* Calls `fire` for each timer that is due; it is disarmed then. `fire` may set and clear any. */
void deadlines_expire(struct deadlines *deadlines, uint64_t now_ns,
	void (*fire)(uint32_t index, void *context), void *context);
