/*
 * A histogram of durations: log-linear, 128 steps for each power of two, so that a value is known
 * to 0.8 %, from 1 ns to two minutes.
 *
 * Owner and thread: whoever made it. It allocates nothing.
 */
#pragma once

#include <stdint.h>

enum { HISTOGRAM_STEP_BITS = 7, HISTOGRAM_POWERS = 30 };
enum { HISTOGRAM_BUCKETS = (HISTOGRAM_POWERS + 1) << HISTOGRAM_STEP_BITS };

struct histogram {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t max_ns;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* What is larger than the last bucket counts there; max_ns and sum_ns stay exact. */
void histogram_add(struct histogram *histogram, uint64_t ns);

/*
 * The least value that at least so many `millionths` of all values do not exceed:
 * 500000 is the median, 999000 is p99.9. It is the upper end of its bucket, never above max_ns; 0
 * for an empty histogram.
 */
uint64_t histogram_quantile(const struct histogram *histogram, uint32_t millionths);

/* Of all values; 0 for an empty histogram. */
uint64_t histogram_mean(const struct histogram *histogram);

/* How many values are in buckets that lie wholly above. */
uint64_t histogram_above(const struct histogram *histogram, uint64_t ns);
