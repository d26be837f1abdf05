#include <stdio.h>
#include <string.h>

#include "base/testing.h"
#include "main/demo_verdict.h"

static struct demo_outcome outcome;
static struct demo_check checks[DEMO_CHECK_COUNT];

static void add_transition(const char *backend, const char *from, const char *to, uint64_t wall_ns)
{
	struct demo_event *event = &outcome.transitions[outcome.transition_count];

	*event = (struct demo_event){.kind = DEMO_EVENT_HEALTH, .wall_ns = wall_ns};
	(void)snprintf(event->backend, sizeof event->backend, "%s", backend);
	(void)snprintf(event->from, sizeof event->from, "%s", from);
	(void)snprintf(event->to, sizeof event->to, "%s", to);
	outcome.transition_count++;
}

/* A demo in which everything went well. */
static int set_up(void **state)
{
	(void)state;
	memset(&outcome, 0, sizeof outcome);
	outcome.clients = 17;
	outcome.stopped = true;
	outcome.numbers.requests = 1000;
	outcome.numbers.bytes = 1 << 20;
	outcome.numbers.old_answers = 5;
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		outcome.numbers.sessions[DEMO_BEFORE][i] = 1000;
		outcome.numbers.sessions[DEMO_AFTER][i] = 500;
	}
	add_transition("beta", "healthy", "draining", 1000);
	add_transition("beta", "draining", "unhealthy", 2000);
	add_transition("beta", "unhealthy", "healthy", 3000);
	return 0;
}

/* That one check fails with this sentence, and no other does. */
static void assert_fails(enum demo_check_id id, const char *text)
{
	assert_false(demo_judge(&outcome, checks));
	for (unsigned i = 0; i < DEMO_CHECK_COUNT; i++) {
		assert_int_equal(checks[i].held, i != id);
	}
	assert_string_equal(checks[id].text, text);
}

static void a_good_demo_holds(void **state)
{
	(void)state;
	assert_true(demo_judge(&outcome, checks));
	assert_string_equal(checks[DEMO_CHECK_SHARES].text,
		"shares were even while all were healthy: "
		"alpha 33.3 %, beta 33.3 %, gamma 33.3 %");
	assert_string_equal(checks[DEMO_CHECK_PATH].text,
		"beta went healthy -> draining -> unhealthy -> healthy; the others stayed healthy");
}

static void an_error_of_a_client_is_told(void **state)
{
	(void)state;
	outcome.numbers.errors = 2;
	(void)snprintf(outcome.numbers.first_error, sizeof outcome.numbers.first_error, "reset");
	assert_fails(DEMO_CHECK_ERRORS, "clients saw 2 errors; the first one: reset");
}

static void damage_on_the_way_to_a_backend_is_told(void **state)
{
	(void)state;
	outcome.damaged = 1;
	assert_fails(DEMO_CHECK_ERRORS, "1 requests did not arrive whole at the backends");
}

static void no_traffic_is_no_success(void **state)
{
	(void)state;
	outcome.numbers.requests = 0;
	assert_fails(DEMO_CHECK_ERRORS, "no request was answered at all");
}

static void shares_may_differ_by_what_is_under_way(void **state)
{
	uint64_t *sessions = outcome.numbers.sessions[DEMO_AFTER];

	(void)state;
	sessions[0] = 530;
	assert_true(demo_judge(&outcome, checks));
	sessions[0] = 600;
	assert_fails(DEMO_CHECK_SHARES,
		"the shares were not even after the recovery: "
		"alpha 37.5 %, beta 31.2 %, gamma 31.2 %");
	sessions[0] = 400;
	assert_fails(DEMO_CHECK_SHARES,
		"the shares were not even after the recovery: "
		"alpha 28.6 %, beta 35.7 %, gamma 35.7 %");
}

static void few_sessions_prove_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		outcome.numbers.sessions[DEMO_BEFORE][i] = 19;
	}
	assert_fails(DEMO_CHECK_SHARES, "there were too few sessions before the failure: 57");
}

static void another_path_is_told(void **state)
{
	(void)state;
	outcome.transition_count = 2;
	assert_fails(DEMO_CHECK_PATH,
		"beta should have gone healthy -> draining -> unhealthy -> healthy, but it went "
		"healthy -> draining -> unhealthy");
}

static void the_others_have_to_stay_healthy(void **state)
{
	(void)state;
	add_transition("gamma", "healthy", "draining", 2500);
	assert_fails(DEMO_CHECK_PATH, "gamma should have stayed healthy, and did not");
}

static void a_new_session_on_a_backend_that_is_out_is_told(void **state)
{
	(void)state;
	outcome.numbers.suspects[0] = (struct demo_suspect){900, 1500};  /* began before it */
	outcome.numbers.suspects[1] = (struct demo_suspect){2900, 3100}; /* answered after it */
	outcome.numbers.suspect_count = 2;
	assert_true(demo_judge(&outcome, checks));
	outcome.numbers.suspects[2] = (struct demo_suspect){2500, 2999};
	outcome.numbers.suspect_count = 3;
	assert_fails(DEMO_CHECK_INTRUDERS, "beta got 1 new sessions while it was out");
}

static void what_was_not_looked_at_does_not_hold(void **state)
{
	(void)state;
	outcome.numbers.suspect_count = DEMO_SUSPECT_MAX + 1;
	assert_fails(DEMO_CHECK_INTRUDERS,
		"1025 sessions began on beta around its failure: too many to look at");
}

static void a_backend_that_never_went_out_proves_nothing(void **state)
{
	(void)state;
	outcome.transition_count = 0;
	assert_false(demo_judge(&outcome, checks));
	assert_false(checks[DEMO_CHECK_PATH].held);
	assert_string_equal(checks[DEMO_CHECK_INTRUDERS].text, "beta never went out");
}

static void sessions_that_were_cut_are_told(void **state)
{
	(void)state;
	outcome.numbers.old_answers = 0;
	assert_fails(
		DEMO_CHECK_OLD_SESSIONS, "the sessions that beta had did not go on when it failed");
}

static void a_backend_that_stays_without_sessions_is_told(void **state)
{
	(void)state;
	outcome.numbers.sessions[DEMO_AFTER][DEMO_VICTIM] = 0;
	assert_false(demo_judge(&outcome, checks));
	assert_string_equal(
		checks[DEMO_CHECK_RETURN].text, "beta got no session after its recovery");
}

static void an_end_in_disorder_is_told(void **state)
{
	(void)state;
	outcome.exit_code = 139;
	assert_fails(DEMO_CHECK_STOP, "the balancer ended with exit code 139: a signal killed it");
	outcome.exit_code = 0;
	outcome.sessions_cut = 4;
	assert_fails(DEMO_CHECK_STOP, "the balancer cut 4 sessions when it stopped");
	outcome.sessions_cut = 0;
	outcome.stopped = false;
	assert_fails(DEMO_CHECK_STOP, "the balancer did not say that it had stopped");
}

static void more_transitions_than_are_kept_do_no_harm(void **state)
{
	(void)state;
	outcome.transition_count = 0;
	while (outcome.transition_count < DEMO_TRANSITION_MAX) {
		add_transition("beta", "unhealthy", "unhealthy", 1);
	}
	outcome.transition_count = DEMO_TRANSITION_MAX + 9;
	assert_false(demo_judge(&outcome, checks));
	assert_false(checks[DEMO_CHECK_PATH].held);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_good_demo_holds, set_up),
		cmocka_unit_test_setup(an_error_of_a_client_is_told, set_up),
		cmocka_unit_test_setup(damage_on_the_way_to_a_backend_is_told, set_up),
		cmocka_unit_test_setup(no_traffic_is_no_success, set_up),
		cmocka_unit_test_setup(shares_may_differ_by_what_is_under_way, set_up),
		cmocka_unit_test_setup(few_sessions_prove_nothing, set_up),
		cmocka_unit_test_setup(another_path_is_told, set_up),
		cmocka_unit_test_setup(the_others_have_to_stay_healthy, set_up),
		cmocka_unit_test_setup(a_new_session_on_a_backend_that_is_out_is_told, set_up),
		cmocka_unit_test_setup(what_was_not_looked_at_does_not_hold, set_up),
		cmocka_unit_test_setup(a_backend_that_never_went_out_proves_nothing, set_up),
		cmocka_unit_test_setup(sessions_that_were_cut_are_told, set_up),
		cmocka_unit_test_setup(a_backend_that_stays_without_sessions_is_told, set_up),
		cmocka_unit_test_setup(an_end_in_disorder_is_told, set_up),
		cmocka_unit_test_setup(more_transitions_than_are_kept_do_no_harm, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
