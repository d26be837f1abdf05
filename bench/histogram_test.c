#include <string.h>

#include "base/testing.h"
#include "bench/histogram.h"

static struct histogram histogram;

static void reset(void)
{
	memset(&histogram, 0, sizeof histogram);
}

static void an_empty_one_says_zero(void **state)
{
	(void)state;
	reset();
	assert_int_equal(0, histogram_quantile(&histogram, 0));
	assert_int_equal(0, histogram_quantile(&histogram, 999000));
	assert_int_equal(0, histogram_mean(&histogram));
}

static void small_values_are_exact(void **state)
{
	(void)state;
	reset();
	for (uint64_t ns = 1; ns <= 100; ns++) {
		histogram_add(&histogram, ns);
	}
	assert_int_equal(1, histogram_quantile(&histogram, 0));
	assert_int_equal(50, histogram_quantile(&histogram, 500000));
	assert_int_equal(99, histogram_quantile(&histogram, 990000));
	assert_int_equal(100, histogram_quantile(&histogram, 999000));
	assert_int_equal(100, histogram_quantile(&histogram, 1000000));
	assert_int_equal(50, histogram_mean(&histogram));
}

/* From the first nanosecond to two minutes, around each power of two. */
static void a_value_is_known_to_less_than_a_hundredth(void **state)
{
	(void)state;
	for (uint64_t power = 1; power <= 1ULL << 36; power <<= 1) {
		for (uint64_t ns = power - power / 3; ns <= power + power / 3;
			ns += 1 + power / 7) {
			uint64_t found;
			reset();
			histogram_add(&histogram, ns);
			histogram_add(&histogram, 1ULL << 40);
			found = histogram_quantile(&histogram, 500000);
			assert_true(found >= ns);
			assert_true(found - ns <= ns / 100);
		}
	}
}

static void buckets_are_in_order(void **state)
{
	uint64_t before = 0;

	(void)state;
	reset();
	for (uint64_t ns = 1; ns < 1ULL << 36; ns += 1 + ns / 50) {
		histogram_add(&histogram, ns);
	}
	for (uint32_t millionths = 0; millionths <= 1000000; millionths += 5000) {
		const uint64_t value = histogram_quantile(&histogram, millionths);
		assert_true(value >= before);
		before = value;
	}
}

static void the_tail_is_where_the_slow_ones_are(void **state)
{
	(void)state;
	reset();
	for (int i = 0; i < 998; i++) {
		histogram_add(&histogram, 1000);
	}
	histogram_add(&histogram, 5000000);
	histogram_add(&histogram, 9000000);
	assert_in_range(histogram_quantile(&histogram, 990000), 1000, 1008);
	assert_in_range(histogram_quantile(&histogram, 999000), 5000000, 5050000);
	assert_int_equal(9000000, histogram_quantile(&histogram, 1000000));
	assert_int_equal(2, histogram_above(&histogram, 2000000));
	assert_int_equal(1, histogram_above(&histogram, 6000000));
	assert_int_equal(0, histogram_above(&histogram, 9000000));
}

static void what_is_beyond_the_range_keeps_its_maximum(void **state)
{
	(void)state;
	reset();
	histogram_add(&histogram, UINT64_MAX / 4);
	assert_int_equal(UINT64_MAX / 4, histogram_quantile(&histogram, 500000));
	assert_int_equal(UINT64_MAX / 4, histogram.max_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_one_says_zero),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(a_value_is_known_to_less_than_a_hundredth),
		cmocka_unit_test(buckets_are_in_order),
		cmocka_unit_test(the_tail_is_where_the_slow_ones_are),
		cmocka_unit_test(what_is_beyond_the_range_keeps_its_maximum),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
