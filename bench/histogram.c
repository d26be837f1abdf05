#include "bench/histogram.h"

#include <assert.h>

enum { STEPS = 1 << HISTOGRAM_STEP_BITS };

/* Below STEPS each value has a bucket; from there each power of two has STEPS of them. */
static uint32_t bucket_of(uint64_t ns)
{
	uint32_t shift;
	uint64_t bucket;

	if (ns < STEPS) {
		return (uint32_t)ns;
	}
	shift = 63U - HISTOGRAM_STEP_BITS - (uint32_t)__builtin_clzll(ns);
	bucket = ((uint64_t)shift << HISTOGRAM_STEP_BITS) + (ns >> shift);
	return bucket < HISTOGRAM_BUCKETS ? (uint32_t)bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t last_of_bucket(uint32_t bucket)
{
	uint32_t shift;

	if (bucket < 2 * STEPS) {
		return bucket;
	}
	shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
	return (((uint64_t)(bucket & (STEPS - 1)) + STEPS + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->count++;
	histogram->sum_ns += ns;
	if (ns > histogram->max_ns) {
		histogram->max_ns = ns;
	}
	histogram->buckets[bucket_of(ns)]++;
}

uint64_t histogram_quantile(const struct histogram *histogram, uint32_t millionths)
{
	const uint64_t rank = (histogram->count * millionths + 999999) / 1000000;
	uint64_t seen = 0;

	assert(millionths <= 1000000);
	for (uint32_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
		seen += histogram->buckets[bucket];
		if (seen > 0 && seen >= rank) {
			const uint64_t last = last_of_bucket(bucket);
			return bucket < HISTOGRAM_BUCKETS - 1 && last < histogram->max_ns
				? last
				: histogram->max_ns;
		}
	}
	return 0;
}

uint64_t histogram_mean(const struct histogram *histogram)
{
	return histogram->count > 0 ? histogram->sum_ns / histogram->count : 0;
}

uint64_t histogram_above(const struct histogram *histogram, uint64_t ns)
{
	uint64_t count = 0;

	for (uint32_t bucket = bucket_of(ns) + 1; bucket < HISTOGRAM_BUCKETS; bucket++) {
		count += histogram->buckets[bucket];
	}
	return count;
}
