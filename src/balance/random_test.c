#include "balance/testing.h"

/* Limits of chi-squared that chance exceeds once in 100,000, by degrees of freedom. */
static const double chi_limit_2 = 23.1;
static const double chi_limit_5 = 30.9;
static const double chi_limit_999 = 1200.0;

struct fixture {
	struct arena *arena;
	struct rng rng;
	struct pick pick;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.arena = arena_create()};
	rng_init(&fixture.rng, 2026);
	fixture.pick = (struct pick){.rng = &fixture.rng};
	*state = &fixture;
	return fixture.arena == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	arena_free(fixture->arena);
	return 0;
}

static struct snapshot_pool pool_of(
	struct fixture *fixture, const uint32_t *weights, uint32_t count)
{
	return test_pool(
		fixture->arena, "random", test_backends(fixture->arena, weights, count), count);
}

/* Draws and returns the chi-squared of what came, against `weights`; those of 0 must not come. */
static double chi_squared(struct fixture *fixture, const struct snapshot_pool *pool,
	const uint32_t *weights, uint32_t draws)
{
	static uint32_t seen[1000];
	double sum = 0;
	double chi = 0;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		seen[i] = 0;
		sum += weights[i];
	}
	for (uint32_t i = 0; i < draws; i++) {
		seen[balance_pick(pool, &fixture->pick)]++;
	}
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const double expected = (double)draws * weights[i] / sum;

		if (weights[i] == 0) {
			assert_int_equal(seen[i], 0);
		} else {
			chi += (seen[i] - expected) * (seen[i] - expected) / expected;
		}
	}
	return chi;
}

static void draws_are_true_to_the_weights(void **state)
{
	static const uint32_t vectors[][6] = {
		{1, 1, 1, 1, 1, 1},
		{5, 1, 1, 1, 1, 1},
		{2, 3, 5, 7, 11, 13},
		{60000, 3000, 2000, 1500, 1000, 500},
		{1, 2, 4, 8, 16, 32},
	};
	struct fixture *fixture = *state;

	for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
		const struct snapshot_pool pool = pool_of(fixture, vectors[v], 6);

		for (uint64_t seed = 1; seed <= 4; seed++) {
			rng_init(&fixture->rng, seed);
			assert_true(chi_squared(fixture, &pool, vectors[v], 200000) < chi_limit_5);
		}
	}
}

/* The test above has to be able to fail: one in fifty sessions astray is enough. */
static void the_test_finds_weights_that_are_slightly_off(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool =
		pool_of(fixture, (uint32_t[]){102, 100, 98, 100, 100, 100}, 6);

	assert_true(chi_squared(fixture, &pool, (uint32_t[]){100, 100, 100, 100, 100, 100},
			    2000000) > chi_limit_5);
}

static void backends_without_weight_are_never_drawn(void **state)
{
	struct fixture *fixture = *state;
	const uint32_t weights[] = {0, 5, 0, 2, 0, 1};
	const struct snapshot_pool pool = pool_of(fixture, weights, 6);

	assert_true(chi_squared(fixture, &pool, weights, 200000) < chi_limit_2);
}

static void a_thousand_backends_are_drawn_by_weight(void **state)
{
	static uint32_t weights[1000];
	struct fixture *fixture = *state;
	struct snapshot_pool pool;

	for (uint32_t i = 0; i < 1000; i++) {
		weights[i] = 1 + i % 50;
	}
	pool = pool_of(fixture, weights, 1000);
	assert_true(chi_squared(fixture, &pool, weights, 1000000) < chi_limit_999);
}

/* Two weights, 65535 and 1: once in 65,536 draws, so about 15 of a million. */
static void the_lightest_backend_is_drawn_as_rarely_as_it_should(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){65535, 1}, 2);
	uint32_t light = 0;

	for (int i = 0; i < 1000000; i++) {
		light += balance_pick(&pool, &fixture->pick) == 1;
	}
	assert_in_range(light, 2, 40);
}

static void what_was_tried_is_not_drawn_and_the_rest_keeps_its_weights(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){9, 5, 2, 9, 0, 1}, 6);

	fixture->pick.tried = (uint32_t[]){TEST_SLOT_FIRST, TEST_SLOT_FIRST + 3};
	fixture->pick.tried_count = 2;
	assert_true(
		chi_squared(fixture, &pool, (uint32_t[]){0, 5, 2, 0, 0, 1}, 200000) < chi_limit_2);
}

/* One holds nearly all of the weight, so that most picks end in the look at all the others. */
static void a_heavy_backend_that_was_tried_leaves_the_rest_their_weights(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){65535, 5, 2, 1}, 4);

	fixture->pick.tried = (uint32_t[]){TEST_SLOT_FIRST};
	fixture->pick.tried_count = 1;
	assert_true(chi_squared(fixture, &pool, (uint32_t[]){0, 5, 2, 1}, 200000) < chi_limit_2);
}

static void a_session_that_has_tried_all_gets_none(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){3, 1}, 2);

	fixture->pick.tried = (uint32_t[]){TEST_SLOT_FIRST + 1, TEST_SLOT_FIRST};
	fixture->pick.tried_count = 2;
	assert_int_equal(balance_pick(&pool, &fixture->pick), BALANCE_NONE);
}

static void the_same_seed_draws_the_same_backends(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){3, 1, 7}, 3);
	int first[100];

	rng_init(&fixture->rng, 5);
	for (int i = 0; i < 100; i++) {
		first[i] = balance_pick(&pool, &fixture->pick);
	}
	rng_init(&fixture->rng, 5);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(balance_pick(&pool, &fixture->pick), first[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(draws_are_true_to_the_weights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_test_finds_weights_that_are_slightly_off, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			backends_without_weight_are_never_drawn, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_thousand_backends_are_drawn_by_weight, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_lightest_backend_is_drawn_as_rarely_as_it_should, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_was_tried_is_not_drawn_and_the_rest_keeps_its_weights, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_heavy_backend_that_was_tried_leaves_the_rest_their_weights, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_session_that_has_tried_all_gets_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_same_seed_draws_the_same_backends, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
