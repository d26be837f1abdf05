#include "balance/algorithms.h"
#include "balance/testing.h"

/* Knows one slot that is full, and counts the questions. */
struct oracle {
	uint32_t full_slot;
	uint32_t *questions;
};

static bool is_full(const void *context, uint32_t slot, uint32_t max_connections)
{
	const struct oracle *oracle = context;

	(*oracle->questions)++;
	assert_int_equal(max_connections, 10);
	return slot == oracle->full_slot;
}

static void a_backend_is_allowed_unless_there_is_a_reason_against_it(void **state)
{
	const struct snapshot_backend free = {.slot = 1, .weight = 1};
	const struct snapshot_backend weightless = {.slot = 1, .weight = 0};
	const struct snapshot_backend tried = {.slot = 2, .weight = 1};
	const struct snapshot_backend full = {.slot = 3, .weight = 1, .max_connections = 10};
	const struct snapshot_backend limited = {.slot = 4, .weight = 1, .max_connections = 10};
	uint32_t questions = 0;
	const struct oracle oracle = {.full_slot = 3, .questions = &questions};
	struct pick pick = {
		.tried = (uint32_t[]){7, 2},
		.tried_count = 2,
		.is_full = is_full,
		.context = &oracle,
	};

	(void)state;
	assert_true(pick_allows(&pick, &free));
	assert_false(pick_allows(&pick, &weightless));
	assert_false(pick_allows(&pick, &tried));
	assert_int_equal(questions, 0); /* none of these has a limit */
	assert_false(pick_allows(&pick, &full));
	assert_true(pick_allows(&pick, &limited));
	assert_int_equal(questions, 2);

	pick.is_full = NULL;
	assert_true(pick_allows(&pick, &full));
}

static void each_backend_is_asked_once_when_all_are_looked_at(void **state)
{
	struct arena *arena = arena_create();
	struct snapshot_backend *backends = test_backends(arena, (uint32_t[]){1, 2, 3, 4}, 4);
	const struct snapshot_pool pool = {.backends = backends, .backend_count = 4};
	uint32_t questions = 0;
	const struct oracle oracle = {.full_slot = TEST_SLOT_FIRST + 3, .questions = &questions};
	uint32_t seen[4] = {0};
	struct rng rng;
	const struct pick pick = {.rng = &rng, .is_full = is_full, .context = &oracle};

	(void)state;
	rng_init(&rng, 4);
	for (int i = 0; i < 4; i++) {
		backends[i].max_connections = 10;
	}
	for (int i = 0; i < 6000; i++) {
		seen[pick_among_left(&pool, &pick)]++;
	}
	assert_int_equal(questions, 4 * 6000);
	assert_int_equal(seen[3], 0);
	assert_in_range(seen[0], 1000 - 175, 1000 + 175); /* 6 sigma */
	assert_in_range(seen[1], 2000 - 220, 2000 + 220);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_is_allowed_unless_there_is_a_reason_against_it),
		cmocka_unit_test(each_backend_is_asked_once_when_all_are_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
