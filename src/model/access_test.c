#include "base/testing.h"
#include "model/access.h"

static struct access_ring ring; /* static, since the heap does not align to cache lines */

static void records_come_out_in_order(void **state)
{
	struct access_record record = {.tries = 2};

	(void)state;
	access_init(&ring);
	assert_false(access_pop(&ring, &record));
	for (uint32_t i = 0; i < 3 * ACCESS_RING_SIZE; i++) {
		record.slot = i;
		assert_true(access_push(&ring, &record));
		record.slot = 0;
		assert_true(access_pop(&ring, &record));
		assert_int_equal(record.slot, i);
		assert_int_equal(record.tries, 2);
	}
	assert_false(access_pop(&ring, &record));
	assert_int_equal(access_dropped(&ring), 0);
}

static void a_full_ring_counts_what_it_drops(void **state)
{
	struct access_record record = {.tries = 1};

	(void)state;
	access_init(&ring);
	for (uint32_t i = 0; i < ACCESS_RING_SIZE; i++) {
		record.slot = i;
		assert_true(access_push(&ring, &record));
	}
	for (uint32_t i = 0; i < 3; i++) {
		assert_false(access_push(&ring, &record));
	}
	assert_int_equal(access_dropped(&ring), 3);
	for (uint32_t i = 0; i < ACCESS_RING_SIZE; i++) {
		assert_true(access_pop(&ring, &record));
		assert_int_equal(record.slot, i);
	}
	assert_true(access_push(&ring, &record));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_come_out_in_order),
		cmocka_unit_test(a_full_ring_counts_what_it_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
