#include "balance/balance.h"
#include "balance/testing.h"

static void algorithms_are_found_by_name(void **state)
{
	(void)state;
	assert_string_equal(balance_find("round_robin")->name, "round_robin");
	assert_string_equal(balance_find("random")->name, "random");
	assert_null(balance_find("round_robi"));
	assert_null(balance_find("round_robins"));
	assert_null(balance_find(""));
}

static void a_pool_without_backends_has_none_to_pick(void **state)
{
	const struct snapshot_pool pool = {.algorithm = balance_find("round_robin")};
	_Atomic uint64_t turn = 0;
	struct rng rng;
	const struct pick pick = {.turn = &turn, .rng = &rng};

	(void)state;
	rng_init(&rng, 1);
	assert_int_equal(balance_pick(&pool, &pick), BALANCE_NONE);
	assert_int_equal(atomic_load(&turn), 0);
}

static void every_algorithm_picks_the_only_backend(void **state)
{
	static const char *const names[] = {"round_robin", "random"};
	struct arena *arena = arena_create();
	_Atomic uint64_t turn = 0;
	struct rng rng;
	struct pick pick = {.turn = &turn, .rng = &rng};

	(void)state;
	rng_init(&rng, 2);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const struct snapshot_pool pool =
			test_pool(arena, names[i], test_backends(arena, (uint32_t[]){9}, 1), 1);

		pick.tried_count = 0;
		for (int round = 0; round < 100; round++) {
			assert_int_equal(balance_pick(&pool, &pick), 0);
		}
		pick.tried = (uint32_t[]){TEST_SLOT_FIRST};
		pick.tried_count = 1;
		assert_int_equal(balance_pick(&pool, &pick), BALANCE_NONE);
	}
	arena_free(arena);
}

static void no_algorithm_picks_a_backend_without_weight(void **state)
{
	static const char *const names[] = {"round_robin", "random"};
	struct arena *arena = arena_create();
	_Atomic uint64_t turn = 0;
	struct rng rng;
	const struct pick pick = {.turn = &turn, .rng = &rng};

	(void)state;
	rng_init(&rng, 3);
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		const struct snapshot_pool some = test_pool(
			arena, names[i], test_backends(arena, (uint32_t[]){0, 2, 0}, 3), 3);
		const struct snapshot_pool none =
			test_pool(arena, names[i], test_backends(arena, (uint32_t[]){0, 0}, 2), 2);

		for (int round = 0; round < 1000; round++) {
			assert_int_equal(balance_pick(&some, &pick), 1);
		}
		assert_int_equal(balance_pick(&none, &pick), BALANCE_NONE);
	}
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(algorithms_are_found_by_name),
		cmocka_unit_test(a_pool_without_backends_has_none_to_pick),
		cmocka_unit_test(every_algorithm_picks_the_only_backend),
		cmocka_unit_test(no_algorithm_picks_a_backend_without_weight),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
