/*
 * The timers of the control loop: a binary heap of embedded timers.
 *
 * Control has few timers (one per backend that is not healthy and a handful of its own) and none
 * when all is well. Each remembers its place in the heap, so that it can be moved or cancelled
 * at once.
 *
 * Threads: control alone. Pure: time comes in as an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct timer {
	uint64_t at_ns;
	uint32_t place; /* 1 + index in the heap; 0: not set. A zeroed timer is not set. */
	uint32_t kind;  /* the owner's: what to do */
	uint32_t index; /* the owner's: with which */
};

struct timers {
	struct timer **heap; /* owned; the timers are borrowed from those that embed them */
	uint32_t count;
	uint32_t limit;
};

/* Room for `limit` timers at once. Returns 0 or -ENOMEM. */
int timers_init(struct timers *timers, uint32_t limit);
void timers_done(struct timers *timers);

/* Sets or moves the timer. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at_ns);

/* Does nothing when it is not set. */
void timers_cancel(struct timers *timers, struct timer *timer);

/* When the next one is due, UINT64_MAX when there is none. */
uint64_t timers_next(const struct timers *timers);

/* Takes out one that is due at `now_ns`, the earliest first; NULL when none is. */
struct timer *timers_take(struct timers *timers, uint64_t now_ns);
