#include <sys/eventfd.h>
#include <unistd.h>

#include "base/testing.h"
#include "control/drain.h"
#include "control/outbox.h"
#include "model/shm.h"

static const uint64_t S = 1000000000;

struct fixture {
	struct shm shm;
	struct outbox outbox;
	int fd;
};

static int set_up(void **state)
{
	static struct fixture fixture;

	*state = &fixture;
	assert_int_equal(shm_create(1, 1, &fixture.shm, NULL), 0);
	fixture.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_equal(outbox_init(&fixture.outbox, &fixture.shm, &fixture.fd), 0);
	assert_int_equal(shm_slot_index(&fixture.shm, 0, "a"), 0);
	assert_int_equal(shm_slot_index(&fixture.shm, 0, "b"), 1);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	outbox_done(&fixture->outbox);
	shm_destroy(&fixture->shm);
	(void)close(fixture->fd);
	return 0;
}

static void give(struct fixture *fixture, uint32_t slot, uint64_t drain_ns, uint64_t end_ns)
{
	counter_set(&fixture->shm.slots[slot].backend_drain_ns, drain_ns);
	counter_set(&fixture->shm.slots[slot].drain_end_ns, end_ns);
}

static void set_sessions(struct fixture *fixture, uint32_t slot, uint64_t count)
{
	counter_set(&shm_slot_counters(&fixture->shm, 0, slot)->started, count);
}

static uint64_t run(struct fixture *fixture, uint64_t now_ns)
{
	return drain_run(&fixture->shm, &fixture->outbox, now_ns);
}

static void assert_told(struct fixture *fixture, enum command_kind kind, uint32_t slot)
{
	struct command command;

	assert_true(command_pop(&fixture->shm.commands[0], &command));
	assert_int_equal(command.kind, kind);
	assert_int_equal(command.argument, slot);
	assert_int_equal(command.reason, CLOSE_DRAIN);
}

static void assert_quiet(struct fixture *fixture)
{
	struct command command;

	assert_false(command_pop(&fixture->shm.commands[0], &command));
}

static void without_an_end_nothing_is_cut(void **state)
{
	give(*state, 0, 10 * S, 0);
	assert_int_equal(run(*state, 100 * S), UINT64_MAX);
	assert_quiet(*state);
}

static void the_idle_ones_go_in_the_last_tenth_and_the_rest_at_the_end(void **state)
{
	struct fixture *fixture = *state;

	give(fixture, 1, 20 * S, 120 * S);
	set_sessions(fixture, 1, 2);
	assert_int_equal(run(fixture, 100 * S), 118 * S);
	assert_quiet(fixture);
	assert_int_equal(run(fixture, 118 * S), 119 * S);
	assert_told(fixture, COMMAND_CUT_IDLE, 1);
	assert_int_equal(run(fixture, 119 * S + 1), 120 * S);
	assert_told(fixture, COMMAND_CUT_IDLE, 1);
	assert_quiet(fixture);
	assert_int_equal(run(fixture, 120 * S), 121 * S);
	assert_told(fixture, COMMAND_CUT_SLOT, 1);
	/* Who was told may have died before it obeyed. */
	assert_int_equal(run(fixture, 121 * S), 122 * S);
	assert_told(fixture, COMMAND_CUT_SLOT, 1);
	set_sessions(fixture, 1, 0);
	assert_int_equal(run(fixture, 122 * S), UINT64_MAX);
	assert_int_equal(run(fixture, 200 * S), UINT64_MAX);
	assert_quiet(fixture);
}

static void the_earliest_of_several_is_waited_for(void **state)
{
	struct fixture *fixture = *state;

	give(fixture, 0, 10 * S, 130 * S);
	give(fixture, 1, 10 * S, 110 * S);
	set_sessions(fixture, 1, 1);
	assert_int_equal(run(fixture, 100 * S), 109 * S);
	assert_int_equal(run(fixture, 110 * S), 111 * S);
	assert_told(fixture, COMMAND_CUT_SLOT, 1);
	assert_quiet(fixture);
}

/* Each command makes each worker walk all its sessions. */
static void without_a_session_nobody_is_told(void **state)
{
	struct fixture *fixture = *state;

	give(fixture, 1, 20 * S, 120 * S);
	assert_int_equal(run(fixture, 118 * S), 119 * S);
	assert_quiet(fixture);
	set_sessions(fixture, 1, 1); /* one that was on its way */
	assert_int_equal(run(fixture, 119 * S), 120 * S);
	assert_told(fixture, COMMAND_CUT_IDLE, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_an_end_nothing_is_cut, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_idle_ones_go_in_the_last_tenth_and_the_rest_at_the_end, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			without_a_session_nobody_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_earliest_of_several_is_waited_for, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
