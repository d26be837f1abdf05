/*
 * Waits in the places where the death of a worker process would be worst: between receiving,
 * sending and each store that a successor relies on. Only in builds for tests (-Dstretch=true),
 * where it makes those moments as likely as all others; else it is nothing.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdint.h>

static inline void stretch(void)
{
#if LOBLE_STRETCH
	static _Thread_local uint32_t turn;
	volatile uint32_t spins = (turn++ * 2654435761U >> 20) * 4; /* 0 to 16,380: some 10 us */

	while (spins > 0) {
		spins--;
	}
#endif
}

/* Where the moment is so short that it would still be missed. */
static inline void stretch_long(void)
{
	for (int i = 0; i < 10; i++) {
		stretch();
	}
}
