#include "base/testing.h"
#include "main/stop_orders.h"

static const uint64_t S_NS = 1000000000;

static void without_an_order_nothing_is_told(void **state)
{
	const struct stop_orders orders = {.given = 0};

	(void)state;
	for (int phase = PHASE_STARTING; phase <= PHASE_STOPPED; phase++) {
		assert_int_equal(stop_orders_untold(&orders, (enum process_phase)phase), 0);
	}
	assert_false(stop_orders_final(&orders, 1000000 * S_NS));
}

/* The process that goes on takes the phase for the first order: it must not hear it twice. */
static void an_order_is_told_again_unless_the_phase_shows_it(void **state)
{
	struct stop_orders orders = {.given = 0};

	(void)state;
	stop_orders_add(&orders, 5 * S_NS);
	assert_int_equal(stop_orders_untold(&orders, PHASE_STARTING), 1);
	assert_int_equal(stop_orders_untold(&orders, PHASE_RUNNING), 1);
	assert_int_equal(stop_orders_untold(&orders, PHASE_LAME_DUCK), 0);
	assert_int_equal(stop_orders_untold(&orders, PHASE_DRAINING), 0);
	assert_int_equal(stop_orders_untold(&orders, PHASE_STOPPED), 0);
	stop_orders_add(&orders, 6 * S_NS);
	stop_orders_add(&orders, 7 * S_NS);
	assert_int_equal(stop_orders_untold(&orders, PHASE_RUNNING), 2);
	assert_int_equal(stop_orders_untold(&orders, PHASE_DRAINING), 1);
}

static void the_stop_does_not_wait_for_ever(void **state)
{
	struct stop_orders orders = {.given = 0};

	(void)state;
	stop_orders_add(&orders, 5 * S_NS);
	assert_false(stop_orders_final(&orders, 5 * S_NS));
	assert_false(stop_orders_final(&orders, 14 * S_NS));
	assert_true(stop_orders_final(&orders, 15 * S_NS));
	stop_orders_add(&orders, 6 * S_NS);
	assert_true(stop_orders_final(&orders, 6 * S_NS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_an_order_nothing_is_told),
		cmocka_unit_test(an_order_is_told_again_unless_the_phase_shows_it),
		cmocka_unit_test(the_stop_does_not_wait_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
