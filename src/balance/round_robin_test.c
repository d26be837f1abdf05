#include "balance/algorithms.h"
#include "balance/schedule.h"
#include "balance/testing.h"

enum { BACKENDS_MAX = 1000 };

struct fixture {
	struct arena *arena;
	_Atomic uint64_t turn;
	struct rng rng;
	struct pick pick;
};

/* How many sessions each backend has: what a worker would know. */
struct load {
	uint32_t sessions[BACKENDS_MAX];
};

static bool is_full(const void *context, uint32_t slot, uint32_t max_connections)
{
	const struct load *load = context;

	return load->sessions[slot - TEST_SLOT_FIRST] >= max_connections;
}

static int set_up(void **state)
{
	static struct fixture fixture;

	fixture = (struct fixture){.arena = arena_create()};
	rng_init(&fixture.rng, 11);
	fixture.pick = (struct pick){.turn = &fixture.turn, .rng = &fixture.rng};
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
	return test_pool(fixture->arena, "round_robin",
		test_backends(fixture->arena, weights, count), count);
}

/* Picks like a session that finds each backend before `dead_count` dead, and tries again. */
static int pick_alive(const struct snapshot_pool *pool, struct pick *pick, uint32_t dead_count)
{
	uint32_t tried[PICK_TRIED_MAX];
	int index;

	pick->tried = tried;
	pick->tried_count = 0;
	for (;;) {
		index = balance_pick(pool, pick);
		if (index == BALANCE_NONE || (uint32_t)index >= dead_count) {
			break;
		}
		tried[pick->tried_count++] = pool->backends[index].slot;
	}
	pick->tried_count = 0;
	return index;
}

static void equal_weights_go_round_in_the_order_of_the_configuration(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){4, 4, 4}, 3);

	for (int round = 0; round < 3000; round++) {
		assert_int_equal(balance_pick(&pool, &fixture->pick), round % 3);
	}
	assert_int_equal(atomic_load(&fixture->turn), 3000);
}

static void each_cycle_is_exact_and_like_the_one_before(void **state)
{
	static const uint32_t vectors[][6] = {{5, 1, 1}, {2, 3, 5, 7, 11, 13}, {100, 1}, {9, 6, 3}};
	struct fixture *fixture = *state;

	for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
		const struct snapshot_pool pool = pool_of(fixture, vectors[v], 6);
		const struct schedule *schedule = pool.schedule;

		atomic_store(&fixture->turn, 0);
		for (int cycle = 0; cycle < 5; cycle++) {
			uint32_t picked[6] = {0};

			for (uint32_t turn = 0; turn < schedule->length; turn++) {
				const int index = balance_pick(&pool, &fixture->pick);

				assert_int_equal(index, schedule->entries[turn]);
				picked[index]++;
			}
			for (int i = 0; i < 6; i++) { /* compared without the common divisor */
				assert_int_equal(
					picked[i] * vectors[v][0], vectors[v][i] * picked[0]);
			}
		}
	}
}

static void a_new_snapshot_goes_on_where_the_old_one_was(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool old = pool_of(fixture, (uint32_t[]){1, 1, 1}, 3);
	const struct snapshot_pool new = pool_of(fixture, (uint32_t[]){1, 1, 1}, 3);

	assert_int_equal(balance_pick(&old, &fixture->pick), 0);
	assert_int_equal(balance_pick(&old, &fixture->pick), 1);
	assert_int_equal(balance_pick(&new, &fixture->pick), 2);
	assert_int_equal(balance_pick(&new, &fixture->pick), 0);
}

static void the_counter_may_be_anywhere(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){1, 1}, 2);

	atomic_store(&fixture->turn, UINT64_MAX - 1);
	assert_int_equal(balance_pick(&pool, &fixture->pick), 0);
	assert_int_equal(balance_pick(&pool, &fixture->pick), 1);
	assert_int_equal(balance_pick(&pool, &fixture->pick), 0);
}

static void a_dead_backend_does_not_double_its_neighbour(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){1, 1, 1, 1, 1}, 5);
	uint32_t picked[5] = {0};

	for (int round = 0; round < 4000; round++) {
		picked[pick_alive(&pool, &fixture->pick, 1)]++;
	}
	assert_int_equal(picked[0], 0);
	for (int i = 1; i < 5; i++) {
		assert_int_equal(picked[i], 1000);
	}
}

/* In a cycle of 16 turns the dead ones have 7; the others keep their own 2, 3 and 4. */
static void dead_backends_leave_the_others_their_weights(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){6, 1, 2, 3, 4}, 5);
	uint32_t picked[5] = {0};

	for (int round = 0; round < 9000; round++) {
		picked[pick_alive(&pool, &fixture->pick, 2)]++;
	}
	assert_int_equal(picked[0] + picked[1], 0);
	assert_in_range(picked[2], 1998, 2002);
	assert_in_range(picked[3], 2998, 3002);
	assert_in_range(picked[4], 3998, 4002);
}

static void a_session_that_has_tried_all_gets_none(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){5, 1, 1}, 3);

	for (int round = 0; round < 100; round++) {
		assert_int_equal(pick_alive(&pool, &fixture->pick, 3), BALANCE_NONE);
	}
}

static void a_pick_never_draws_more_than_the_bound(void **state)
{
	struct fixture *fixture = *state;
	const struct snapshot_pool pool = pool_of(fixture, (uint32_t[]){65535, 1, 2}, 3);
	uint32_t light = 0;

	fixture->pick.tried = (uint32_t[]){TEST_SLOT_FIRST};
	fixture->pick.tried_count = 1;
	for (int round = 0; round < 3000; round++) {
		const uint64_t before = atomic_load(&fixture->turn);
		const int index = balance_pick(&pool, &fixture->pick);

		assert_in_range(index, 1, 2);
		assert_in_range(atomic_load(&fixture->turn) - before, 1, BALANCE_DRAWS_MAX);
		light += index == 1;
	}
	assert_in_range(
		light, 850, 1150); /* a third, by their weights; 1,000 +- 150 is 5.8 sigma */
}

static void a_full_backend_is_passed_over_until_a_session_ends(void **state)
{
	struct fixture *fixture = *state;
	struct snapshot_backend *backends = test_backends(fixture->arena, (uint32_t[]){1, 1, 1}, 3);
	struct load load = {0};
	struct snapshot_pool pool;

	backends[1].max_connections = 2;
	pool = test_pool(fixture->arena, "round_robin", backends, 3);
	fixture->pick.is_full = is_full;
	fixture->pick.context = &load;
	for (int round = 0; round < 30; round++) {
		load.sessions[balance_pick(&pool, &fixture->pick)]++;
	}
	assert_int_equal(load.sessions[0], 14);
	assert_int_equal(load.sessions[1], 2);
	assert_int_equal(load.sessions[2], 14);

	load.sessions[1]--;
	for (int round = 0; round < 3; round++) {
		load.sessions[balance_pick(&pool, &fixture->pick)]++;
	}
	assert_int_equal(load.sessions[1], 2);
}

static void a_pool_that_is_full_gives_none(void **state)
{
	static uint32_t weights[BACKENDS_MAX];
	static struct load load;
	struct fixture *fixture = *state;
	struct snapshot_backend *backends;
	struct snapshot_pool pool;

	for (int i = 0; i < BACKENDS_MAX; i++) {
		weights[i] = 3;
	}
	backends = test_backends(fixture->arena, weights, BACKENDS_MAX);
	for (int i = 0; i < BACKENDS_MAX; i++) {
		backends[i].max_connections = 2;
	}
	pool = test_pool(fixture->arena, "round_robin", backends, BACKENDS_MAX);
	fixture->pick.is_full = is_full;
	fixture->pick.context = &load;
	for (int round = 0; round < 2 * BACKENDS_MAX; round++) {
		const int index = balance_pick(&pool, &fixture->pick);

		assert_in_range(index, 0, BACKENDS_MAX - 1);
		assert_in_range(++load.sessions[index], 1, 2);
	}
	assert_int_equal(balance_pick(&pool, &fixture->pick), BALANCE_NONE);
	load.sessions[617] = 1;
	assert_int_equal(balance_pick(&pool, &fixture->pick), 617);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			equal_weights_go_round_in_the_order_of_the_configuration, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			each_cycle_is_exact_and_like_the_one_before, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_new_snapshot_goes_on_where_the_old_one_was, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_counter_may_be_anywhere, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_dead_backend_does_not_double_its_neighbour, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			dead_backends_leave_the_others_their_weights, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_session_that_has_tried_all_gets_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_pick_never_draws_more_than_the_bound, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_full_backend_is_passed_over_until_a_session_ends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_pool_that_is_full_gives_none, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
