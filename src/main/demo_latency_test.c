#include "base/testing.h"
#include "main/demo_latency.h"

static void nothing_has_no_quantile(void **state)
{
	const struct demo_latency latency = {.count = 0};

	(void)state;
	assert_int_equal(demo_latency_quantile(&latency, 500), 0);
}

static void small_values_are_exact(void **state)
{
	struct demo_latency latency = {.count = 0};

	(void)state;
	for (uint64_t us = 1; us <= 10; us++) {
		demo_latency_add(&latency, us * 1000);
	}
	assert_int_equal(demo_latency_quantile(&latency, 1), 1);
	assert_int_equal(demo_latency_quantile(&latency, 500), 5);
	assert_int_equal(demo_latency_quantile(&latency, 501), 6);
	assert_int_equal(demo_latency_quantile(&latency, 1000), 10);
}

static void every_value_is_right_to_a_sixteenth(void **state)
{
	(void)state;
	for (uint64_t us = 1; us < 4000000000; us += us / 7 + 1) {
		struct demo_latency latency = {.count = 0};
		uint64_t shown;

		demo_latency_add(&latency, us * 1000 + 999);
		shown = demo_latency_quantile(&latency, 1000);
		assert_true(shown >= us);
		assert_true(shown <= us + us / 16);
	}
}

static void a_few_slow_ones_show_in_the_tail_alone(void **state)
{
	struct demo_latency latency = {.count = 0};

	(void)state;
	for (int i = 0; i < 980; i++) {
		demo_latency_add(&latency, 10000);
	}
	for (int i = 0; i < 20; i++) {
		demo_latency_add(&latency, 1000000000);
	}
	assert_int_equal(demo_latency_quantile(&latency, 500), 10);
	assert_int_equal(demo_latency_quantile(&latency, 980), 10);
	assert_true(demo_latency_quantile(&latency, 990) >= 1000000);
}

static void the_longest_time_has_a_place(void **state)
{
	struct demo_latency latency = {.count = 0};

	(void)state;
	demo_latency_add(&latency, UINT64_MAX);
	assert_int_equal(latency.buckets[DEMO_LATENCY_BUCKETS - 1], 1);
	assert_true(demo_latency_quantile(&latency, 1000) > 3600000000U);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_has_no_quantile),
		cmocka_unit_test(small_values_are_exact),
		cmocka_unit_test(every_value_is_right_to_a_sixteenth),
		cmocka_unit_test(a_few_slow_ones_show_in_the_tail_alone),
		cmocka_unit_test(the_longest_time_has_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
