#include <stdio.h>

#include "observe/testing.h"
#include "observe/totals.h"

static void nothing_in_use_is_nothing_to_read(void **state)
{
	struct totals totals;

	assert_int_equal(totals_read(*state, &totals), 0);
	assert_int_equal(totals.listener_count + totals.pool_count + totals.slot_count, 0);
	totals_done(&totals);
	assert_null(totals.slots);
}

/* Blocks lie across pages, and most pages between those that are used have never been touched. */
static void far_apart_counters_are_all_found(void **state)
{
	enum { SLOTS = 2000 };
	struct shm *shm = *state;
	struct totals totals;

	for (unsigned i = 0; i < SLOTS; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "b%u", i);
		(void)testing_add_backend(shm, "p", name);
	}
	for (uint32_t i = 0; i < SLOTS; i += 37) {
		for (uint32_t worker = 0; worker < TEST_WORKERS; worker += 2) {
			COUNT(shm, slot, worker, i, started, i + worker + 1);
			COUNT(shm, slot, worker, i, connect_sum_ns, 5);
		}
	}
	assert_int_equal(totals_read(shm, &totals), 0);
	assert_int_equal(totals.slot_count, SLOTS);
	for (uint32_t i = 0; i < SLOTS; i++) {
		const uint64_t expected = i % 37 == 0 ? 2 * i + 4 : 0;

		assert_int_equal(counter_get(&totals.slots[i].started), expected);
		assert_int_equal(totals_slot_active(&totals.slots[i]), expected);
		assert_int_equal(
			counter_get(&totals.slots[i].connect_sum_ns), expected == 0 ? 0 : 10);
	}
	totals_done(&totals);
}

static void a_full_table_is_read_to_its_end(void **state)
{
	struct shm *shm = *state;
	struct totals totals;

	for (unsigned i = 0; i < LISTENERS_MAX; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "l%u", i);
		assert_int_equal(shm_listener_index(shm, name), i);
	}
	COUNT(shm, listener, 2, LISTENERS_MAX - 1, connections, 9);
	COUNT(shm, listener, 2, LISTENERS_MAX - 1, closed, 2);
	assert_int_equal(totals_read(shm, &totals), 0);
	assert_int_equal(totals.listener_count, LISTENERS_MAX);
	assert_int_equal(totals_listener_active(&totals.listeners[LISTENERS_MAX - 1]), 7);
	totals_done(&totals);
}

int main(void)
{
#define IN_SHM(test) cmocka_unit_test_setup_teardown(test, testing_make_shm, testing_drop_shm)
	const struct CMUnitTest tests[] = {
		IN_SHM(nothing_in_use_is_nothing_to_read),
		IN_SHM(far_apart_counters_are_all_found),
		IN_SHM(a_full_table_is_read_to_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
