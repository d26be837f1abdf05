#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "data/rig.h"
#include "data/sweep.h"

static void open_session(struct rig *rig, int *ret_client, int *ret_backend)
{
	*ret_client = rig_connect(rig);
	*ret_backend = rig_accept(rig, 0);
	rig_write(*ret_client, "x", 1);
	rig_read(*ret_backend, &(char){0}, 1);
}

static void only_idle_sessions_are_cut_first(void **state)
{
	const struct rig_options options = {.backend_count = 1};
	struct rig rig;
	int client[2];
	int backend[2];

	(void)state;
	rig_start(&rig, &options);
	open_session(&rig, &client[0], &backend[0]);
	open_session(&rig, &client[1], &backend[1]);
	(void)usleep(1200 * 1000);
	rig_write(client[1], "y", 1);
	rig_read(backend[1], &(char){0}, 1);
	rig_command(&rig, COMMAND_CUT_IDLE, 0);
	rig_expect_reset(client[0]);
	rig_expect_reset(backend[0]);
	rig_write(client[1], "z", 1);
	rig_read(backend[1], &(char){0}, 1);
	rig_command(&rig, COMMAND_CUT_SLOT, 0);
	rig_expect_reset(client[1]);
	rig_expect_reset(backend[1]);
	for (int i = 0; i < 2; i++) {
		(void)close(client[i]);
		(void)close(backend[i]);
	}
	rig_stop(&rig);
}

static void sessions_of_another_slot_stay(void **state)
{
	const struct rig_options options = {.backend_count = 1};
	struct rig rig;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &options);
	open_session(&rig, &client, &backend);
	(void)usleep(1200 * 1000);
	rig_command(&rig, COMMAND_CUT_IDLE, 1);
	rig_command(&rig, COMMAND_CUT_SLOT, 1);
	rig_write(client, "y", 1);
	rig_read(backend, &(char){0}, 1);
	(void)close(client);
	rig_expect_end(backend);
	(void)close(backend);
	rig_stop(&rig);
}

/* Fills the queue of a backend, so that one more client is not answered. */
static void stuff(struct rig *rig, uint32_t index, int fds[static 2])
{
	assert_int_equal(listen(rig->backends[index], 1), 0);
	for (int i = 0; i < 2; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], &rig->addresses[index].generic,
					 rig->addresses[index].length),
			0);
	}
}

/* Nothing has been lost yet: it is served by the other backend. */
static void a_client_that_is_only_connecting_moves_on(void **state)
{
	const struct rig_options options = {.backend_count = 2, .retries = 2};
	struct rig rig;
	int stuffing[2];
	int clients[2];
	int backend;
	bool waits = false;

	(void)state;
	rig_start(&rig, &options);
	stuff(&rig, 0, stuffing);
	for (int i = 0; i < 2; i++) {
		clients[i] = rig_connect(&rig);
		rig_write(clients[i], "x", 1);
	}
	backend = rig_accept(&rig, 1);
	rig_read(backend, &(char){0}, 1);
	for (int ms = 0; ms < RIG_WAIT_MS && !waits; ms++) {
		for (uint32_t i = 0; i < 2; i++) {
			const struct session_record record = rig_record(&rig, i);

			waits |= record.slot == 0 && record.fd[SIDE_BACKEND] >= 0;
		}
		(void)usleep(1000);
	}
	assert_true(waits);
	rig_command(&rig, COMMAND_CUT_SLOT, 0);
	{
		const int other = rig_accept(&rig, 1);

		rig_read(other, &(char){0}, 1);
		for (int i = 0; i < 2; i++) {
			(void)close(clients[i]);
			(void)close(stuffing[i]);
		}
		rig_expect_end(other);
		(void)close(other);
	}
	rig_expect_end(backend);
	(void)close(backend);
	rig_stop(&rig);
}

static void a_new_timeout_reaches_a_session_without_one(void **state)
{
	const struct rig_options options = {.backend_count = 1};
	struct rig rig;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &options);
	open_session(&rig, &client, &backend);
	(void)usleep(1200 * 1000); /* it has come of age, and has no deadline */
	counter_set(&rig.shm.listeners[0].idle_ns, 1000000);
	rig_command(&rig, COMMAND_REVIEW, 0);
	rig_expect_end(client);
	rig_expect_end(backend);
	(void)close(client);
	(void)close(backend);
	rig_stop(&rig);
}

/* The watchdog takes a worker whose heart stands still for one that hangs. */
static void a_long_sweep_does_not_look_hung(void **state)
{
	enum { SESSIONS = 64 };
	const struct rig_options options = {.backend_count = 1, .max_sessions = 256};
	const struct worker_state *worker;
	struct rig rig;
	int clients[SESSIONS];
	int backends[SESSIONS];
	uint64_t beats;

	(void)state;
	rig_start(&rig, &options);
	worker = &rig.shm.worker_states[0];
	for (int i = 0; i < SESSIONS; i++) {
		open_session(&rig, &clients[i], &backends[i]);
	}
	for (uint32_t i = 0; i < SESSIONS; i++) { /* until they are of age: nothing happens then */
		for (int ms = 0; rig_record(&rig, i).cookie[SIDE_BACKEND] == 0; ms++) {
			assert_true(ms < RIG_WAIT_MS);
			(void)usleep(1000);
		}
	}
	beats = counter_get(&worker->heartbeat);
	rig_command(&rig, COMMAND_CUT_SLOT, 1); /* none of them: one turn, nothing else happens */
	rig_wait_at_least(&worker->heartbeat, beats + 1 + SESSIONS / 16);
	for (int i = 0; i < SESSIONS; i++) {
		(void)close(clients[i]);
		rig_expect_end(backends[i]);
		(void)close(backends[i]);
	}
	rig_stop(&rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_idle_sessions_are_cut_first),
		cmocka_unit_test(sessions_of_another_slot_stay),
		cmocka_unit_test(a_client_that_is_only_connecting_moves_on),
		cmocka_unit_test(a_long_sweep_does_not_look_hung),
		cmocka_unit_test(a_new_timeout_reaches_a_session_without_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
