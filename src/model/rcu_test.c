#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/testing.h"
#include "model/rcu.h"

enum stage { STAGE_START, STAGE_ONLINE, STAGE_QUIET, STAGE_END };

struct reader {
	pthread_t thread;
	_Atomic int stage;
	_Atomic int order;
	atomic_bool waited; /* control's grace period is over */
	bool early;         /* it was over before the reader was quiet */
	bool sleeps;
};

static void reach(struct reader *reader, enum stage stage)
{
	atomic_store(&reader->stage, stage);
}

static void wait_for(_Atomic int *place, int value)
{
	while (atomic_load(place) < value) {
	}
}

static void *read_on(void *argument)
{
	struct reader *reader = argument;

	rcu_reader_begin();
	if (reader->sleeps) {
		rcu_offline();
		reach(reader, STAGE_ONLINE);
		wait_for(&reader->order, STAGE_END);
		rcu_online();
		rcu_reader_end();
		return NULL;
	}
	reach(reader, STAGE_ONLINE);
	wait_for(&reader->order, STAGE_QUIET);
	/* Long enough for a grace period that does not wait to be seen. */
	for (int i = 0; i < 100000; i++) {
		reader->early |= atomic_load(&reader->waited);
	}
	while (!atomic_load(&reader->waited)) {
		rcu_quiet();
	}
	rcu_reader_end();
	return NULL;
}

static void a_grace_period_waits_for_who_is_online(void **state)
{
	struct reader reader = {.stage = STAGE_START};

	(void)state;
	assert_int_equal(pthread_create(&reader.thread, NULL, read_on, &reader), 0);
	wait_for(&reader.stage, STAGE_ONLINE);
	atomic_store(&reader.order, STAGE_QUIET);
	rcu_wait();
	atomic_store(&reader.waited, true);
	assert_int_equal(pthread_join(reader.thread, NULL), 0);
	assert_false(reader.early);
}

static void a_sleeping_reader_delays_nobody(void **state)
{
	struct reader reader = {.sleeps = true};

	(void)state;
	assert_int_equal(pthread_create(&reader.thread, NULL, read_on, &reader), 0);
	wait_for(&reader.stage, STAGE_ONLINE);
	rcu_wait(); /* returns at all: the reader sleeps until it has */
	atomic_store(&reader.order, STAGE_END);
	assert_int_equal(pthread_join(reader.thread, NULL), 0);
}

static void a_swap_returns_what_was_there(void **state)
{
	int a = 1;
	int b = 2;
	void *place = &a;

	(void)state;
	assert_ptr_equal(rcu_read(&place), &a);
	assert_ptr_equal(rcu_swap(&place, &b), &a);
	assert_ptr_equal(rcu_read(&place), &b);
	rcu_wait(); /* without a reader: at once */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grace_period_waits_for_who_is_online),
		cmocka_unit_test(a_sleeping_reader_delays_nobody),
		cmocka_unit_test(a_swap_returns_what_was_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
