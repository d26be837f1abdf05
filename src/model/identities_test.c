#include <stdio.h>

#include "base/testing.h"
#include "model/shm.h"

enum { WORKERS = 2 };

static int set_up(void **state)
{
	static struct shm shm;

	*state = &shm;
	return shm_create(WORKERS, 1, &shm, NULL);
}

static int tear_down(void **state)
{
	shm_destroy(*state);
	return 0;
}

static void fill_up(struct shm *shm)
{
	char name[16];

	for (int i = 0; i < LISTENERS_MAX; i++) {
		(void)snprintf(name, sizeof name, "l%d", i);
		assert_int_equal(shm_listener_index(shm, name), i);
	}
}

static void only_what_is_gone_for_good_makes_room(void **state)
{
	struct shm *shm = *state;
	struct identity *identity = &shm->listeners[5].identity;

	fill_up(shm);
	for (uint32_t i = 0; i < GONE_FOR_GOOD; i++) {
		assert_int_equal(shm_listener_index(shm, "new"), -1);
		shm_note_gone(identity, false, 0);
	}
	assert_int_equal(shm_listener_index(shm, "new"), 5);
	assert_int_equal(shm_listener_index(shm, "l5"), -1);
	assert_int_equal(atomic_load(&identity->used), 2);
	assert_int_equal(atomic_load(&identity->gone), 0);
}

static void a_session_or_a_name_keeps_it(void **state)
{
	struct shm *shm = *state;
	struct identity *identity = &shm->listeners[5].identity;

	fill_up(shm);
	for (uint32_t i = 0; i < 4 * GONE_FOR_GOOD; i++) {
		shm_note_gone(identity, false, i % 2);
	}
	assert_int_equal(shm_listener_index(shm, "newer"), -1);
	for (uint32_t i = 0; i < 4 * GONE_FOR_GOOD; i++) {
		shm_note_gone(identity, i % 2 == 0, 0);
	}
	assert_int_equal(shm_listener_index(shm, "newer"), -1);
	for (uint32_t i = 0; i < 4 * GONE_FOR_GOOD; i++) {
		shm_note_gone(identity, false, 1);
	}
	assert_int_equal(shm_listener_index(shm, "newer"), -1);
}

static void whoever_comes_back_in_time_has_its_counters(void **state)
{
	struct shm *shm = *state;

	assert_int_equal(shm_listener_index(shm, "a"), 0);
	counter_set(&shm_listener_counters(shm, 1, 0)->connections, 9);
	for (uint32_t i = 0; i < 2 * GONE_FOR_GOOD; i++) {
		shm_note_gone(&shm->listeners[0].identity, false, 0);
	}
	assert_int_equal(shm_listener_index(shm, "b"), 1); /* there is room without it */
	assert_int_equal(shm_listener_index(shm, "a"), 0);
	assert_int_equal(counter_get(&shm_listener_counters(shm, 1, 0)->connections), 9);
}

static void the_next_one_begins_at_zero(void **state)
{
	struct shm *shm = *state;

	fill_up(shm);
	counter_set(&shm_listener_counters(shm, 1, 5)->connections, 9);
	counter_set(&shm_listener_counters(shm, 1, 6)->connections, 8);
	for (uint32_t i = 0; i < GONE_FOR_GOOD; i++) {
		shm_note_gone(&shm->listeners[5].identity, false, 0);
	}
	assert_int_equal(shm_listener_index(shm, "new"), 5);
	assert_int_equal(counter_get(&shm_listener_counters(shm, 1, 5)->connections), 0);
	assert_int_equal(counter_get(&shm_listener_counters(shm, 1, 6)->connections), 8);
}

/* Or a backend of the next pool would begin with the counters of one that it does not know. */
static void backends_of_a_pool_that_is_gone_are_not_found(void **state)
{
	struct shm *shm = *state;
	char name[16];
	int slot;

	assert_int_equal(shm_pool_index(shm, "gone"), 0);
	slot = shm_slot_index(shm, 0, "x");
	for (int i = 1; i < POOLS_MAX; i++) {
		(void)snprintf(name, sizeof name, "p%d", i);
		assert_int_equal(shm_pool_index(shm, name), i);
	}
	for (uint32_t i = 0; i < GONE_FOR_GOOD; i++) {
		shm_note_gone(&shm->pools[0].identity, false, 0);
	}
	assert_int_equal(shm_pool_index(shm, "new"), 0);
	assert_int_not_equal(shm_slot_index(shm, 0, "x"), slot);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			only_what_is_gone_for_good_makes_room, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_session_or_a_name_keeps_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			whoever_comes_back_in_time_has_its_counters, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_next_one_begins_at_zero, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			backends_of_a_pool_that_is_gone_are_not_found, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
