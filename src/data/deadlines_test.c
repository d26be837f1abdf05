#include "base/array.h"
#include "base/rng.h"
#include "base/testing.h"
#include "data/deadlines.h"

enum { TIMERS = 100, STEPS = 1000000 };

static const uint64_t MS = 1000000;
static const uint64_t TICK = 8000000;
static const uint64_t SECOND = 1000000000;
static const uint64_t HOUR = 3600ULL * 1000000000;
static const uint64_t DAY = 24ULL * 3600 * 1000000000;

/*
 * What the wheel should do, without a wheel: the tick at which each timer is due, counted from the
 * start; 0 when it is not armed.
 */
struct model {
	uint64_t seed;
	struct deadlines wheel;
	struct rng rng;
	uint64_t start_ns;
	uint64_t now_ns;
	uint64_t tick; /* that the wheel has come to */
	uint64_t due[TIMERS];
	uint32_t fired;
	bool meddling; /* the callback sets and clears timers */
};

/* Like assert_true(), and says how to come back to the failure. */
static void check(const struct model *model, int line, bool condition)
{
	if (!condition) {
		fail_msg("line %d, seed %llu; now %llu, tick %llu", line,
			(unsigned long long)model->seed, (unsigned long long)model->now_ns,
			(unsigned long long)model->tick);
	}
}

static void model_init(struct model *model, uint64_t seed, uint64_t start_ns)
{
	*model = (struct model){.seed = seed, .start_ns = start_ns, .now_ns = start_ns};
	rng_init(&model->rng, seed);
	assert_int_equal(deadlines_init(&model->wheel, TIMERS, start_ns), 0);
}

static void model_set(struct model *model, uint32_t index, uint64_t when_ns)
{
	const uint64_t ahead = when_ns > model->start_ns ? when_ns - model->start_ns : 0;
	const uint64_t tick = ahead / TICK + (ahead % TICK != 0);

	deadlines_set(&model->wheel, index, when_ns);
	model->due[index] = tick > model->tick ? tick : model->tick + 1;
}

static void model_clear(struct model *model, uint32_t index)
{
	deadlines_clear(&model->wheel, index);
	model->due[index] = 0;
}

/* A length of time of any magnitude: as often milliseconds as months. */
static uint64_t any_length(struct model *model, uint64_t limit_ns)
{
	const unsigned bits = 1 + rng_below(&model->rng, 56);
	const uint64_t length = rng_next(&model->rng) >> (64 - bits);

	return length < limit_ns ? length : length % limit_ns;
}

static void set_any(struct model *model, uint32_t index)
{
	uint64_t when_ns = model->now_ns + any_length(model, 365 * DAY);

	if (rng_below(&model->rng, 16) == 0) {
		when_ns = model->now_ns - any_length(model, model->now_ns); /* passed long ago */
	} else if (rng_below(&model->rng, 4) == 0) {
		when_ns -= (when_ns - model->start_ns) % TICK; /* a tick's very edge */
	}
	model_set(model, index, when_ns);
}

static void on_fire(uint32_t index, void *context)
{
	struct model *model = context;

	check(model, __LINE__, index < TIMERS);
	check(model, __LINE__, model->due[index] != 0);
	check(model, __LINE__, model->start_ns + model->due[index] * TICK <= model->now_ns);
	for (uint32_t i = 0; i < TIMERS; i++) {
		check(model, __LINE__, model->due[i] == 0 || model->due[i] >= model->due[index]);
	}
	model->tick = model->due[index];
	model->due[index] = 0;
	model->fired++;
	if (model->meddling) {
		if (rng_below(&model->rng, 2) == 0) {
			set_any(model, index);
		}
		set_any(model, rng_below(&model->rng, TIMERS));
		model_clear(model, rng_below(&model->rng, TIMERS));
		model_clear(model, rng_below(&model->rng, TIMERS));
	}
}

static void model_expire(struct model *model)
{
	const uint64_t present = (model->now_ns - model->start_ns) / TICK;
	uint64_t first = UINT64_MAX;
	uint64_t next_ns;

	deadlines_expire(&model->wheel, model->now_ns, on_fire, model);
	model->tick = present;
	for (uint32_t i = 0; i < TIMERS; i++) {
		check(model, __LINE__, model->due[i] == 0 || model->due[i] > present);
		if (model->due[i] != 0 && model->due[i] < first) {
			first = model->due[i];
		}
	}
	next_ns = deadlines_next_ns(&model->wheel);
	if (first == UINT64_MAX) {
		check(model, __LINE__, next_ns == UINT64_MAX);
	} else {
		check(model, __LINE__, next_ns > model->now_ns);
		check(model, __LINE__, next_ns <= model->start_ns + first * TICK);
	}
}

/* Time goes on to where the wheel wants to be called, or to just before it. */
static void go_to_next(struct model *model)
{
	const uint64_t next_ns = deadlines_next_ns(&model->wheel);

	if (next_ns != UINT64_MAX && next_ns > model->now_ns) {
		model->now_ns = next_ns - rng_below(&model->rng, 2);
		model_expire(model);
	}
}

/* Small steps, jumps and stand-stills of time. */
static void pass_time(struct model *model)
{
	switch (rng_below(&model->rng, 4)) {
	case 0:
		model->now_ns +=
			any_length(model, rng_below(&model->rng, 64) == 0 ? 30 * DAY : 20 * SECOND);
		break;
	case 1:
		model->now_ns += rng_below(&model->rng, 20) * MS;
		break;
	case 2:
		break;
	default:
		go_to_next(model);
		return;
	}
	model_expire(model);
}

/*
 * Sets, clears and lets time pass in a random order. Now and then time goes on and a timer is set
 * before the wheel is told, as in a turn of a worker.
 */
static void run_random(uint64_t seed, bool meddling)
{
	struct model model;

	model_init(&model, seed, seed % 2 == 0 ? 17 * DAY + 12345 : 3 * MS);
	model.meddling = meddling;
	for (int step = 0; step < STEPS; step++) {
		const uint32_t index = rng_below(&model.rng, TIMERS);
		const uint32_t dice = rng_below(&model.rng, 8);

		if (dice < 4) {
			pass_time(&model);
		} else if (dice == 4) {
			model_clear(&model, index);
		} else {
			if (dice == 5) {
				model.now_ns += any_length(&model, DAY);
			}
			set_any(&model, index);
		}
	}
	check(&model, __LINE__, model.fired > STEPS / 100);
	check(&model, __LINE__, model.now_ns - model.start_ns > 1000 * DAY);
	deadlines_done(&model.wheel);
}

static void random_operations_agree_with_a_plain_list(void **state)
{
	(void)state;
	run_random(1, false);
	run_random(2, false);
}

static void a_callback_may_set_and_clear_any_timer(void **state)
{
	(void)state;
	run_random(3, true);
	run_random(4, true);
}

static void a_timer_fires_once_within_a_tick_and_never_early(void **state)
{
	static const uint64_t lengths[] = {1, 7999999, 8000000, 8000001, 255 * 8000000ULL,
		256 * 8000000ULL, 257 * 8000000ULL, 65535 * 8000000ULL, 65536 * 8000000ULL,
		16777216 * 8000000ULL, 365ULL * 24 * 3600 * 1000000000};
	struct model model;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
		model_init(&model, 5, 123456789);
		model_set(&model, 7, model.start_ns + lengths[i]);
		model.now_ns = model.start_ns + lengths[i] - 1;
		model_expire(&model);
		assert_int_equal(model.fired, 0);
		model.now_ns += TICK;
		model_expire(&model);
		assert_int_equal(model.fired, 1);
		model.now_ns += 366 * DAY;
		model_expire(&model);
		assert_int_equal(model.fired, 1);
		deadlines_done(&model.wheel);
	}
}

static void what_has_passed_fires_at_the_next_tick(void **state)
{
	struct model model;

	(void)state;
	model_init(&model, 6, HOUR);
	model_set(&model, 0, HOUR - SECOND);
	model_set(&model, 1, 0);
	model_set(&model, 2, HOUR);
	model_expire(&model); /* time stands still */
	model_expire(&model);
	assert_int_equal(model.fired, 0);
	assert_true(deadlines_next_ns(&model.wheel) == HOUR + TICK);
	model.now_ns = HOUR + TICK;
	model_expire(&model);
	assert_int_equal(model.fired, 3);
	deadlines_done(&model.wheel);
}

static void time_that_goes_back_changes_nothing(void **state)
{
	struct model model;

	(void)state;
	model_init(&model, 7, HOUR);
	model_set(&model, 0, HOUR + SECOND);
	model.now_ns = HOUR + SECOND / 2;
	model_expire(&model);
	deadlines_expire(&model.wheel, 0, on_fire, &model);
	deadlines_expire(&model.wheel, HOUR + 1, on_fire, &model);
	assert_int_equal(model.fired, 0);
	model.now_ns = HOUR + SECOND + TICK;
	model_expire(&model);
	assert_int_equal(model.fired, 1);
	deadlines_done(&model.wheel);
}

/* Wakes up when the wheel asks for it, and counts. */
static void nine_thousand_an_hour_ahead_cost_no_wake_ups(void **state)
{
	struct deadlines wheel;
	struct model counter = {.meddling = false};
	uint64_t now_ns = 5 * HOUR + 4321;
	const uint64_t start_ns = now_ns;
	uint64_t next_ns;
	int wake_ups = 0;

	(void)state;
	assert_int_equal(deadlines_init(&wheel, 9000, now_ns), 0);
	for (uint32_t i = 0; i < 9000; i++) {
		deadlines_set(&wheel, i, now_ns + HOUR + i * MS); /* over nine seconds */
	}
	next_ns = deadlines_next_ns(&wheel);
	assert_true(next_ns >= start_ns + 3000 * SECOND);
	while ((next_ns = deadlines_next_ns(&wheel)) < start_ns + HOUR) {
		now_ns = next_ns;
		deadlines_expire(&wheel, now_ns, on_fire, &counter); /* would fail if it fired */
		wake_ups++;
	}
	assert_in_range(wake_ups, 1, 4);
	for (uint32_t i = 0; i < 9000; i++) {
		deadlines_clear(&wheel, i);
	}
	assert_true(deadlines_next_ns(&wheel) == UINT64_MAX);
	deadlines_done(&wheel);
}

static void rearm(uint32_t index, void *context)
{
	struct model *model = context;

	model->fired++;
	deadlines_set(&model->wheel, index, model->now_ns);
}

static void a_timer_that_rearms_itself_at_once_fires_once_per_call(void **state)
{
	struct model model;

	(void)state;
	model_init(&model, 8, HOUR);
	deadlines_set(&model.wheel, 0, HOUR + SECOND);
	model.now_ns = HOUR + DAY + 1; /* a jump, and not onto a tick's edge */
	deadlines_expire(&model.wheel, model.now_ns, rearm, &model);
	assert_int_equal(model.fired, 1);
	deadlines_expire(&model.wheel, model.now_ns, rearm, &model);
	assert_int_equal(model.fired, 1);
	model.now_ns += TICK;
	deadlines_expire(&model.wheel, model.now_ns, rearm, &model);
	assert_int_equal(model.fired, 2);
	deadlines_done(&model.wheel);
}

static void an_idle_session_costs_twelve_bytes(void **state)
{
	struct deadlines wheel;

	(void)state;
	assert_int_equal(sizeof(struct deadline_link), 12);
	assert_int_equal(deadlines_init(&wheel, 1 << 24, 1), 0);
	deadlines_set(&wheel, (1 << 24) - 1, SECOND);
	deadlines_clear(&wheel, 5); /* was never armed */
	assert_true(deadlines_next_ns(&wheel) != UINT64_MAX);
	deadlines_done(&wheel);
	deadlines_done(&wheel); /* the second one finds nothing */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations_agree_with_a_plain_list),
		cmocka_unit_test(a_callback_may_set_and_clear_any_timer),
		cmocka_unit_test(a_timer_fires_once_within_a_tick_and_never_early),
		cmocka_unit_test(what_has_passed_fires_at_the_next_tick),
		cmocka_unit_test(time_that_goes_back_changes_nothing),
		cmocka_unit_test(nine_thousand_an_hour_ahead_cost_no_wake_ups),
		cmocka_unit_test(a_timer_that_rearms_itself_at_once_fires_once_per_call),
		cmocka_unit_test(an_idle_session_costs_twelve_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
