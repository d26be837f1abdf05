#include "base/testing.h"
#include "control/stop.h"

static const uint64_t MS = 1000000;

static unsigned feed(
	struct stop *stop, uint64_t now_ms, uint32_t signals, bool empty, bool workers_ended)
{
	const struct stop_input input = {
		.now_ns = now_ms * MS,
		.signals = signals,
		.empty = empty,
		.workers_ended = workers_ended,
	};

	return stop_feed(stop, &input);
}

static void nothing_happens_without_a_signal(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 0, 30000);
	assert_int_equal(feed(&stop, 1, 0, true, false), 0);
	assert_int_equal(stop.state, STOP_RUNNING);
	assert_int_equal(stop_deadline(&stop, 1), UINT64_MAX);
}

static void a_stop_waits_for_the_sessions(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 0, 30000);
	assert_int_equal(feed(&stop, 100, 1, false, false), STOP_DO_LAME_DUCK | STOP_DO_DRAIN);
	assert_int_equal(feed(&stop, 20000, 0, false, false), 0);
	assert_int_equal(stop_deadline(&stop, 20000 * MS), 20010 * MS);
	assert_int_equal(feed(&stop, 20010, 0, true, false), STOP_DO_EXIT);
	assert_int_equal(feed(&stop, 20020, 0, true, false), 0);
	assert_int_equal(feed(&stop, 20030, 0, true, true), 0);
	assert_int_equal(stop.state, STOP_DONE);
}

static void the_deadline_cuts(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 500, 2000);
	assert_int_equal(feed(&stop, 100, 1, false, false), STOP_DO_LAME_DUCK);
	assert_int_equal(stop_deadline(&stop, 100 * MS), 600 * MS);
	assert_int_equal(feed(&stop, 599, 0, true, false), 0);
	assert_int_equal(feed(&stop, 600, 0, false, false), STOP_DO_DRAIN);
	assert_int_equal(feed(&stop, 2599, 0, false, false), 0);
	assert_int_equal(stop_deadline(&stop, 2595 * MS), 2600 * MS);
	assert_int_equal(feed(&stop, 2600, 0, false, false), STOP_DO_CUT | STOP_DO_EXIT);
	assert_int_equal(feed(&stop, 2700, 0, false, true), 0);
	assert_int_equal(stop.state, STOP_DONE);
}

static void an_end_at_the_deadline_is_no_cut(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 0, 1000);
	(void)feed(&stop, 100, 1, false, false);
	assert_int_equal(feed(&stop, 1100, 0, true, false), STOP_DO_EXIT);
}

static void a_second_signal_stops_now(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 500, 2000);
	assert_int_equal(feed(&stop, 100, 1, false, false), STOP_DO_LAME_DUCK);
	assert_int_equal(feed(&stop, 200, 1, false, false), STOP_DO_CUT | STOP_DO_EXIT);
	stop_init(&stop, 0, 2000);
	(void)feed(&stop, 100, 1, false, false);
	assert_int_equal(feed(&stop, 200, 1, false, false), STOP_DO_CUT | STOP_DO_EXIT);
	stop_init(&stop, 500, 2000);
	assert_int_equal(
		feed(&stop, 100, 2, false, false), STOP_DO_LAME_DUCK | STOP_DO_CUT | STOP_DO_EXIT);
	assert_int_equal(feed(&stop, 300, 5, true, false), 0);
	assert_int_equal(stop.state, STOP_EXITING);
}

static unsigned feed_exiting(struct stop *stop, uint64_t now_ms, uint64_t sessions)
{
	const struct stop_input input = {.now_ns = now_ms * MS, .sessions = sessions};

	return stop_feed(stop, &input);
}

static void a_worker_that_hangs_is_not_waited_for(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 0, 1000);
	(void)feed(&stop, 100, 1, false, false);
	assert_int_equal(feed_exiting(&stop, 1100, 3), STOP_DO_CUT | STOP_DO_EXIT);
	assert_int_equal(feed_exiting(&stop, 1110, 3), 0);
	assert_int_equal(feed_exiting(&stop, 3099, 3), 0);
	assert_int_equal(stop_deadline(&stop, 3099 * MS), 3100 * MS);
	assert_int_equal(feed_exiting(&stop, 3100, 3), STOP_DO_ABANDON);
	assert_int_equal(stop.state, STOP_DONE);
	assert_int_equal(feed_exiting(&stop, 9999, 3), 0);
}

static void a_worker_that_still_ends_sessions_is_waited_for(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 0, 1000);
	(void)feed(&stop, 100, 1, false, false);
	assert_int_equal(feed_exiting(&stop, 1100, 1000), STOP_DO_CUT | STOP_DO_EXIT);
	for (uint64_t left = 999; left > 0; left--) {
		assert_int_equal(feed_exiting(&stop, 1100 + 1900 * (1000 - left), left), 0);
		assert_int_equal(stop.state, STOP_EXITING);
	}
	assert_int_equal(feed(&stop, 1900 * 1000, 0, true, true), 0);
	assert_int_equal(stop.state, STOP_DONE);
}

static void an_end_at_the_last_moment_abandons_nobody(void **state)
{
	struct stop stop;

	(void)state;
	stop_init(&stop, 0, 1000);
	(void)feed(&stop, 100, 2, false, false);
	assert_int_equal(feed(&stop, 99999, 0, true, true), 0);
	assert_int_equal(stop.state, STOP_DONE);
}

/* Every state meets every set of inputs; none is refused, and none leads backwards. */
static void no_state_is_stuck_or_goes_back(void **state)
{
	static const uint64_t times_ms[] = {100, 600, 700, 2700};

	(void)state;
	for (int from = STOP_RUNNING; from <= STOP_DONE; from++) {
		for (unsigned bits = 0; bits < 16; bits++) {
			struct stop stop;

			stop_init(&stop, 500, 2000);
			stop.state = (enum stop_state)from;
			stop.deadline_ns = from == STOP_LAME_DUCK || from == STOP_DRAINING
				? 600 * MS
				: UINT64_MAX;
			(void)feed(&stop, times_ms[bits & 3], bits & 1, (bits & 4) != 0,
				(bits & 8) != 0);
			assert_true((int)stop.state >= from);
			(void)feed(&stop, 100000, 1, true, true);
			(void)feed(&stop, 200000, 1, true, true);
			assert_int_equal(stop.state, STOP_DONE);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_happens_without_a_signal),
		cmocka_unit_test(a_stop_waits_for_the_sessions),
		cmocka_unit_test(the_deadline_cuts),
		cmocka_unit_test(an_end_at_the_deadline_is_no_cut),
		cmocka_unit_test(a_second_signal_stops_now),
		cmocka_unit_test(a_worker_that_hangs_is_not_waited_for),
		cmocka_unit_test(a_worker_that_still_ends_sessions_is_waited_for),
		cmocka_unit_test(an_end_at_the_last_moment_abandons_nobody),
		cmocka_unit_test(no_state_is_stuck_or_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
