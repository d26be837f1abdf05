#include "base/testing.h"
#include "main/restarts.h"

static const uint64_t MS_NS = 1000000;

static void a_burst_is_replaced_at_once(void **state)
{
	struct restarts restarts = {.failures = 0};
	const uint64_t now_ns = 1000 * MS_NS;

	(void)state;
	for (int i = 0; i < 300; i++) {
		assert_int_equal(restarts_delay_ns(&restarts, true, now_ns), 0);
	}
	assert_int_equal(restarts_delay_ns(&restarts, true, now_ns), 200 * MS_NS);
	/* In the long run, five a second. */
	assert_int_equal(restarts_delay_ns(&restarts, true, now_ns + 400 * MS_NS), 0);
}

static void one_that_never_serves_waits_longer_and_longer(void **state)
{
	struct restarts restarts = {.failures = 0};
	uint64_t last_ns = 0;

	(void)state;
	for (int i = 0; i < 7; i++) {
		const uint64_t delay_ns = restarts_delay_ns(&restarts, false, 0);

		assert_int_equal(delay_ns, 10 * MS_NS << i);
		last_ns = delay_ns;
	}
	assert_true(last_ns < 1000 * MS_NS);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(restarts_delay_ns(&restarts, false, 0), 1000 * MS_NS);
	}
	assert_int_equal(restarts_delay_ns(&restarts, true, 0), 0);
	assert_int_equal(restarts_delay_ns(&restarts, false, 0), 10 * MS_NS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_is_replaced_at_once),
		cmocka_unit_test(one_that_never_serves_waits_longer_and_longer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
