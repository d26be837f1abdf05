/*
 * When the requests of an open loop are due: a Poisson process of a given rate, from a seed.
 *
 * The times depend on nothing that a proxy does. A request that cannot be sent when it is due
 * waits, and its wait counts: that is what a closed loop leaves out.
 *
 * Owner and thread: whoever made it.
 */
#pragma once

#include <stdint.h>

struct arrivals {
	uint64_t state;
	double interval_ns; /* mean */
	double next_ns;     /* since the start; a sum, so that rounding does not add up */
};

/* `rate` in requests per second, > 0. */
void arrivals_init(struct arrivals *arrivals, double rate, uint64_t seed);

/* Nanoseconds from the start to the next request. Never goes back. */
uint64_t arrivals_next(struct arrivals *arrivals);
