#include "main/demo_latency.h"

#include <assert.h>
#include <stddef.h>

/* Below DEMO_LATENCY_STEPS a bucket is one microsecond; from there on it grows with the value. */
static size_t bucket_of(uint64_t us)
{
	unsigned power;
	size_t bucket;

	if (us < DEMO_LATENCY_STEPS) {
		return us;
	}
	power = 63U - (unsigned)__builtin_clzll(us);
	bucket = (size_t)(power - DEMO_LATENCY_STEP_BITS + 1) * DEMO_LATENCY_STEPS;
	bucket += us >> (power - DEMO_LATENCY_STEP_BITS) & (DEMO_LATENCY_STEPS - 1);
	return bucket < DEMO_LATENCY_BUCKETS ? bucket : DEMO_LATENCY_BUCKETS - 1;
}

/* The largest value that falls into it. */
static uint64_t end_of(size_t bucket)
{
	const unsigned shift = (unsigned)(bucket / DEMO_LATENCY_STEPS) - 1;
	const uint64_t step = bucket % DEMO_LATENCY_STEPS;

	if (bucket < DEMO_LATENCY_STEPS) {
		return bucket;
	}
	return ((DEMO_LATENCY_STEPS + step + 1) << shift) - 1;
}

void demo_latency_add(struct demo_latency *latency, uint64_t ns)
{
	latency->buckets[bucket_of(ns / 1000)]++;
	latency->count++;
}

uint64_t demo_latency_quantile(const struct demo_latency *latency, uint32_t per_mille)
{
	const uint64_t wanted = (latency->count * per_mille + 999) / 1000;
	uint64_t seen = 0;

	assert(per_mille >= 1 && per_mille <= 1000);
	if (latency->count == 0) {
		return 0;
	}
	for (size_t i = 0; i < DEMO_LATENCY_BUCKETS; i++) {
		seen += latency->buckets[i];
		if (seen >= wanted) {
			return end_of(i);
		}
	}
	return end_of(DEMO_LATENCY_BUCKETS - 1);
}
