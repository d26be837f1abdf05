/*
 * How long things took: a histogram of 16 steps to each power of two, so that a quantile is right
 * to one part in sixteen, from a microsecond to an hour, in constant memory.
 *
 * Threads: a histogram belongs to one at a time.
 */
#pragma once

#include <stdint.h>

enum {
	DEMO_LATENCY_STEP_BITS = 4,
	DEMO_LATENCY_STEPS = 1 << DEMO_LATENCY_STEP_BITS,
	DEMO_LATENCY_BUCKETS = 32 * DEMO_LATENCY_STEPS,
};

struct demo_latency {
	uint64_t count;
	uint64_t buckets[DEMO_LATENCY_BUCKETS];
};

void demo_latency_add(struct demo_latency *latency, uint64_t ns);

/*
 * The time in microseconds that `per_mille` of all values do not exceed, rounded up to the end of
 * its bucket; 0 when there are none. `per_mille` is from 1 to 1000.
 */
uint64_t demo_latency_quantile(const struct demo_latency *latency, uint32_t per_mille);
