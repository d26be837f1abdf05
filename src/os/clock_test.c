#include "base/testing.h"
#include "os/clock.h"

static void a_sleep_is_rounded_up_and_bounded(void **state)
{
	static const uint64_t day_ns = 86400 * 1000000000ULL;

	(void)state;
	assert_int_equal(clock_sleep_ms(UINT64_MAX, 5), -1);
	assert_int_equal(clock_sleep_ms(4, 5), 0);
	assert_int_equal(clock_sleep_ms(5, 5), 0);
	assert_int_equal(clock_sleep_ms(6, 5), 1);
	assert_int_equal(clock_sleep_ms(2000005, 5), 2);
	/* More than an int of milliseconds; a negative number would be for ever. */
	assert_int_equal(clock_sleep_ms(25 * day_ns, 0), INT32_MAX);
	assert_int_equal(clock_sleep_ms(50 * day_ns, 0), INT32_MAX);
	assert_int_equal(clock_sleep_ms(UINT64_MAX - 1, 0), INT32_MAX);
}

static void a_pause_is_no_shorter_than_asked(void **state)
{
	const uint64_t begin_ns = clock_monotonic_ns();

	(void)state;
	clock_pause(2 * 1000000);
	assert_true(clock_monotonic_ns() - begin_ns >= 2 * 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sleep_is_rounded_up_and_bounded),
		cmocka_unit_test(a_pause_is_no_shorter_than_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
