#include "base/testing.h"
#include "control/pool_health.h"

enum { BACKENDS_MAX = 10 };

struct fixture {
	struct pool_health pool;
	struct backend_health backends[BACKENDS_MAX];
	uint64_t now_ns;
};

static void begin(struct fixture *fixture, uint32_t count, uint32_t max_ejected)
{
	*fixture = (struct fixture){
		.pool =
			{
				.limits = {.failures = 1,
					.successes = 1,
					.flap_window_ns = 1000,
					.hold_down_max_ns = 300000000000},
				.max_ejected = max_ejected,
				.backend_count = count,
			},
		.now_ns = 1000000000,
	};
	fixture->pool.backends = fixture->backends;
	for (uint32_t i = 0; i < count; i++) {
		fixture->backends[i] = (struct backend_health){.weight = 1, .resolved = true};
		health_init(&fixture->backends[i].health, HEALTH_HEALTHY, fixture->now_ns);
	}
	pool_health_init(&fixture->pool);
}

static struct health_step feed(struct fixture *fixture, uint32_t index, enum health_signal signal)
{
	struct health_input input = {.signal = signal};

	fixture->now_ns++;
	input.now_ns = fixture->now_ns;
	input.started_ns = fixture->now_ns;
	return pool_health_feed(&fixture->pool, index, &input);
}

/* How many of `count` failing backends traffic alone takes out. */
static uint32_t ejected_by_traffic(uint32_t count, uint32_t max_ejected)
{
	struct fixture fixture;

	begin(&fixture, count, max_ejected);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < count; i++) {
			(void)feed(&fixture, i, SIGNAL_TRAFFIC_FAILURE);
		}
	}
	assert_int_equal(fixture.pool.usable, count - fixture.pool.ejected);
	return fixture.pool.ejected;
}

static void traffic_alone_ejects_no_more_than_its_share(void **state)
{
	(void)state;
	assert_int_equal(ejected_by_traffic(1, 50), 0);
	assert_int_equal(ejected_by_traffic(1, 100), 0);
	assert_int_equal(ejected_by_traffic(2, 50), 1);
	assert_int_equal(ejected_by_traffic(2, 0), 1);
	assert_int_equal(ejected_by_traffic(2, 100), 1);
	assert_int_equal(ejected_by_traffic(3, 50), 1);
	assert_int_equal(ejected_by_traffic(10, 50), 5);
	assert_int_equal(ejected_by_traffic(10, 0), 1);
	assert_int_equal(ejected_by_traffic(10, 100), 9);
}

static void a_probe_confirms_what_traffic_may_not_do(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture, 2, 50);
	assert_int_equal(feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE).to, HEALTH_UNHEALTHY);
	assert_int_equal(feed(&fixture, 1, SIGNAL_TRAFFIC_FAILURE).actions, HEALTH_DO_CONFIRM);
	assert_int_equal(feed(&fixture, 1, SIGNAL_PROBE_FAILURE).to, HEALTH_UNHEALTHY);
	assert_true(pool_health_failed(&fixture.pool));
}

static void the_last_usable_one_counts_not_the_last_healthy_one(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture, 3, 100);
	pool_health_set_admin(&fixture.pool, 0, ADMIN_MAINTENANCE);
	pool_health_set_weight(&fixture.pool, 1, 0);
	assert_int_equal(fixture.pool.usable, 1);
	assert_int_equal(feed(&fixture, 2, SIGNAL_TRAFFIC_FAILURE).actions, HEALTH_DO_CONFIRM);
	pool_health_set_weight(&fixture.pool, 1, 7);
	assert_int_equal(feed(&fixture, 2, SIGNAL_TRAFFIC_FAILURE).to, HEALTH_UNHEALTHY);
}

static void with_none_left_all_that_may_are_tried(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture, 5, 100);
	pool_health_set_admin(&fixture.pool, 0, ADMIN_DRAIN);
	pool_health_set_admin(&fixture.pool, 1, ADMIN_MAINTENANCE);
	pool_health_set_weight(&fixture.pool, 2, 0);
	pool_health_set_resolved(&fixture.pool, 3, false);
	assert_true(pool_health_takes(&fixture.pool, 4));
	(void)feed(&fixture, 4, SIGNAL_PROBE_FAILURE);
	assert_true(pool_health_failed(&fixture.pool));
	for (uint32_t i = 0; i < 4; i++) {
		assert_false(pool_health_takes(&fixture.pool, i));
	}
	assert_true(pool_health_takes(&fixture.pool, 4));
	fixture.pool.fallback = POOL_REFUSE;
	assert_false(pool_health_takes(&fixture.pool, 4));
}

static void while_one_is_healthy_only_healthy_ones_are_taken(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture, 2, 50);
	(void)feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	assert_false(pool_health_takes(&fixture.pool, 0));
	assert_true(pool_health_takes(&fixture.pool, 1));
}

static void a_held_one_returns_when_nobody_else_is_left(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture, 2, 50);
	(void)feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	assert_int_equal(feed(&fixture, 0, SIGNAL_PROBE_SUCCESS).to, HEALTH_HEALTHY);
	assert_int_equal(feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE).hold_down_ns, 1000000000);
	assert_int_equal(feed(&fixture, 0, SIGNAL_PROBE_SUCCESS).to, HEALTH_UNHEALTHY);
	(void)feed(&fixture, 1, SIGNAL_TRAFFIC_FAILURE);
	assert_int_equal(feed(&fixture, 0, SIGNAL_REVIEW).to, HEALTH_UNHEALTHY);
	(void)feed(&fixture, 1, SIGNAL_PROBE_FAILURE);
	assert_int_equal(feed(&fixture, 0, SIGNAL_REVIEW).to, HEALTH_HEALTHY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(traffic_alone_ejects_no_more_than_its_share),
		cmocka_unit_test(a_probe_confirms_what_traffic_may_not_do),
		cmocka_unit_test(the_last_usable_one_counts_not_the_last_healthy_one),
		cmocka_unit_test(with_none_left_all_that_may_are_tried),
		cmocka_unit_test(while_one_is_healthy_only_healthy_ones_are_taken),
		cmocka_unit_test(a_held_one_returns_when_nobody_else_is_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
