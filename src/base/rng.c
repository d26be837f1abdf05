#include "base/rng.h"

#include <assert.h>

static uint64_t rotate_left(uint64_t value, int bits)
{
	return (value << bits) | (value >> (64 - bits));
}

static uint64_t splitmix_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15U);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	return z ^ (z >> 31);
}

void rng_init(struct rng *rng, uint64_t seed)
{
	for (int i = 0; i < 4; i++) {
		rng->state[i] = splitmix_next(&seed);
	}
}

uint64_t rng_next(struct rng *rng)
{
	uint64_t *s = rng->state;
	const uint64_t result = rotate_left(s[1] * 5, 7) * 9;
	const uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate_left(s[3], 45);
	return result;
}

uint32_t rng_below(struct rng *rng, uint32_t bound)
{
	assert(bound > 0);

	uint64_t product = (rng_next(rng) >> 32) * bound;
	const uint32_t threshold = (uint32_t)(-bound) % bound;

	while ((uint32_t)product < threshold) {
		product = (rng_next(rng) >> 32) * bound;
	}
	return (uint32_t)(product >> 32);
}
