#include <stdlib.h>
#include <string.h>

#include "balance/schedule.h"
#include "balance/testing.h"
#include "base/array.h"

enum { WEIGHTS_MAX = 1000 };

static const struct schedule *build(struct arena *arena, const uint32_t *weights, uint32_t count)
{
	const struct snapshot_pool pool = {
		.backends = test_backends(arena, weights, count),
		.backend_count = count,
	};
	const struct schedule *schedule = schedule_build(&pool, arena);

	assert_non_null(schedule);
	return schedule;
}

static void assert_order(const uint32_t *weights, uint32_t count, const char *expected)
{
	struct arena *arena = arena_create();
	const struct schedule *schedule = build(arena, weights, count);

	assert_int_equal(schedule->length, strlen(expected));
	for (uint32_t turn = 0; turn < schedule->length; turn++) {
		assert_int_equal('a' + schedule->entries[turn], expected[turn]);
	}
	arena_free(arena);
}

static void the_order_of_small_pools_is_as_written_down_here(void **state)
{
	(void)state;
	assert_order((uint32_t[]){1}, 1, "a");
	assert_order((uint32_t[]){7}, 1, "a");
	assert_order((uint32_t[]){1, 1, 1, 1}, 4, "abcd");
	assert_order((uint32_t[]){2, 1}, 2, "aab");
	assert_order((uint32_t[]){1, 2}, 2, "bab");
	assert_order((uint32_t[]){5, 1, 1}, 3, "aaabaac");
	assert_order((uint32_t[]){2, 2, 1}, 3, "ababc");
	assert_order((uint32_t[]){4, 1, 1, 1, 1}, 5, "abacadae");
	assert_order((uint32_t[]){3, 2, 1}, 3, "ababac");
}

static void weights_are_divided_by_what_they_share(void **state)
{
	(void)state;
	assert_order((uint32_t[]){10, 10, 10}, 3, "abc");
	assert_order((uint32_t[]){65535, 65535}, 2, "ab");
	assert_order((uint32_t[]){50, 10, 10}, 3, "aaabaac");
	assert_order((uint32_t[]){0, 12, 6, 0}, 4, "bbc");
}

static void a_backend_of_weight_zero_has_no_turn(void **state)
{
	(void)state;
	assert_order((uint32_t[]){0, 1, 1}, 3, "bc");
	assert_order((uint32_t[]){1, 0, 1}, 3, "ac");
	assert_order((uint32_t[]){3, 0, 1, 0}, 4, "aaac");
	assert_order((uint32_t[]){0, 0}, 2, "");
}

/*
 * After t turns of a cycle of length L a backend with n turns has been served more than t n / L - 1
 * and less than t n / L + 1 times. Returns how often each was served in the whole cycle.
 */
static void assert_even(const struct schedule *schedule, uint32_t count, uint32_t *ret_turns)
{
	const int64_t length = schedule->length;
	uint32_t *served = calloc(count, sizeof *served);

	assert_non_null(served);
	memset(ret_turns, 0, count * sizeof *ret_turns);
	for (uint32_t turn = 0; turn < schedule->length; turn++) {
		assert_true(schedule->entries[turn] < count);
		ret_turns[schedule->entries[turn]]++;
	}
	for (int64_t turn = 0; turn < length; turn++) {
		const uint32_t chosen = schedule->entries[turn];
		const int64_t share = ret_turns[chosen];

		/* Furthest behind just before a turn of its own, furthest ahead just after. */
		assert_true(turn * share - served[chosen] * length < length);
		served[chosen]++;
		assert_true(served[chosen] * length - (turn + 1) * share < length);
	}
	free(served);
}

static void assert_exact(const uint32_t *weights, uint32_t count, uint32_t divisor)
{
	struct arena *arena = arena_create();
	const struct schedule *schedule = build(arena, weights, count);
	static uint32_t turns[SCHEDULE_MAX];
	uint64_t sum = 0;

	assert_even(schedule, count, turns);
	for (uint32_t i = 0; i < count; i++) {
		assert_int_equal(turns[i], weights[i] / divisor);
		sum += turns[i];
	}
	assert_int_equal(schedule->length, sum);
	arena_free(arena);
}

static void each_prefix_is_within_one_turn_of_the_exact_share(void **state)
{
	(void)state;
	assert_exact((uint32_t[]){5, 1, 1}, 3, 1);
	assert_exact((uint32_t[]){2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37}, 12, 1);
	assert_exact((uint32_t[]){10007, 10009, 10037}, 3, 1);
	assert_exact((uint32_t[]){65535, 1}, 2, 1);
	assert_exact((uint32_t[]){1, 65535}, 2, 1);
	assert_exact((uint32_t[]){1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 100}, 11, 1);
	assert_exact((uint32_t[]){0, 6, 0, 4, 0, 0, 10}, 7, 2);
	assert_exact((uint32_t[]){65534, 2}, 2, 2);
}

static void random_weights_are_kept_exactly_too(void **state)
{
	static uint32_t weights[WEIGHTS_MAX];
	struct rng rng;

	(void)state;
	rng_init(&rng, 501);
	for (int round = 0; round < 500; round++) {
		const uint32_t count = 1 + rng_below(&rng, 40);
		const uint32_t bound = 1 + rng_below(&rng, 100);

		for (uint32_t i = 0; i < count; i++) {
			weights[i] = rng_below(&rng, bound);
		}
		weights[rng_below(&rng, count)] = 1; /* so that nothing divides them all */
		assert_exact(weights, count, 1);
	}
}

static void a_thousand_backends_are_kept_exactly(void **state)
{
	static uint32_t weights[WEIGHTS_MAX];

	(void)state;
	for (uint32_t i = 0; i < WEIGHTS_MAX; i++) {
		weights[i] = 1 + i % 100;
	}
	assert_exact(weights, WEIGHTS_MAX, 1);
	for (uint32_t i = 0; i < WEIGHTS_MAX; i++) {
		weights[i] = 65535;
	}
	assert_exact(weights, WEIGHTS_MAX, 65535);
}

/* The largest remainder gives each backend its exact share, rounded down or up. */
static void assert_rounded(const uint32_t *weights, uint32_t count)
{
	struct arena *arena = arena_create();
	const struct schedule *schedule = build(arena, weights, count);
	static uint32_t turns[SCHEDULE_MAX];
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		sum += weights[i];
	}
	assert_int_equal(schedule->length, SCHEDULE_MAX);
	assert_even(schedule, count, turns);
	for (uint32_t i = 0; i < count; i++) {
		const uint64_t down = (uint64_t)weights[i] * SCHEDULE_MAX / sum;

		assert_in_range(turns[i], down, down + 1);
	}
	arena_free(arena);
}

static void a_longer_cycle_is_shortened_by_the_largest_remainder(void **state)
{
	static uint32_t weights[WEIGHTS_MAX];
	struct rng rng;

	(void)state;
	rng_init(&rng, 502);
	assert_rounded((uint32_t[]){65535, 2}, 2);
	assert_rounded((uint32_t[]){65535, 65534, 65533}, 3);
	assert_rounded((uint32_t[]){65521, 65519, 32003, 17}, 4);
	for (uint32_t i = 0; i < WEIGHTS_MAX; i++) {
		weights[i] = 20000 + rng_below(&rng, 45536);
	}
	assert_rounded(weights, WEIGHTS_MAX);
}

static void the_largest_remainder_is_served_first(void **state)
{
	struct arena *arena = arena_create();
	static uint32_t turns[3];

	/* Shares of 65,536 turns: 21845.7, 21845.3, 21845.0; the one left goes to the first. */
	(void)state;
	assert_even(build(arena, (uint32_t[]){65535, 65534, 65533}, 3), 3, turns);
	assert_int_equal(turns[0], 21846);
	assert_int_equal(turns[1], 21845);
	assert_int_equal(turns[2], 21845);
	arena_free(arena);
}

/* Each of the 999 is worth less than a thousandth of a turn, and gets one. */
static void the_lightest_backend_keeps_a_turn(void **state)
{
	static uint32_t weights[5000];
	static uint32_t turns[5000];
	struct arena *arena = arena_create();

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(weights); i++) {
		weights[i] = i < 999 ? 1 : 65535 - i % 2;
	}
	assert_even(build(arena, weights, ARRAY_COUNT(weights)), ARRAY_COUNT(weights), turns);
	for (uint32_t i = 0; i < ARRAY_COUNT(weights); i++) {
		if (i < 999) {
			assert_int_equal(turns[i], 1);
		} else { /* (65536 - 999) / 4001 = 16.13 */
			assert_in_range(turns[i], 16, 17);
		}
	}
	arena_free(arena);
}

static void the_same_weights_give_the_same_order(void **state)
{
	static uint32_t weights[WEIGHTS_MAX];
	struct arena *arena = arena_create();
	const struct schedule *first;
	const struct schedule *second;

	(void)state;
	for (uint32_t i = 0; i < WEIGHTS_MAX; i++) {
		weights[i] = 1 + i * 7919 % 65535;
	}
	first = build(arena, weights, WEIGHTS_MAX);
	second = build(arena, weights, WEIGHTS_MAX);
	assert_int_equal(first->length, second->length);
	assert_memory_equal(
		first->entries, second->entries, first->length * sizeof first->entries[0]);
	arena_free(arena);
}

static void as_many_backends_as_turns_get_one_each(void **state)
{
	static uint32_t weights[SCHEDULE_MAX];
	struct arena *arena = arena_create();
	const struct schedule *schedule;

	(void)state;
	for (uint32_t i = 0; i < SCHEDULE_MAX; i++) {
		weights[i] = 1 + i % 3;
	}
	schedule = build(arena, weights, SCHEDULE_MAX);
	assert_int_equal(schedule->length, SCHEDULE_MAX);
	for (uint32_t turn = 0; turn < SCHEDULE_MAX; turn++) {
		assert_int_equal(schedule->entries[turn], turn);
	}
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_order_of_small_pools_is_as_written_down_here),
		cmocka_unit_test(weights_are_divided_by_what_they_share),
		cmocka_unit_test(a_backend_of_weight_zero_has_no_turn),
		cmocka_unit_test(each_prefix_is_within_one_turn_of_the_exact_share),
		cmocka_unit_test(random_weights_are_kept_exactly_too),
		cmocka_unit_test(a_thousand_backends_are_kept_exactly),
		cmocka_unit_test(a_longer_cycle_is_shortened_by_the_largest_remainder),
		cmocka_unit_test(the_largest_remainder_is_served_first),
		cmocka_unit_test(the_lightest_backend_keeps_a_turn),
		cmocka_unit_test(the_same_weights_give_the_same_order),
		cmocka_unit_test(as_many_backends_as_turns_get_one_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
