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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_idle_sessions_are_cut_first),
		cmocka_unit_test(sessions_of_another_slot_stay),
		cmocka_unit_test(a_new_timeout_reaches_a_session_without_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
