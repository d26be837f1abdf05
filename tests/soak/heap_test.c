#include "base/rng.h"
#include "base/testing.h"
#include "heap.h"

enum { CAPACITY = 50, STEPS = 100000 };

static uint64_t earliest_of(const uint64_t when[static CAPACITY])
{
	uint64_t earliest = UINT64_MAX;

	for (int i = 0; i < CAPACITY; i++) {
		earliest = when[i] < earliest ? when[i] : earliest;
	}
	return earliest;
}

/* Against a plain list of deadlines. */
static void the_earliest_comes_first_whatever_was_moved(void **state)
{
	uint64_t when[CAPACITY];
	struct heap heap;
	struct rng rng;

	(void)state;
	rng_init(&rng, 3);
	assert_true(heap_init(&heap, CAPACITY));
	for (int i = 0; i < CAPACITY; i++) {
		when[i] = UINT64_MAX;
	}
	for (int i = 0; i < STEPS; i++) {
		uint32_t index = rng_below(&rng, CAPACITY);

		if (rng_below(&rng, 4) > 0) {
			when[index] = rng_below(&rng, 4) == 0 ? UINT64_MAX : rng_below(&rng, 1000);
			heap_set(&heap, index, when[index]);
		} else if (heap_earliest(&heap) != UINT64_MAX) {
			index = heap_take(&heap);
			assert_int_equal(when[index], earliest_of(when));
			when[index] = UINT64_MAX;
		}
		assert_true(heap_earliest(&heap) == earliest_of(when));
	}
	heap_free(&heap);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_earliest_comes_first_whatever_was_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
