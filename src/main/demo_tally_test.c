#include "base/testing.h"
#include "main/demo_tally.h"

/* The numbers have no small size: one of each is enough. */
static struct demo_tally tally;
static struct demo_numbers numbers;
static struct demo_interval interval;

static int set_up(void **state)
{
	(void)state;
	demo_tally_init(&tally);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	demo_tally_done(&tally);
	return 0;
}

static void answer(enum demo_phase begun, uint32_t backend, bool first)
{
	const struct demo_answer one = {
		.begun_phase = begun,
		.begun_ns = 100,
		.first = first,
		.backend = backend,
		.bytes = 10,
		.latency_ns = 5000,
		.now_ns = 200,
	};

	demo_tally_answer(&tally, &one);
}

static void a_session_counts_once_and_in_its_phase(void **state)
{
	(void)state;
	answer(DEMO_BEFORE, 0, true);
	answer(DEMO_BEFORE, 0, false);
	answer(DEMO_BEFORE, 2, true);
	demo_tally_enter(&tally, DEMO_OUT);
	assert_int_equal(demo_tally_phase(&tally), DEMO_OUT);
	answer(DEMO_BEFORE, 0, true); /* across the edge: of no phase */
	answer(DEMO_OUT, 0, true);
	demo_tally_read(&tally, &numbers, NULL);
	assert_int_equal(numbers.sessions[DEMO_BEFORE][0], 1);
	assert_int_equal(numbers.sessions[DEMO_BEFORE][1], 0);
	assert_int_equal(numbers.sessions[DEMO_BEFORE][2], 1);
	assert_int_equal(numbers.sessions[DEMO_OUT][0], 1);
	assert_int_equal(numbers.requests, 5);
	assert_int_equal(numbers.bytes, 50);
	assert_int_equal(numbers.latency[DEMO_BEFORE].count, 3);
	assert_int_equal(numbers.latency[DEMO_OUT].count, 2);
}

static void sessions_of_the_victim_are_looked_at(void **state)
{
	(void)state;
	answer(DEMO_BEFORE, DEMO_VICTIM, true);
	demo_tally_enter(&tally, DEMO_OUT);
	answer(DEMO_BEFORE, DEMO_VICTIM, false);
	answer(DEMO_OUT, DEMO_VICTIM, true);
	answer(DEMO_OUT, DEMO_VICTIM, false);
	demo_tally_enter(&tally, DEMO_AFTER);
	answer(DEMO_OUT, DEMO_VICTIM, true);
	answer(DEMO_AFTER, DEMO_VICTIM, true);
	demo_tally_read(&tally, &numbers, NULL);
	assert_int_equal(numbers.old_answers, 1);
	assert_int_equal(numbers.suspect_count, 2);
	assert_int_equal(numbers.suspects[0].begun_ns, 100);
	assert_int_equal(numbers.suspects[0].answered_ns, 200);
	assert_int_equal(numbers.sessions[DEMO_AFTER][DEMO_VICTIM], 1);
}

static void too_many_suspects_are_counted_but_not_kept(void **state)
{
	(void)state;
	demo_tally_enter(&tally, DEMO_OUT);
	for (int i = 0; i < DEMO_SUSPECT_MAX + 5; i++) {
		answer(DEMO_OUT, DEMO_VICTIM, true);
	}
	demo_tally_read(&tally, &numbers, NULL);
	assert_int_equal(numbers.suspect_count, DEMO_SUSPECT_MAX + 5);
}

static void an_interval_ends_when_it_is_read(void **state)
{
	(void)state;
	answer(DEMO_BEFORE, 1, true);
	answer(DEMO_BEFORE, 1, false);
	demo_tally_read(&tally, &numbers, &interval);
	assert_int_equal(interval.sessions[1], 1);
	assert_int_equal(interval.latency.count, 2);
	demo_tally_read(&tally, &numbers, &interval);
	assert_int_equal(interval.sessions[1], 0);
	assert_int_equal(interval.latency.count, 0);
	assert_int_equal(numbers.requests, 2);
}

static void the_first_error_is_remembered(void **state)
{
	(void)state;
	demo_tally_error(&tally, "%s", "one");
	demo_tally_error(&tally, "%s", "two");
	demo_tally_read(&tally, &numbers, NULL);
	assert_int_equal(numbers.errors, 2);
	assert_string_equal(numbers.first_error, "one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_session_counts_once_and_in_its_phase, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			sessions_of_the_victim_are_looked_at, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			too_many_suspects_are_counted_but_not_kept, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_interval_ends_when_it_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_first_error_is_remembered, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
