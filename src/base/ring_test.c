#include <pthread.h>
#include <string.h>

#include "base/ring.h"
#include "base/testing.h"

enum { ROOM = 8, ENTRIES = 200000 };

/* No power of two, so that a wrong stride would show. */
struct entry {
	uint32_t number;
	uint32_t twice;
	uint32_t thrice;
};

static struct {
	struct ring ring;
	struct entry entries[ROOM];
	uint32_t behind; /* whatever lies behind the last entry */
} fixture;               /* static, since the heap does not align to cache lines */

static struct ring_entries start_empty(void)
{
	memset(&fixture, 0, sizeof fixture);
	fixture.behind = 4711;
	return (struct ring_entries){
		.first = fixture.entries, .count = ROOM, .bytes = sizeof fixture.entries[0]};
}

static bool push(struct ring_entries entries, uint32_t number)
{
	const struct entry entry = {number, 2 * number, 3 * number};

	return ring_push(&fixture.ring, entries, &entry);
}

static bool pop(struct ring_entries entries, uint32_t *ret_number)
{
	struct entry entry;

	if (!ring_pop(&fixture.ring, entries, &entry)) {
		return false;
	}
	assert_int_equal(entry.twice, 2 * entry.number);
	assert_int_equal(entry.thrice, 3 * entry.number);
	*ret_number = entry.number;
	return true;
}

static void entries_come_out_in_order(void **state)
{
	const struct ring_entries entries = start_empty();
	uint32_t number = 0;

	(void)state;
	assert_false(pop(entries, &number));
	for (uint32_t i = 0; i < 5 * ROOM; i++) {
		assert_true(push(entries, i));
		assert_true(push(entries, i + 1000));
		assert_true(pop(entries, &number));
		assert_int_equal(number, i);
		assert_true(pop(entries, &number));
		assert_int_equal(number, i + 1000);
	}
	assert_false(pop(entries, &number));
	assert_int_equal(ring_dropped(&fixture.ring), 0);
	assert_int_equal(fixture.behind, 4711);
}

static void a_full_ring_drops_the_newest_and_counts_it(void **state)
{
	const struct ring_entries entries = start_empty();
	uint32_t number = 0;

	(void)state;
	for (uint32_t i = 0; i < ROOM; i++) {
		assert_true(push(entries, i));
	}
	assert_int_equal(ring_lost(&fixture.ring), 0);
	assert_false(push(entries, 100));
	assert_false(push(entries, 101));
	assert_int_equal(ring_lost(&fixture.ring), 2);
	assert_int_equal(ring_lost(&fixture.ring), 0);
	assert_true(pop(entries, &number));
	assert_true(push(entries, 8));
	assert_false(push(entries, 102));
	assert_int_equal(ring_lost(&fixture.ring), 1);
	assert_int_equal(ring_dropped(&fixture.ring), 3);
	for (uint32_t i = 1; i <= ROOM; i++) {
		assert_true(pop(entries, &number));
		assert_int_equal(number, i);
	}
	assert_false(pop(entries, &number));
	assert_int_equal(fixture.behind, 4711);
}

/* The indexes go round at 2^32; the ring must not notice. */
static void the_end_of_the_numbers_is_no_end(void **state)
{
	const struct ring_entries entries = start_empty();
	uint32_t number = 0;

	(void)state;
	atomic_store(&fixture.ring.head, UINT32_MAX - 2);
	atomic_store(&fixture.ring.tail, UINT32_MAX - 2);
	for (uint32_t i = 0; i < ROOM; i++) {
		assert_true(push(entries, i));
	}
	assert_false(push(entries, 100));
	for (uint32_t i = 0; i < ROOM; i++) {
		assert_true(pop(entries, &number));
		assert_int_equal(number, i);
	}
	assert_false(pop(entries, &number));
}

/* Two threads that wrote to one line would slow each other down. */
static void each_side_has_a_cache_line(void **state)
{
	(void)state;
	assert_int_equal(offsetof(struct ring, tail) / CACHE_LINE, 0);
	assert_int_equal(offsetof(struct ring, dropped) / CACHE_LINE, 0);
	assert_int_equal(offsetof(struct ring, head) / CACHE_LINE, 1);
	assert_int_equal(offsetof(struct ring, noticed) / CACHE_LINE, 1);
	assert_int_equal(sizeof(struct ring), 2 * CACHE_LINE);
}

static void *produce(void *argument)
{
	const struct ring_entries *entries = argument;

	for (uint32_t i = 0; i < ENTRIES; i++) {
		while (!push(*entries, i)) {
		}
	}
	return NULL;
}

static void two_threads_lose_and_mix_nothing(void **state)
{
	struct ring_entries entries = start_empty();
	pthread_t producer;
	uint32_t number = 0;

	(void)state;
	assert_int_equal(pthread_create(&producer, NULL, produce, &entries), 0);
	for (uint32_t i = 0; i < ENTRIES; i++) {
		while (!pop(entries, &number)) {
		}
		assert_int_equal(number, i);
	}
	assert_int_equal(pthread_join(producer, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entries_come_out_in_order),
		cmocka_unit_test(a_full_ring_drops_the_newest_and_counts_it),
		cmocka_unit_test(the_end_of_the_numbers_is_no_end),
		cmocka_unit_test(each_side_has_a_cache_line),
		cmocka_unit_test(two_threads_lose_and_mix_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
