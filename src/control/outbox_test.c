#include <sys/eventfd.h>
#include <unistd.h>

#include "base/testing.h"
#include "control/outbox.h"
#include "model/shm.h"

enum { WORKERS = 2, SLOTS = 400 };

struct fixture {
	struct shm shm;
	struct outbox outbox;
	int fds[WORKERS];
};

static void begin(struct fixture *fixture)
{
	assert_int_equal(shm_create(WORKERS, 1, &fixture->shm, NULL), 0);
	for (int i = 0; i < WORKERS; i++) {
		fixture->fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		assert_true(fixture->fds[i] >= 0);
	}
	assert_int_equal(outbox_init(&fixture->outbox, &fixture->shm, fixture->fds), 0);
}

static void end(struct fixture *fixture)
{
	outbox_done(&fixture->outbox);
	for (int i = 0; i < WORKERS; i++) {
		(void)close(fixture->fds[i]);
	}
	shm_destroy(&fixture->shm);
}

static void post_cut(struct fixture *fixture, uint32_t slot)
{
	const struct command command = {
		.kind = COMMAND_CUT_SLOT, .argument = slot, .reason = CLOSE_KILLED};

	outbox_post(&fixture->outbox, &command);
}

static void every_worker_is_told_and_woken(void **state)
{
	struct fixture fixture;
	struct command command;
	eventfd_t count;

	(void)state;
	begin(&fixture);
	post_cut(&fixture, 7);
	for (int i = 0; i < WORKERS; i++) {
		assert_true(command_pop(&fixture.shm.commands[i], &command));
		assert_int_equal(command.argument, 7);
		assert_int_equal(command.reason, CLOSE_KILLED);
		assert_int_equal(eventfd_read(fixture.fds[i], &count), 0);
	}
	assert_false(outbox_flush(&fixture.outbox));
	end(&fixture);
}

static void a_full_ring_delays_and_loses_nothing(void **state)
{
	const struct command exit = {.kind = COMMAND_EXIT};
	struct fixture fixture;
	struct command command;
	uint32_t taken = 0;

	(void)state;
	begin(&fixture);
	for (uint32_t slot = 0; slot < SLOTS; slot++) {
		post_cut(&fixture, slot);
	}
	for (uint32_t slot = SLOTS - 1; slot > SLOTS - 10; slot--) {
		post_cut(&fixture, slot); /* waits already */
	}
	outbox_post(&fixture.outbox, &exit);
	assert_true(outbox_flush(&fixture.outbox));
	while (command_pop(&fixture.shm.commands[1], &command)) {
		assert_int_equal(command.kind, taken < SLOTS ? COMMAND_CUT_SLOT : COMMAND_EXIT);
		if (taken < SLOTS) {
			assert_int_equal(command.argument, taken);
		}
		taken++;
		assert_true(outbox_flush(&fixture.outbox)); /* the other one still has not read */
	}
	assert_int_equal(taken, SLOTS + 1);
	while (command_pop(&fixture.shm.commands[0], &command)) {
		(void)outbox_flush(&fixture.outbox);
	}
	assert_false(outbox_flush(&fixture.outbox));
	end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_worker_is_told_and_woken),
		cmocka_unit_test(a_full_ring_delays_and_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
