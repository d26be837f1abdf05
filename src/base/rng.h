/*
 * A seedable random number generator: xoshiro256** (Blackman and Vigna, 2018), seeded through
 * splitmix64 (Steele, Lea, Flood, 2014). Not for secrets.
 *
 * Threads: one generator belongs to one thread.
 */
#pragma once

#include <stdint.h>

struct rng {
	uint64_t state[4];
};

void rng_init(struct rng *rng, uint64_t seed);

/* 64 evenly distributed bits. */
uint64_t rng_next(struct rng *rng);

/* Even over 0 .. bound - 1, without modulo bias (Lemire, 2019). `bound` > 0. */
uint32_t rng_below(struct rng *rng, uint32_t bound);
