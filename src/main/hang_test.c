#include "base/testing.h"
#include "main/hang.h"

static const uint64_t S_NS = 1000000000;
static const uint64_t WATCHDOG_NS = 30 * 1000000000ULL;

/* Looks each half second for `seconds`; the thread uses `share` percent of a CPU. */
static bool look_for(
	struct hang *hang, struct hang_look *look, uint64_t seconds, uint64_t share, bool beats)
{
	bool hung = false;

	for (uint64_t i = 0; i < 2 * seconds && !hung; i++) {
		look->now_ns += HANG_LOOK_NS;
		look->cpu_ns += HANG_LOOK_NS * share / 100;
		look->heartbeat += beats ? 1 : 0;
		hung = hang_feed(hang, look, WATCHDOG_NS);
	}
	return hung;
}

static struct hang_look begin(char state)
{
	return (struct hang_look){
		.now_ns = 100 * S_NS, .heartbeat = 5, .awake = true, .state = state};
}

static void a_busy_worker_is_not_hung(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('R');

	(void)state;
	assert_false(look_for(&hang, &look, 3600, 100, true));
}

static void a_circle_is_hung_after_two_seconds_of_cpu(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('R');

	(void)state;
	assert_false(look_for(&hang, &look, 2, 100, false));
	assert_true(look_for(&hang, &look, 1, 100, false));
}

static void a_starved_worker_is_not_hung(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('R');

	(void)state;
	assert_false(look_for(&hang, &look, 300, 0, false));
	assert_false(look_for(&hang, &look, 100, 1, false)); /* 1 s of CPU in all */
	assert_true(look_for(&hang, &look, 200, 1, false));
}

static void a_sleeping_worker_is_not_hung(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('S');

	(void)state;
	look.awake = false;
	assert_false(look_for(&hang, &look, 86400, 0, false));
}

static void a_wait_within_a_turn_is_hung_after_the_watchdog(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('D');

	(void)state;
	assert_false(look_for(&hang, &look, 30, 0, false));
	assert_true(look_for(&hang, &look, 1, 0, false));
}

static void a_stopped_worker_is_not_hung(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('T');

	(void)state;
	assert_false(look_for(&hang, &look, 3600, 0, false));
	look.state = 't';
	assert_false(look_for(&hang, &look, 3600, 100, false));
}

static void a_pause_of_the_watcher_does_not_count(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('S');

	(void)state;
	assert_false(hang_feed(&hang, &look, WATCHDOG_NS));
	for (int i = 0; i < 100; i++) {
		look.now_ns += 3600 * S_NS;
		assert_false(hang_feed(&hang, &look, WATCHDOG_NS));
	}
}

static void a_new_turn_begins_anew(void **state)
{
	struct hang hang = {.looked_ns = 0};
	struct hang_look look = begin('S');

	(void)state;
	for (int i = 0; i < 50; i++) {
		assert_false(look_for(&hang, &look, 29, 0, false));
		look.heartbeat++;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_busy_worker_is_not_hung),
		cmocka_unit_test(a_circle_is_hung_after_two_seconds_of_cpu),
		cmocka_unit_test(a_starved_worker_is_not_hung),
		cmocka_unit_test(a_sleeping_worker_is_not_hung),
		cmocka_unit_test(a_wait_within_a_turn_is_hung_after_the_watchdog),
		cmocka_unit_test(a_stopped_worker_is_not_hung),
		cmocka_unit_test(a_pause_of_the_watcher_does_not_count),
		cmocka_unit_test(a_new_turn_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
