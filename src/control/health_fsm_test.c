#include "base/testing.h"
#include "control/health_fsm.h"

static const uint64_t SECOND = 1000000000;

static const struct health_limits limits = {
	.failures = 3,
	.successes = 2,
	.flap_window_ns = 60000000000,
	.hold_down_max_ns = 5000000000,
};

static struct health_step feed_at(struct health *health, enum health_signal signal, uint64_t now_ns,
	uint64_t sessions, unsigned verdict)
{
	const struct health_input input = {
		.signal = signal,
		.verdict = verdict,
		.now_ns = now_ns,
		.started_ns = now_ns,
		.sessions = sessions,
	};

	return health_feed(health, &limits, &input);
}

/* A backend in the given state, one observation short of every threshold. */
static struct health on_the_edge(enum health_state state, bool graced)
{
	struct health health = {.state = state, .changed_ns = SECOND, .graced = graced};

	health.failures = state == HEALTH_HEALTHY ? limits.failures - 1 : 0;
	health.successes = state == HEALTH_HEALTHY ? 0 : limits.successes - 1;
	return health;
}

struct cell {
	enum health_state from;
	enum health_signal signal;
	bool graced;
	uint64_t sessions;
	unsigned verdict;
	enum health_state to;
	unsigned actions;
};

#define DOWN    (HEALTH_DO_PUBLISH | HEALTH_DO_PROBE)
#define UP      (HEALTH_DO_PUBLISH | HEALTH_DO_REST)
#define CONFIRM VERDICT_CONFIRM

static const struct cell cells[] = {
	{HEALTH_HEALTHY, SIGNAL_TRAFFIC_FAILURE, false, 1, 0, HEALTH_DRAINING, DOWN},
	{HEALTH_HEALTHY, SIGNAL_TRAFFIC_FAILURE, false, 0, 0, HEALTH_UNHEALTHY, DOWN},
	{HEALTH_HEALTHY, SIGNAL_TRAFFIC_FAILURE, false, 1, CONFIRM, HEALTH_HEALTHY,
		HEALTH_DO_CONFIRM},
	{HEALTH_HEALTHY, SIGNAL_TRAFFIC_FAILURE, false, 0, CONFIRM, HEALTH_HEALTHY,
		HEALTH_DO_CONFIRM},
	{HEALTH_HEALTHY, SIGNAL_TRAFFIC_SUCCESS, false, 1, 0, HEALTH_HEALTHY, 0},
	{HEALTH_HEALTHY, SIGNAL_PROBE_FAILURE, false, 1, CONFIRM, HEALTH_DRAINING, DOWN},
	{HEALTH_HEALTHY, SIGNAL_PROBE_FAILURE, false, 0, CONFIRM, HEALTH_UNHEALTHY, DOWN},
	{HEALTH_HEALTHY, SIGNAL_PROBE_SUCCESS, false, 0, 0, HEALTH_HEALTHY, 0},
	{HEALTH_HEALTHY, SIGNAL_GRACE, false, 0, 0, HEALTH_HEALTHY, 0},
	{HEALTH_HEALTHY, SIGNAL_SESSIONS, true, 0, 0, HEALTH_HEALTHY, 0},
	{HEALTH_HEALTHY, SIGNAL_REVIEW, false, 0, 0, HEALTH_HEALTHY, 0},
	{HEALTH_HEALTHY, SIGNAL_READY, false, 0, 0, HEALTH_HEALTHY, 0},
	{HEALTH_DRAINING, SIGNAL_TRAFFIC_FAILURE, true, 1, 0, HEALTH_DRAINING, 0},
	{HEALTH_DRAINING, SIGNAL_TRAFFIC_SUCCESS, true, 1, 0, HEALTH_DRAINING, 0},
	{HEALTH_DRAINING, SIGNAL_PROBE_FAILURE, true, 1, 0, HEALTH_DRAINING, 0},
	{HEALTH_DRAINING, SIGNAL_PROBE_SUCCESS, true, 1, 0, HEALTH_HEALTHY, UP},
	{HEALTH_DRAINING, SIGNAL_GRACE, false, 0, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_DRAINING, SIGNAL_GRACE, false, 1, 0, HEALTH_DRAINING, 0},
	{HEALTH_DRAINING, SIGNAL_SESSIONS, true, 0, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_DRAINING, SIGNAL_SESSIONS, true, 1, 0, HEALTH_DRAINING, 0},
	{HEALTH_DRAINING, SIGNAL_SESSIONS, false, 0, 0, HEALTH_DRAINING, 0},
	{HEALTH_DRAINING, SIGNAL_REVIEW, true, 1, 0, HEALTH_DRAINING, 0},
	{HEALTH_DRAINING, SIGNAL_READY, true, 1, 0, HEALTH_DRAINING, 0},
	{HEALTH_UNHEALTHY, SIGNAL_TRAFFIC_FAILURE, true, 1, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_UNHEALTHY, SIGNAL_TRAFFIC_SUCCESS, true, 1, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_UNHEALTHY, SIGNAL_PROBE_FAILURE, true, 0, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_UNHEALTHY, SIGNAL_PROBE_SUCCESS, true, 0, 0, HEALTH_HEALTHY, UP},
	{HEALTH_UNHEALTHY, SIGNAL_GRACE, false, 0, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_UNHEALTHY, SIGNAL_SESSIONS, true, 0, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_UNHEALTHY, SIGNAL_REVIEW, true, 0, 0, HEALTH_UNHEALTHY, 0},
	{HEALTH_UNHEALTHY, SIGNAL_READY, true, 0, 0, HEALTH_UNHEALTHY, 0},
};

static void every_state_meets_every_signal(void **state)
{
	bool seen[HEALTH_STATE_COUNT][SIGNAL_COUNT] = {{false}};

	(void)state;
	for (size_t i = 0; i < sizeof cells / sizeof cells[0]; i++) {
		const struct cell *cell = &cells[i];
		struct health health = on_the_edge(cell->from, cell->graced);
		const struct health_step step =
			feed_at(&health, cell->signal, 2 * SECOND, cell->sessions, cell->verdict);

		seen[cell->from][cell->signal] = true;
		assert_int_equal(step.from, cell->from);
		assert_int_equal(step.to, cell->to);
		assert_int_equal(step.actions, cell->actions);
		assert_int_equal(health.state, cell->to);
	}
	for (int from = HEALTH_HEALTHY; from < HEALTH_STATE_COUNT; from++) {
		for (int signal = 0; signal < SIGNAL_COUNT; signal++) {
			assert_true(seen[from][signal]);
		}
	}
}

static void only_consecutive_failures_count(void **state)
{
	struct health health;

	(void)state;
	health_init(&health, HEALTH_HEALTHY, SECOND);
	for (uint64_t i = 2; i < 100; i += 3) {
		feed_at(&health, SIGNAL_TRAFFIC_FAILURE, i * SECOND, 1, 0);
		feed_at(&health, SIGNAL_TRAFFIC_FAILURE, i * SECOND, 1, 0);
		assert_true(health_wants_success(&health));
		feed_at(&health, SIGNAL_TRAFFIC_SUCCESS, i * SECOND, 1, 0);
		assert_false(health_wants_success(&health));
	}
	assert_int_equal(health.state, HEALTH_HEALTHY);
}

static void what_began_before_the_change_is_void(void **state)
{
	struct health health;
	struct health_input late = {
		.signal = SIGNAL_PROBE_SUCCESS, .now_ns = 9 * SECOND, .started_ns = 4 * SECOND};

	(void)state;
	health_init(&health, HEALTH_HEALTHY, SECOND);
	for (int i = 0; i < 3; i++) {
		feed_at(&health, SIGNAL_TRAFFIC_FAILURE, 5 * SECOND, 1, 0);
	}
	assert_int_equal(health.state, HEALTH_DRAINING);
	for (int i = 0; i < 5; i++) {
		health_feed(&health, &limits, &late);
	}
	assert_int_equal(health.state, HEALTH_DRAINING);
	assert_int_equal(health.successes, 0);
	late.started_ns = 5 * SECOND;
	health_feed(&health, &limits, &late);
	assert_int_equal(health.successes, 1);
}

static void eject(struct health *health, uint64_t now_ns)
{
	for (uint32_t i = 0; i < limits.failures; i++) {
		feed_at(health, SIGNAL_TRAFFIC_FAILURE, now_ns, 0, 0);
	}
	assert_int_equal(health->state, HEALTH_UNHEALTHY);
}

/* Returns when it came back, with a probe each tenth of a second. */
static uint64_t recover(struct health *health, uint64_t now_ns)
{
	while (health->state != HEALTH_HEALTHY) {
		now_ns += SECOND / 10;
		feed_at(health, SIGNAL_PROBE_SUCCESS, now_ns, 0, 0);
	}
	return now_ns;
}

static void flapping_is_held_down_longer_and_longer(void **state)
{
	static const uint64_t at_least[] = {1, 2, 4, 5, 5};
	struct health health;
	uint64_t now_ns = SECOND;

	(void)state;
	health_init(&health, HEALTH_HEALTHY, now_ns);
	eject(&health, now_ns);
	assert_int_equal(health.held_until_ns, 0);
	now_ns = recover(&health, now_ns);
	assert_int_equal(now_ns, SECOND + 2 * SECOND / 10);
	for (size_t i = 0; i < sizeof at_least / sizeof at_least[0]; i++) {
		const uint64_t out_ns = now_ns + SECOND;

		eject(&health, out_ns);
		now_ns = recover(&health, out_ns);
		assert_int_equal(now_ns, out_ns + at_least[i] * SECOND);
	}
	now_ns += limits.flap_window_ns + 1;
	eject(&health, now_ns);
	assert_int_equal(health.held_until_ns, 0);
	now_ns = recover(&health, now_ns);
	eject(&health, now_ns);
	assert_int_equal(health.held_until_ns, now_ns + SECOND);
}

static struct health held_down(uint64_t now_ns)
{
	struct health health;

	health_init(&health, HEALTH_HEALTHY, SECOND);
	eject(&health, SECOND);
	(void)recover(&health, SECOND);
	eject(&health, now_ns);
	feed_at(&health, SIGNAL_PROBE_SUCCESS, now_ns, 0, 0);
	feed_at(&health, SIGNAL_PROBE_SUCCESS, now_ns, 0, 0);
	assert_int_equal(health.state, HEALTH_UNHEALTHY);
	return health;
}

static void a_hold_down_is_void_without_a_healthy_backend(void **state)
{
	struct health health = held_down(3 * SECOND);

	(void)state;
	feed_at(&health, SIGNAL_REVIEW, 3 * SECOND, 0, 0);
	assert_int_equal(health.state, HEALTH_UNHEALTHY);
	feed_at(&health, SIGNAL_REVIEW, 3 * SECOND, 0, VERDICT_HOLD_VOID);
	assert_int_equal(health.state, HEALTH_HEALTHY);
}

static void ready_clears_a_hold_down_and_its_history(void **state)
{
	struct health health = held_down(3 * SECOND);

	(void)state;
	feed_at(&health, SIGNAL_READY, 3 * SECOND, 0, 0);
	assert_int_equal(health.state, HEALTH_HEALTHY);
	eject(&health, 4 * SECOND);
	assert_int_equal(health.held_until_ns, 5 * SECOND);
}

static void the_end_of_sessions_keeps_the_row_of_successes(void **state)
{
	struct health health;

	(void)state;
	health_init(&health, HEALTH_HEALTHY, SECOND);
	for (int i = 0; i < 3; i++) {
		feed_at(&health, SIGNAL_TRAFFIC_FAILURE, 2 * SECOND, 1, 0);
	}
	feed_at(&health, SIGNAL_PROBE_SUCCESS, 3 * SECOND, 1, 0);
	feed_at(&health, SIGNAL_GRACE, 4 * SECOND, 0, 0);
	assert_int_equal(health.state, HEALTH_UNHEALTHY);
	feed_at(&health, SIGNAL_PROBE_SUCCESS, 5 * SECOND, 0, 0);
	assert_int_equal(health.state, HEALTH_HEALTHY);
}

static void a_failed_probe_breaks_the_row_of_successes(void **state)
{
	struct health health;

	(void)state;
	health_init(&health, HEALTH_UNHEALTHY, SECOND);
	for (uint64_t i = 2; i < 20; i++) {
		feed_at(&health, SIGNAL_PROBE_SUCCESS, i * SECOND, 0, 0);
		feed_at(&health, SIGNAL_PROBE_FAILURE, i * SECOND, 0, 0);
	}
	assert_int_equal(health.state, HEALTH_UNHEALTHY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_state_meets_every_signal),
		cmocka_unit_test(only_consecutive_failures_count),
		cmocka_unit_test(what_began_before_the_change_is_void),
		cmocka_unit_test(flapping_is_held_down_longer_and_longer),
		cmocka_unit_test(a_hold_down_is_void_without_a_healthy_backend),
		cmocka_unit_test(ready_clears_a_hold_down_and_its_history),
		cmocka_unit_test(the_end_of_sessions_keeps_the_row_of_successes),
		cmocka_unit_test(a_failed_probe_breaks_the_row_of_successes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
