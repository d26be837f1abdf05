#include "bench/arrivals.h"

#include <assert.h>
#include <math.h>

/* splitmix64: any seed is good, 0 too. */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void arrivals_init(struct arrivals *arrivals, double rate, uint64_t seed)
{
	assert(rate > 0);
	*arrivals = (struct arrivals){.state = seed, .interval_ns = 1e9 / rate};
}

uint64_t arrivals_next(struct arrivals *arrivals)
{
	/* From 2^-53 to 1, so that the logarithm is finite. */
	const double uniform = (double)((draw(&arrivals->state) >> 11) + 1) * 0x1p-53;

	arrivals->next_ns -= log(uniform) * arrivals->interval_ns;
	return (uint64_t)arrivals->next_ns;
}
