#include "base/testing.h"
#include "data/coalesce.h"

enum { US = 1000, MS = 1000 * US, LIMIT = 100 * US };

/* A worker in made-up time: turns of a length and a number of events, and waits between them. */
struct worker {
	struct coalesce coalesce;
	uint64_t now_ns;
	uint32_t pauses;
	uint64_t paused_ns;
	uint32_t coarse; /* a pause takes so many times as long */
};

static struct worker new_worker(void)
{
	return (struct worker){.now_ns = 1000 * (uint64_t)MS};
}

/*
 * One turn and the wait after it, of `wait_ns` where there is no pause; a pause finds `found`.
 * Returns how long the pause was.
 */
static uint64_t turn(struct worker *worker, uint64_t turn_ns, uint32_t count, uint64_t wait_ns,
	uint32_t found, uint64_t limit_ns)
{
	const uint64_t begin_ns = worker->now_ns;
	uint64_t pause_ns;
	uint64_t paused_ns;

	worker->now_ns += turn_ns;
	pause_ns = coalesce_begin(&worker->coalesce, begin_ns, worker->now_ns, count, limit_ns);
	if (pause_ns == 0) {
		worker->now_ns += wait_ns;
		return 0;
	}
	paused_ns = pause_ns * (worker->coarse == 0 ? 1 : worker->coarse);
	worker->now_ns += paused_ns;
	worker->pauses++;
	worker->paused_ns += paused_ns;
	coalesce_end(&worker->coalesce, paused_ns, found);
	return pause_ns;
}

/* For so many milliseconds; returns how many pauses there were. */
static uint32_t run(struct worker *worker, uint32_t ms, uint64_t turn_ns, uint32_t count,
	uint64_t wait_ns, uint32_t found)
{
	const uint64_t end_ns = worker->now_ns + (uint64_t)ms * MS;
	const uint32_t before = worker->pauses;

	while (worker->now_ns < end_ns) {
		(void)turn(worker, turn_ns, count, wait_ns, found, LIMIT);
	}
	return worker->pauses - before;
}

static void one_that_is_busy_with_small_turns_pauses(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	/* 2 events each 14 us: 14 of them in the limit. */
	assert_in_range(run(&worker, 20, 14 * US, 2, 0, 14), 10, 1000);
}

static void one_that_has_time_does_not(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	assert_int_equal(run(&worker, 100, 14 * US, 2, 4 * US, 14), 0);
}

static void one_whose_turns_are_large_need_not(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	assert_int_equal(run(&worker, 100, 100 * US, 16, 0, 16), 0);
}

static void where_too_few_would_come_it_does_not(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	/* 7 in the limit */
	assert_int_equal(run(&worker, 100, 100 * US, 7, 0, 7), 0);
	assert_in_range(run(&worker, 100, 100 * US, 9, 0, 9), 1, 1000);
}

static void a_pause_is_no_longer_than_it_takes(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	(void)run(&worker, 20, 10 * US, 8, 0, 16);
	/* 16 events in 20 us */
	assert_in_range(worker.pauses, 1, 10000);
	assert_in_range(worker.paused_ns / worker.pauses, 15 * US, 45 * US);
	worker = new_worker();
	(void)run(&worker, 20, 15 * US, 2, 0, 14);
	assert_int_equal(worker.paused_ns, (uint64_t)worker.pauses * LIMIT);
}

static void pauses_in_vain_become_rare(void **state)
{
	struct worker worker = new_worker();
	uint32_t first;

	(void)state;
	/* As busy as can be, but with four sessions that all wait for an answer. */
	first = run(&worker, 1000, 14 * US, 2, 0, 4);
	assert_in_range(first, 5, 20);
	assert_in_range(run(&worker, 10000, 14 * US, 2, 0, 4), 10, 25);
	/* It was not for ever. */
	assert_in_range(run(&worker, 2000, 14 * US, 2, 0, 14), 100, 100000);
}

/* They bring much then, and it is not what was asked for. */
static void pauses_that_take_too_long_become_rare(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	worker.coarse = 40;
	(void)run(&worker, 1000, 14 * US, 2, 0, 256);
	assert_in_range(run(&worker, 10000, 14 * US, 2, 0, 256), 10, 25);
	worker.coarse = 2; /* some of it is the return from idle */
	(void)run(&worker, 2000, 14 * US, 2, 0, 14);
	assert_in_range(run(&worker, 1000, 14 * US, 2, 0, 14), 100, 100000);
}

static void pauses_take_no_more_than_a_quarter(void **state)
{
	struct worker worker = new_worker();
	const uint64_t begin_ns = worker.now_ns;

	(void)state;
	(void)run(&worker, 1000, 14 * US, 2, 0, 14);
	assert_true(worker.paused_ns * 4 <= worker.now_ns - begin_ns);
}

/* It is not believed to be busy for what it was before. */
static void after_a_sleep_there_is_none(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	assert_in_range(run(&worker, 20, 14 * US, 2, 0, 14), 10, 1000);
	(void)run(&worker, 4, 14 * US, 1, MS, 14);
	assert_int_equal(run(&worker, 100, 14 * US, 1, 86 * US, 14), 0);
}

static void without_a_limit_there_is_none(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	for (int i = 0; i < 10000; i++) {
		assert_int_equal(turn(&worker, 14 * US, 2, 0, 14, 0), 0);
	}
}

static void a_turn_without_events_is_followed_by_none(void **state)
{
	struct worker worker = new_worker();

	(void)state;
	(void)run(&worker, 20, 14 * US, 2, 0, 14);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(turn(&worker, US, 0, 0, 14, LIMIT), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_that_is_busy_with_small_turns_pauses),
		cmocka_unit_test(one_that_has_time_does_not),
		cmocka_unit_test(one_whose_turns_are_large_need_not),
		cmocka_unit_test(where_too_few_would_come_it_does_not),
		cmocka_unit_test(a_pause_is_no_longer_than_it_takes),
		cmocka_unit_test(pauses_in_vain_become_rare),
		cmocka_unit_test(pauses_that_take_too_long_become_rare),
		cmocka_unit_test(pauses_take_no_more_than_a_quarter),
		cmocka_unit_test(after_a_sleep_there_is_none),
		cmocka_unit_test(without_a_limit_there_is_none),
		cmocka_unit_test(a_turn_without_events_is_followed_by_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
