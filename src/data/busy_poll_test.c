#include "base/testing.h"
#include "data/busy_poll.h"

enum { LIMIT = 50000 };

enum turn { OTHER, ASKED, STREAM, BOTH };

/* Returns for how long a wait after such a turn looks, which then takes `waited_ns`. */
static uint64_t wait_after(struct busy_poll *poll, enum turn turn, uint64_t waited_ns)
{
	uint64_t looked_ns;

	if (turn == ASKED || turn == BOTH) {
		busy_poll_asked(poll);
	}
	if (turn == STREAM || turn == BOTH) {
		busy_poll_streamed(poll);
	}
	looked_ns = busy_poll_begin(poll, LIMIT);
	busy_poll_end(poll, waited_ns, LIMIT);
	return looked_ns;
}

static struct busy_poll one_that_looks(enum turn turn)
{
	struct busy_poll poll = {0};

	for (int i = 0; i < 3; i++) {
		(void)wait_after(&poll, turn, 1);
	}
	return poll;
}

static void it_begins_without(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	assert_int_equal(busy_poll_begin(&poll, LIMIT), 0);
}

static void two_short_waits_are_enough_to_look(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	assert_int_equal(wait_after(&poll, ASKED, LIMIT), 0);
	assert_int_equal(wait_after(&poll, ASKED, LIMIT), 0);
	assert_int_equal(wait_after(&poll, ASKED, LIMIT), LIMIT);
}

static void a_sleep_may_take_twice_the_limit(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(wait_after(&poll, ASKED, 2 * LIMIT), 0);
	}
	(void)wait_after(&poll, ASKED, 2 * LIMIT - 1);
	(void)wait_after(&poll, ASKED, 2 * LIMIT - 1);
	assert_int_equal(wait_after(&poll, ASKED, LIMIT), LIMIT);
}

static void looking_in_vain_ends_it(void **state)
{
	struct busy_poll poll = one_that_looks(ASKED);

	(void)state;
	assert_int_equal(wait_after(&poll, ASKED, LIMIT), LIMIT);
	assert_int_equal(wait_after(&poll, ASKED, LIMIT - 1), LIMIT);
	assert_int_equal(wait_after(&poll, ASKED, LIMIT), LIMIT);
	assert_int_equal(wait_after(&poll, ASKED, UINT64_MAX), LIMIT);
	assert_int_equal(wait_after(&poll, ASKED, UINT64_MAX), 0);
	assert_int_equal(wait_after(&poll, ASKED, UINT64_MAX), 0);
}

static void a_bad_sleep_outweighs_a_good_one(void **state)
{
	struct busy_poll poll = {0};

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_int_equal(wait_after(&poll, ASKED, 1), 0);
		assert_int_equal(wait_after(&poll, ASKED, UINT64_MAX), 0);
	}
}

/* What a sleep takes for soon and a look for late must not be tried in each second wait. */
static void events_just_past_the_limit_are_looked_for_less_and_less(void **state)
{
	struct busy_poll poll = {0};
	int looks = 0;

	(void)state;
	for (int i = 0; i < 10000; i++) {
		looks += wait_after(&poll, ASKED, LIMIT + LIMIT / 2) > 0;
	}
	assert_in_range(looks, 1, 200);
	(void)wait_after(&poll, ASKED, UINT64_MAX);
	for (int i = 0; wait_after(&poll, ASKED, 1) == 0; i++) {
		assert_true(i < 100);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(wait_after(&poll, ASKED, UINT64_MAX), LIMIT);
	}
	assert_int_equal(wait_after(&poll, ASKED, 1), 0);
}

static void what_one_kind_of_wait_learns_is_not_the_others(void **state)
{
	struct busy_poll poll = one_that_looks(ASKED);

	(void)state;
	assert_int_equal(wait_after(&poll, OTHER, UINT64_MAX), 0);
	assert_int_equal(wait_after(&poll, OTHER, UINT64_MAX), 0);
	assert_int_equal(wait_after(&poll, ASKED, 1), LIMIT);
	poll = one_that_looks(OTHER);
	assert_int_equal(wait_after(&poll, ASKED, 1), 0);
	assert_int_equal(wait_after(&poll, OTHER, 1), LIMIT);
}

static void a_stream_alone_is_not_looked_for_and_teaches_nothing(void **state)
{
	struct busy_poll poll = one_that_looks(STREAM);

	(void)state;
	assert_int_equal(wait_after(&poll, STREAM, 1), 0);
	assert_int_equal(wait_after(&poll, OTHER, 1), 0);
	poll = one_that_looks(OTHER);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(wait_after(&poll, STREAM, UINT64_MAX), 0);
	}
	assert_int_equal(wait_after(&poll, OTHER, 1), LIMIT);
}

static void a_question_beside_a_stream_counts(void **state)
{
	struct busy_poll poll = one_that_looks(BOTH);

	(void)state;
	assert_int_equal(wait_after(&poll, BOTH, 1), LIMIT);
	assert_int_equal(wait_after(&poll, ASKED, 1), LIMIT);
	assert_int_equal(wait_after(&poll, STREAM, 1), 0);
}

static void two_pieces_in_a_row_are_talk_and_more_are_a_stream(void **state)
{
	enum { CLIENT, BACKEND };
	struct busy_poll_talk talk = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_false(busy_poll_is_stream(&talk, CLIENT));
		assert_false(busy_poll_is_stream(&talk, CLIENT));
		assert_false(busy_poll_is_stream(&talk, BACKEND));
	}
	assert_false(busy_poll_is_stream(&talk, BACKEND));
	for (int i = 0; i < 1000; i++) {
		assert_true(busy_poll_is_stream(&talk, BACKEND));
	}
	assert_false(busy_poll_is_stream(&talk, CLIENT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_begins_without),
		cmocka_unit_test(two_short_waits_are_enough_to_look),
		cmocka_unit_test(a_sleep_may_take_twice_the_limit),
		cmocka_unit_test(looking_in_vain_ends_it),
		cmocka_unit_test(a_bad_sleep_outweighs_a_good_one),
		cmocka_unit_test(events_just_past_the_limit_are_looked_for_less_and_less),
		cmocka_unit_test(what_one_kind_of_wait_learns_is_not_the_others),
		cmocka_unit_test(a_stream_alone_is_not_looked_for_and_teaches_nothing),
		cmocka_unit_test(two_pieces_in_a_row_are_talk_and_more_are_a_stream),
		cmocka_unit_test(a_question_beside_a_stream_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
