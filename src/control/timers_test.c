#include "base/rng.h"
#include "base/testing.h"
#include "control/timers.h"

enum { TIMER_COUNT = 200, STEPS = 20000 };

static void they_fire_in_order_and_not_early(void **state)
{
	struct timer timers_of[TIMER_COUNT] = {{0}};
	struct timers timers;
	uint64_t before = 0;
	uint32_t fired = 0;
	struct timer *timer;
	struct rng rng;

	(void)state;
	rng_init(&rng, 7);
	assert_int_equal(timers_init(&timers, TIMER_COUNT), 0);
	assert_int_equal(timers_next(&timers), UINT64_MAX);
	for (uint32_t i = 0; i < TIMER_COUNT; i++) {
		timers_set(&timers, &timers_of[i], rng_below(&rng, 1000) + 1);
	}
	assert_null(timers_take(&timers, 0));
	while ((timer = timers_take(&timers, 1000)) != NULL) {
		assert_true(timer->at_ns >= before);
		assert_int_equal(timer->place, 0);
		before = timer->at_ns;
		fired++;
	}
	assert_int_equal(fired, TIMER_COUNT);
	timers_done(&timers);
}

static uint64_t earliest(const struct timer *timers_of)
{
	uint64_t at_ns = UINT64_MAX;

	for (uint32_t i = 0; i < TIMER_COUNT; i++) {
		if (timers_of[i].place != 0 && timers_of[i].at_ns < at_ns) {
			at_ns = timers_of[i].at_ns;
		}
	}
	return at_ns;
}

static void moving_and_cancelling_keeps_the_order(void **state)
{
	struct timer timers_of[TIMER_COUNT] = {{0}};
	struct timers timers;
	struct rng rng;

	(void)state;
	rng_init(&rng, 8);
	assert_int_equal(timers_init(&timers, TIMER_COUNT), 0);
	for (int step = 0; step < STEPS; step++) {
		struct timer *timer = &timers_of[rng_below(&rng, TIMER_COUNT)];

		switch (rng_below(&rng, 3)) {
		case 0:
			timers_cancel(&timers, timer);
			assert_int_equal(timer->place, 0);
			break;
		case 1:
			(void)timers_take(&timers, rng_below(&rng, 300));
			break;
		default:
			timers_set(&timers, timer, rng_below(&rng, 1000));
			break;
		}
		assert_int_equal(timers_next(&timers), earliest(timers_of));
	}
	timers_done(&timers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_fire_in_order_and_not_early),
		cmocka_unit_test(moving_and_cancelling_keeps_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
