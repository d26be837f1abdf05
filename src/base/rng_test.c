#include "base/rng.h"
#include "base/testing.h"

enum { DRAWS = 200000 };

static void the_same_seed_gives_the_same_numbers(void **state)
{
	struct rng a;
	struct rng b;
	struct rng other;
	int same = 0;

	(void)state;
	rng_init(&a, 42);
	rng_init(&b, 42);
	rng_init(&other, 43);
	for (int i = 0; i < 1000; i++) {
		const uint64_t drawn = rng_next(&a);

		assert_int_equal(drawn, rng_next(&b));
		same += drawn == rng_next(&other);
	}
	assert_int_equal(same, 0);
}

static void a_seed_of_zero_is_as_good_as_any(void **state)
{
	struct rng rng;
	uint64_t all = 0;

	(void)state;
	rng_init(&rng, 0);
	for (int i = 0; i < 64; i++) {
		all |= rng_next(&rng);
	}
	assert_true(all == UINT64_MAX);
}

static void numbers_stay_below_the_bound(void **state)
{
	static const uint32_t bounds[] = {1, 2, 3, 10, 65536, 0x80000001, UINT32_MAX};
	struct rng rng;

	(void)state;
	rng_init(&rng, 7);
	for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
		for (int draw = 0; draw < 1000; draw++) {
			assert_true(rng_below(&rng, bounds[i]) < bounds[i]);
		}
	}
}

/* Chi-squared with 9 degrees of freedom: above 40 happens by chance once in 100,000. */
static void numbers_below_a_bound_are_even(void **state)
{
	const double expected = DRAWS / 10.0;
	unsigned seen[10] = {0};
	double chi = 0;
	struct rng rng;

	(void)state;
	rng_init(&rng, 2024);
	for (int i = 0; i < DRAWS; i++) {
		seen[rng_below(&rng, 10)]++;
	}
	for (int i = 0; i < 10; i++) {
		chi += (seen[i] - expected) * (seen[i] - expected) / expected;
	}
	assert_true(chi < 40);
}

/* A third of 2^32 more than 2^31: a plain modulo would give the lower third twice as often. */
static void a_large_bound_has_no_modulo_bias(void **state)
{
	const uint32_t bound = 0xC0000000;
	unsigned low = 0;
	struct rng rng;

	(void)state;
	rng_init(&rng, 99);
	for (int i = 0; i < DRAWS; i++) {
		low += rng_below(&rng, bound) < bound / 3;
	}
	assert_true(low > DRAWS / 3 - 1500 && low < DRAWS / 3 + 1500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_same_seed_gives_the_same_numbers),
		cmocka_unit_test(a_seed_of_zero_is_as_good_as_any),
		cmocka_unit_test(numbers_stay_below_the_bound),
		cmocka_unit_test(numbers_below_a_bound_are_even),
		cmocka_unit_test(a_large_bound_has_no_modulo_bias),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
