/*
 * When a worker that is busy lets messages gather before it looks for them: where they come so
 * fast that each look finds a few, and one a little later would find many.
 *
 * A look costs the same for one message as for many, and so do the system calls that move them
 * together. A worker that just keeps up is at its dearest: it is back before more than one or two
 * have come, and spends what it has left on looking. A pause in which many gather sets that right
 * for a while, since what was passed on together comes back together. Network cards do the same
 * with their interrupts (Mogul and Ramakrishnan, "Eliminating receive livelock in an
 * interrupt-driven kernel", 1997; adaptive coalescing in ethtool(8)).
 *
 * Nobody is to wait for it who would not have waited in a queue. So a worker pauses only while it
 * is busy nearly all the time, and only for as long as the messages it wants take, by the rate of
 * late. Where a pause brings too few, as from a handful of sessions that all wait for an answer, or
 * takes much longer than it should, as where timers are coarse, it is tried less and less.
 *
 * Pure; zero is the initial state. Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct coalesce {
	uint64_t window_ns; /* when the present window began; what it teaches is for the next */
	uint64_t idle_ns;   /* of the window: waits and pauses */
	uint64_t wait_ns;   /* when the last wait began */
	uint32_t events;    /* of the window */
	uint32_t pause_ns;  /* in this window: how long a pause is; 0: none */
	uint32_t skip;      /* so many windows have none */
	uint8_t vain;       /* pauses in a row that were not worth it; stops at a limit */
};

/*
 * A turn is over that began at `turn_ns` with `count` events, and a wait begins at `now_ns`.
 * Returns how long to pause before the look, in ns, at most `limit_ns` (under a second); 0: not.
 */
uint64_t coalesce_begin(struct coalesce *coalesce, uint64_t turn_ns, uint64_t now_ns,
	uint32_t count, uint64_t limit_ns);

/* The pause took so long, and so many events were there after it. */
void coalesce_end(struct coalesce *coalesce, uint64_t paused_ns, uint32_t count);
