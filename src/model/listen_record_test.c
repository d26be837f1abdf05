#include "base/testing.h"
#include "model/listen_record.h"
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

static void a_record_is_live_from_the_last_store_to_the_first(void **state)
{
	struct listen_record *record = shm_listen_record(*state, 1, 5);

	assert_false(listen_record_is_live(record));
	listen_record_open(record, 7, 3, LISTEN_LOCAL, 99);
	assert_true(listen_record_is_live(record));
	assert_int_equal(record->fd, 7);
	assert_int_equal(atomic_load(&record->listener), 3);
	assert_int_equal(record->flags, LISTEN_LOCAL);
	assert_int_equal(record->cookie, 99);
	listen_record_set_state(record, LISTEN_REFUSING);
	assert_true(listen_record_is_live(record));
	listen_record_set_state(record, LISTEN_CLOSING);
	assert_false(listen_record_is_live(record));
}

static void a_number_is_free_when_it_is_in_all_workers(void **state)
{
	struct shm *shm = *state;

	assert_int_equal(shm_listen_limit(shm), 0);
	assert_int_equal(shm_listen_number(shm, 0), 0);
	assert_int_equal(shm_listen_limit(shm), 1);
	listen_record_open(shm_listen_record(shm, 1, 0), 7, 0, 0, 1);
	assert_int_equal(shm_listen_number(shm, 0), 1);
	listen_record_open(shm_listen_record(shm, 0, 1), 8, 0, 0, 1);
	assert_int_equal(shm_listen_number(shm, 0), 2);
	listen_record_set_state(shm_listen_record(shm, 1, 0), LISTEN_FREE);
	assert_int_equal(shm_listen_number(shm, 0), 0);
	assert_int_equal(shm_listen_limit(shm), 3);
}

static void the_numbers_end(void **state)
{
	struct shm *shm = *state;

	for (int i = 0; i < LISTEN_SOCKETS_MAX; i++) {
		assert_int_equal(shm_listen_number(shm, 0), i);
		listen_record_open(shm_listen_record(shm, 0, (uint32_t)i), 7, 0, 0, 1);
	}
	assert_int_equal(shm_listen_number(shm, 0), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_record_is_live_from_the_last_store_to_the_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_number_is_free_when_it_is_in_all_workers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_numbers_end, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
