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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sleep_is_rounded_up_and_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
