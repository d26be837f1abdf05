#include <string.h>

#include "base/testing.h"
#include "model/evidence.h"

/* Static, since the heap does not align to cache lines. */
static struct evidence_ring *fresh_ring(void)
{
	static struct evidence_ring ring;

	memset(&ring, 0, sizeof ring);
	return &ring;
}

static void what_was_put_in_comes_out_in_order(void **state)
{
	struct evidence_ring *ring = fresh_ring();
	struct evidence evidence;

	(void)state;
	assert_false(evidence_pop(ring, &evidence));
	for (uint32_t i = 0; i < 5 * EVIDENCE_RING_SIZE; i++) {
		const struct evidence in = {.kind = EVIDENCE_SUCCESS, .slot = i, .started_ns = 7};

		assert_true(evidence_push(ring, &in));
		assert_true(evidence_pop(ring, &evidence));
		assert_int_equal(evidence.kind, EVIDENCE_SUCCESS);
		assert_int_equal(evidence.slot, i);
		assert_int_equal(evidence.started_ns, 7);
	}
	assert_false(evidence_overflowed(ring));
}

static void a_full_ring_says_so_once(void **state)
{
	struct evidence_ring *ring = fresh_ring();
	struct evidence evidence = {.kind = EVIDENCE_FAILURE};

	(void)state;
	for (uint32_t i = 0; i < EVIDENCE_RING_SIZE; i++) {
		evidence.slot = i;
		assert_true(evidence_push(ring, &evidence));
	}
	assert_false(evidence_overflowed(ring));
	assert_false(evidence_push(ring, &evidence));
	assert_true(evidence_overflowed(ring));
	assert_false(evidence_overflowed(ring));
	for (uint32_t i = 0; i < EVIDENCE_RING_SIZE; i++) {
		assert_true(evidence_pop(ring, &evidence));
		assert_int_equal(evidence.slot, i); /* what was lost is the newest */
	}
	assert_false(evidence_pop(ring, &evidence));
}

static void commands_wait_in_order(void **state)
{
	static struct command_ring commands;
	struct command_ring *ring = &commands;
	struct command command = {.kind = COMMAND_CUT_SLOT, .reason = CLOSE_KILLED};

	(void)state;
	assert_false(command_pop(ring, &command));
	for (uint32_t i = 0; i < COMMAND_RING_SIZE; i++) {
		command.argument = i;
		assert_true(command_push(ring, &command));
	}
	assert_false(command_push(ring, &command));
	for (uint32_t i = 0; i < COMMAND_RING_SIZE; i++) {
		assert_true(command_pop(ring, &command));
		assert_int_equal(command.argument, i);
		assert_int_equal(command.reason, CLOSE_KILLED);
	}
	assert_false(command_pop(ring, &command));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_put_in_comes_out_in_order),
		cmocka_unit_test(a_full_ring_says_so_once),
		cmocka_unit_test(commands_wait_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
