#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "data/rig.h"

static const uint64_t MS_NS = 1000000;

static const struct rig_options plain = {.retries = 2, .backend_count = 1};

static void a_reset_by_the_client_reaches_the_backend_after_its_bytes(void **state)
{
	struct rig rig;
	char text[5];
	int client;
	int backend;
	struct access_record record;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	rig_write(client, "bytes", 5);
	backend = rig_accept(&rig, 0);
	rig_read(backend, text, 5);
	rig_reset(client);
	rig_expect_reset(backend);
	(void)close(backend);
	record = rig_wait_access(&rig);
	assert_int_equal(record.by, CLOSED_BY_CLIENT);
	assert_int_equal(record.reason, CLOSE_RESET);
	rig_stop(&rig);
}

/*
 * The client comes, says `text` and goes with a reset, all while its backend refuses. What it has
 * said is still delivered, and then the reset; it holds its place at the listener until then.
 */
static void a_waiting_client_is_reset(const struct rig_options *base, const char *text, bool fin)
{
	struct rig_options options = *base;
	const size_t length = strlen(text);
	const struct listener_counters *listener;
	const struct slot_counters *slot;
	struct access_record record;
	struct rig rig;
	char got[16];
	int client;
	int backend;

	options.backend_count = 1;
	options.retries = 2;
	options.max_connections = 1;
	rig_start(&rig, &options);
	listener = shm_listener_counters(&rig.shm, 0, 0);
	slot = shm_slot_counters(&rig.shm, 0, 0);
	rig_backend_down(&rig, 0);
	client = rig_connect(&rig);
	rig_write(client, text, length);
	rig_wait_counter(&slot->failures[FAILURE_REFUSED], 1);
	if (fin) {
		assert_int_equal(shutdown(client, SHUT_WR), 0);
	}
	rig_reset(client);
	if (length == 0) {
		record = rig_wait_access(&rig);
		assert_int_equal(record.tries, 1);
	} else {
		client = rig_connect(&rig);
		rig_expect_reset(client); /* there is no place for another one yet */
		(void)close(client);
		rig_backend_up(&rig, 0);
		backend = rig_accept(&rig, 0);
		rig_read(backend, got, length);
		assert_memory_equal(got, text, length);
		if (options.local_backend) {
			rig_expect_end(backend);
		} else {
			rig_expect_reset(backend);
		}
		(void)close(backend);
		record = rig_wait_access(&rig);
		assert_true(record.tries >= 2);
	}
	assert_int_equal(record.received_bytes, length);
	assert_int_equal(record.by, CLOSED_BY_CLIENT);
	assert_int_equal(record.reason, CLOSE_RESET);
	assert_int_equal(counter_get(&listener->claimed), counter_get(&listener->released));
	assert_int_equal(counter_get(&slot->started), counter_get(&slot->finished));
	rig_stop(&rig);
}

static void a_waiting_client_that_resets_is_delivered_first(void **state)
{
	static const struct rig_options tcp;
	static const struct rig_options local = {.local_backend = true};

	(void)state;
	a_waiting_client_is_reset(&tcp, "bytes", false);
	a_waiting_client_is_reset(&tcp, "bytes", true);
	a_waiting_client_is_reset(&local, "bytes", false);
	a_waiting_client_is_reset(&local, "bytes", true);
}

static void a_waiting_client_that_resets_in_silence_is_let_go(void **state)
{
	static const struct rig_options tcp;

	(void)state;
	a_waiting_client_is_reset(&tcp, "", false);
	a_waiting_client_is_reset(&tcp, "", true);
}

static void a_backend_is_told_who_a_client_was_that_has_reset(void **state)
{
	const struct rig_options options = {
		.backend_count = 1, .retries = 2, .proxy_protocol = PROXY_PROTOCOL_V1};
	struct sockaddr_any address = {.length = sizeof address.ip4};
	char wanted[64];
	char got[64];
	struct rig rig;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &options);
	rig_backend_down(&rig, 0);
	client = rig_connect(&rig);
	assert_int_equal(getsockname(client, &address.generic, &address.length), 0);
	(void)snprintf(wanted, sizeof wanted, "PROXY TCP4 127.0.0.1 127.0.0.1 %u %u\r\nbytes",
		sockaddr_port(&address), sockaddr_port(&rig.listener));
	rig_write(client, "bytes", 5);
	rig_wait_counter(&shm_slot_counters(&rig.shm, 0, 0)->failures[FAILURE_REFUSED], 1);
	rig_reset(client);
	rig_backend_up(&rig, 0);
	backend = rig_accept(&rig, 0);
	rig_read(backend, got, strlen(wanted));
	assert_memory_equal(got, wanted, strlen(wanted));
	rig_expect_reset(backend);
	(void)close(backend);
	rig_stop(&rig);
}

/* A reset that comes after a FIN shows in no read: the backend would work on for nobody. */
static void a_client_that_has_finished_and_resets_ends_the_session(void **state)
{
	struct rig rig;
	struct access_record record;
	char text[5];
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	rig_write(client, "bytes", 5);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	backend = rig_accept(&rig, 0);
	rig_read(backend, text, 5);
	rig_expect_end(backend);
	rig_reset(client);
	record = rig_wait_access(&rig);
	assert_int_equal(record.by, CLOSED_BY_CLIENT);
	assert_int_equal(record.reason, CLOSE_RESET);
	assert_int_equal(send(backend, "x", 1, MSG_NOSIGNAL), -1);
	(void)close(backend);
	rig_stop(&rig);
}

static void a_reset_by_the_backend_reaches_the_client_after_its_bytes(void **state)
{
	struct rig rig;
	char text[6];
	int client;
	int backend;
	struct access_record record;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	rig_write(client, "unread", 6);
	backend = rig_accept(&rig, 0);
	rig_read(backend, text, 1);
	rig_write(backend, "answer", 6);
	(void)close(backend); /* with unread input: a reset */
	rig_read(client, text, 6);
	assert_memory_equal(text, "answer", 6);
	rig_expect_reset(client);
	(void)close(client);
	record = rig_wait_access(&rig);
	assert_int_equal(record.by, CLOSED_BY_BACKEND);
	assert_int_equal(record.reason, CLOSE_RESET);
	rig_stop(&rig);
}

static void an_idle_session_is_ended_in_order(void **state)
{
	const struct rig_options options = {.backend_count = 1, .idle_ns = 200 * MS_NS};
	struct rig rig;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &options);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_expect_end(client);
	rig_expect_end(backend);
	(void)close(client);
	(void)close(backend);
	assert_int_equal(rig_wait_access(&rig).reason, CLOSE_IDLE_TIMEOUT);
	rig_stop(&rig);
}

static void a_half_closed_session_has_a_limit_of_its_own(void **state)
{
	const struct rig_options options = {.backend_count = 1, .half_close_ns = 200 * MS_NS};
	struct rig rig;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &options);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	rig_expect_end(backend);
	rig_expect_end(client);
	(void)close(client);
	(void)close(backend);
	assert_int_equal(rig_wait_access(&rig).reason, CLOSE_HALF_CLOSE_TIMEOUT);
	rig_stop(&rig);
}

static void an_early_reset_is_passed_on_and_counts_against_the_backend(void **state)
{
	struct rig rig;
	struct evidence evidence;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_wait_counter(&shm_slot_counters(&rig.shm, 0, 0)->established, 1);
	rig_reset(backend);
	rig_expect_reset(client);
	(void)close(client);
	assert_int_equal(rig_wait_access(&rig).tries, 1);
	assert_int_equal(
		counter_get(&shm_slot_counters(&rig.shm, 0, 0)->failures[FAILURE_RESET]), 1);
	assert_true(evidence_pop(&rig.shm.evidence[0], &evidence));
	assert_int_equal(evidence.kind, EVIDENCE_FAILURE);
	assert_int_equal(evidence.reason, FAILURE_RESET);
	rig_stop(&rig);
}

/* As many may wait so at once when a backend dies, each is looked at ever more rarely. */
static void a_reset_waits_for_a_client_that_reads_nothing_without_hurry(void **state)
{
	static char bytes[300 * 1024]; /* more than its window, less than our queue */
	const int window = 16 * 1024;
	const counter_t *heartbeat;
	uint64_t turns;
	struct line line;

	(void)state;
	line_open(&line, &plain);
	(void)setsockopt(line.client, SOL_SOCKET, SO_RCVBUF, &window, sizeof window);
	heartbeat = &line.rig.shm.worker_states[0].heartbeat;
	rig_write(line.backend, bytes, sizeof bytes);
	(void)usleep(300000);
	rig_reset(line.backend);
	(void)usleep(100000);
	turns = counter_get(heartbeat);
	(void)usleep(1000000);
	assert_int_equal(counter_get(&line.rig.shm.worker_states[0].sessions), 1);
	assert_true(counter_get(heartbeat) - turns < 25);

	/* It still gets what was sent, and the reset. */
	while (recv(line.client, bytes, sizeof bytes, 0) > 0) {
	}
	assert_int_equal(rig_wait_access(&line.rig).reason, CLOSE_RESET);
	(void)close(line.client);
	rig_stop(&line.rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reset_by_the_client_reaches_the_backend_after_its_bytes),
		cmocka_unit_test(a_waiting_client_that_resets_is_delivered_first),
		cmocka_unit_test(a_waiting_client_that_resets_in_silence_is_let_go),
		cmocka_unit_test(a_backend_is_told_who_a_client_was_that_has_reset),
		cmocka_unit_test(a_client_that_has_finished_and_resets_ends_the_session),
		cmocka_unit_test(a_reset_by_the_backend_reaches_the_client_after_its_bytes),
		cmocka_unit_test(an_idle_session_is_ended_in_order),
		cmocka_unit_test(a_half_closed_session_has_a_limit_of_its_own),
		cmocka_unit_test(an_early_reset_is_passed_on_and_counts_against_the_backend),
		cmocka_unit_test(a_reset_waits_for_a_client_that_reads_nothing_without_hurry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
