#include <math.h>

#include "base/testing.h"
#include "bench/arrivals.h"

enum { COUNT = 200000 };

static void the_rate_is_the_one_asked_for(void **state)
{
	static const double rates[] = {10, 5000, 1e6};

	(void)state;
	for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
		struct arrivals arrivals;
		uint64_t last = 0;
		arrivals_init(&arrivals, rates[i], i);
		for (int n = 0; n < COUNT; n++) {
			last = arrivals_next(&arrivals);
		}
		assert_true(fabs((double)last * 1e-9 * rates[i] / COUNT - 1) < 0.01);
	}
}

/* The spread of a Poisson process is its mean; that of a metronome is 0. */
static void gaps_are_exponential(void **state)
{
	struct arrivals arrivals;
	double before = 0;
	double sum = 0;
	double squares = 0;

	(void)state;
	arrivals_init(&arrivals, 1000, 42);
	for (int n = 0; n < COUNT; n++) {
		const double now = (double)arrivals_next(&arrivals);
		assert_true(now >= before);
		sum += now - before;
		squares += (now - before) * (now - before);
		before = now;
	}
	sum /= COUNT;
	assert_true(fabs(sqrt(squares / COUNT - sum * sum) / sum - 1) < 0.02);
}

static void a_seed_gives_the_same_times(void **state)
{
	struct arrivals a;
	struct arrivals b;
	struct arrivals other;

	(void)state;
	arrivals_init(&a, 1000, 1);
	arrivals_init(&b, 1000, 1);
	arrivals_init(&other, 1000, 2);
	for (int n = 0; n < 100; n++) {
		const uint64_t time = arrivals_next(&a);
		assert_int_equal(time, arrivals_next(&b));
		assert_int_not_equal(time, arrivals_next(&other));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_rate_is_the_one_asked_for),
		cmocka_unit_test(gaps_are_exponential),
		cmocka_unit_test(a_seed_gives_the_same_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
