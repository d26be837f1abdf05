#include "base/testing.h"
#include "data/busy_poll.h"

enum { LIMIT = 50000 };

static void it_begins_without(void **state)
{
	const struct busy_poll poll = {0};

	(void)state;
	assert_int_equal(busy_poll_ns(&poll, LIMIT), 0);
}

static void a_short_sleep_is_worth_looking(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	busy_poll_slept(&poll, LIMIT - 1, LIMIT);
	assert_int_equal(busy_poll_ns(&poll, LIMIT), LIMIT);
	assert_int_equal(busy_poll_ns(&poll, 0), 0);
}

static void a_few_long_sleeps_in_a_row_end_it(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	busy_poll_slept(&poll, 1, LIMIT);
	for (int i = 0; i < 3; i++) {
		busy_poll_slept(&poll, LIMIT, LIMIT);
		assert_int_equal(busy_poll_ns(&poll, LIMIT), LIMIT);
	}
	busy_poll_slept(&poll, 1, LIMIT);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(busy_poll_ns(&poll, LIMIT), LIMIT);
		busy_poll_slept(&poll, UINT64_MAX, LIMIT);
	}
	assert_int_equal(busy_poll_ns(&poll, LIMIT), 0);
	busy_poll_slept(&poll, LIMIT, LIMIT);
	assert_int_equal(busy_poll_ns(&poll, LIMIT), 0);
}

static void who_never_looks_learns_nothing(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	busy_poll_slept(&poll, 0, 0);
	assert_int_equal(busy_poll_ns(&poll, LIMIT), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_without),
		cmocka_unit_test(a_short_sleep_is_worth_looking),
		cmocka_unit_test(a_few_long_sleeps_in_a_row_end_it),
		cmocka_unit_test(who_never_looks_learns_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
