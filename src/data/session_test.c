#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "data/rig.h"

enum { BULK_BYTES = 4 * 1024 * 1024 };

static const struct rig_options plain = {.retries = 2, .backend_count = 1};

/* Byte `i` of a stream: no period that a lost or doubled block would keep. */
static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

static uint8_t *make_stream(size_t length)
{
	uint8_t *stream = malloc(length);

	assert_non_null(stream);
	for (size_t i = 0; i < length; i++) {
		stream[i] = byte_at(i);
	}
	return stream;
}

static void bytes_go_both_ways_and_ends_follow_them(void **state)
{
	struct rig rig;
	char text[6];
	int client;
	int backend;
	struct access_record record;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	rig_write(client, "hello", 5);
	backend = rig_accept(&rig, 0);
	rig_read(backend, text, 5);
	assert_memory_equal(text, "hello", 5);
	rig_write(backend, "world!", 6);
	rig_read(client, text, 6);
	assert_memory_equal(text, "world!", 6);

	assert_int_equal(shutdown(client, SHUT_WR), 0);
	rig_expect_end(backend);
	rig_write(backend, "after", 5); /* half closed: this way is still open */
	rig_read(client, text, 5);
	(void)close(backend);
	rig_expect_end(client);
	(void)close(client);

	record = rig_wait_access(&rig);
	assert_int_equal(record.received_bytes, 5);
	assert_int_equal(record.sent_bytes, 11);
	assert_int_equal(record.by, CLOSED_BY_CLIENT);
	assert_int_equal(record.reason, CLOSE_END);
	assert_int_equal(record.tries, 1);
	rig_stop(&rig);
}

/*
 * Fills all buffers on the way before the other end begins to read: what does not fit anywhere
 * waits in a chunk or a pipe, and nothing is lost.
 */
static void push_through(int from, int to)
{
	uint8_t *stream = make_stream(BULK_BYTES);
	uint8_t *received = malloc(BULK_BYTES);
	size_t sent = 0;
	size_t got = 0;

	assert_non_null(received);
	while (sent < BULK_BYTES) {
		const ssize_t n =
			send(from, stream + sent, BULK_BYTES - sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0) {
			break;
		}
		sent += (size_t)n;
	}
	while (got < BULK_BYTES) {
		const size_t piece = sent - got;
		const size_t more = BULK_BYTES - sent < 65536 ? BULK_BYTES - sent : 65536;

		rig_read(to, received + got, piece);
		got += piece;
		rig_write(from, stream + sent, more);
		sent += more;
	}
	assert_memory_equal(stream, received, BULK_BYTES);
	free(stream);
	free(received);
}

static void bulk_arrives_whole(const struct rig_options *options)
{
	struct rig rig;
	int client;
	int backend;

	rig_start(&rig, options);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	push_through(client, backend);
	push_through(backend, client);
	push_through(client, backend);
	assert_int_equal(shutdown(backend, SHUT_WR), 0);
	rig_expect_end(client);
	assert_int_equal(shutdown(client, SHUT_WR), 0);
	rig_expect_end(backend);
	(void)close(client);
	(void)close(backend);
	assert_int_equal(rig_wait_access(&rig).received_bytes, 2 * (uint64_t)BULK_BYTES);
	rig_stop(&rig);
}

static void bulk_arrives_whole_over_tcp(void **state)
{
	(void)state;
	bulk_arrives_whole(&plain);
}

static void bulk_arrives_whole_at_a_local_backend(void **state)
{
	const struct rig_options options = {.backend_count = 1, .local_backend = true};

	(void)state;
	bulk_arrives_whole(&options);
}

static void bulk_arrives_whole_from_a_local_client(void **state)
{
	const struct rig_options options = {.backend_count = 1, .local_client = true};

	(void)state;
	bulk_arrives_whole(&options);
}

static void an_early_answer_reaches_a_client_that_still_sends(void **state)
{
	struct rig rig;
	uint8_t *upload = make_stream(BULK_BYTES);
	uint8_t answer[50000];
	uint8_t *expected = make_stream(sizeof answer);
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_write(client, upload, 100);
	rig_write(backend, expected, sizeof answer);
	rig_read(backend, upload, 100);
	(void)close(backend); /* all was read: a FIN; what comes later is answered by a reset */
	(void)send(client, upload, BULK_BYTES, MSG_DONTWAIT | MSG_NOSIGNAL);
	rig_read(client, answer, sizeof answer);
	assert_memory_equal(answer, expected, sizeof answer);
	(void)close(client);
	(void)rig_wait_access(&rig);
	free(upload);
	free(expected);
	rig_stop(&rig);
}

static void urgent_data_is_forwarded_in_line(void **state)
{
	struct rig rig;
	char text[11];
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_write(client, "before", 6);
	assert_int_equal(send(client, "!", 1, MSG_OOB), 1);
	rig_write(client, "last", 4);
	rig_read(backend, text, 11);
	assert_memory_equal(text, "before!last", 11);
	(void)close(client);
	rig_expect_end(backend);
	(void)close(backend);
	rig_stop(&rig);
}

static void a_dead_backend_costs_no_client_an_error(void **state)
{
	const struct rig_options options = {.retries = 2};
	struct rig rig;
	struct evidence evidence;
	bool failed = false;

	(void)state;
	rig_start(&rig, &options);
	rig_backend_down(&rig, 0);
	for (int i = 0; i < 20; i++) {
		const int client = rig_connect(&rig);
		const int backend = rig_accept(&rig, 1);
		char byte;

		rig_write(client, "x", 1);
		rig_read(backend, &byte, 1);
		(void)close(client);
		rig_expect_end(backend);
		(void)close(backend);
		(void)rig_wait_access(&rig);
	}
	while (evidence_pop(&rig.shm.evidence[0], &evidence)) {
		failed |= evidence.kind == EVIDENCE_FAILURE && evidence.slot == 0 &&
			evidence.reason == FAILURE_REFUSED;
	}
	assert_true(failed);
	assert_int_equal(counter_get(&shm_slot_counters(&rig.shm, 0, 1)->established), 20);
	assert_true(counter_get(&shm_pool_counters(&rig.shm, 0, 0)->retries) > 0);
	rig_stop(&rig);
}

static void a_lone_backend_that_comes_back_costs_no_error(void **state)
{
	struct rig rig;
	int client;
	int backend;
	char byte;

	(void)state;
	rig_start(&rig, &plain);
	rig_backend_down(&rig, 0);
	client = rig_connect(&rig);
	rig_write(client, "x", 1);
	rig_wait_at_least(&shm_slot_counters(&rig.shm, 0, 0)->failures[FAILURE_REFUSED], 1);
	rig_backend_up(&rig, 0);
	backend = rig_accept(&rig, 0);
	rig_read(backend, &byte, 1);
	(void)close(backend);
	(void)close(client);
	(void)rig_wait_access(&rig);
	rig_stop(&rig);
}

static void without_a_backend_the_client_is_reset(void **state)
{
	struct rig rig;
	int client;
	struct access_record record;

	(void)state;
	rig_start(&rig, &plain);
	rig_publish(&rig, 0);
	client = rig_connect(&rig);
	rig_expect_reset(client);
	(void)close(client);
	record = rig_wait_access(&rig);
	assert_int_equal(record.reason, CLOSE_NO_BACKEND);
	assert_int_equal(counter_get(&shm_pool_counters(&rig.shm, 0, 0)->no_backend), 1);
	rig_stop(&rig);
}

static void with_no_time_left_the_client_is_reset(void **state)
{
	const struct rig_options options = {
		.retries = 2, .backend_count = 1, .connect_total_ns = 500 * 1000000ULL};
	struct rig rig;
	int client;

	(void)state;
	rig_start(&rig, &options);
	rig_backend_down(&rig, 0);
	client = rig_connect(&rig);
	rig_expect_reset(client);
	(void)close(client);
	assert_int_equal(rig_wait_access(&rig).reason, CLOSE_CONNECT_FAILED);
	rig_stop(&rig);
}

static void past_the_limit_of_the_listener_clients_are_reset(void **state)
{
	const struct rig_options options = {.backend_count = 1, .max_connections = 1};
	struct rig rig;
	int first;
	int backend;
	int second;

	(void)state;
	rig_start(&rig, &options);
	first = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	second = rig_connect(&rig);
	rig_expect_reset(second);
	(void)close(second);
	assert_int_equal(
		counter_get(&shm_listener_counters(&rig.shm, 0, 0)->rejected[REJECT_LIMIT]), 1);
	(void)close(first);
	(void)close(backend);
	(void)rig_wait_access(&rig);
	first = rig_connect(&rig); /* there is room again */
	backend = rig_accept(&rig, 0);
	(void)close(first);
	(void)close(backend);
	rig_stop(&rig);
}

static void at_the_limit_of_a_backend_the_other_one_serves(void **state)
{
	const struct rig_options options = {.retries = 2, .backend_limit = 1};
	struct rig rig;
	int clients[3];
	int backends[3];

	(void)state;
	rig_start(&rig, &options);
	clients[0] = rig_connect(&rig);
	clients[1] = rig_connect(&rig);
	backends[0] = rig_accept(&rig, 0);
	backends[1] = rig_accept(&rig, 1);
	clients[2] = rig_connect(&rig); /* waits until one of them is free */
	(void)close(clients[0]);
	(void)close(backends[0]);
	backends[2] = rig_accept(&rig, 0);
	for (int i = 1; i < 3; i++) {
		(void)close(clients[i]);
		(void)close(backends[i]);
	}
	rig_stop(&rig);
}

/* All wait for the one place: what that costs depends on the turns, not on how many they are. */
static void those_that_wait_for_a_place_share_their_picks(void **state)
{
	enum { WAITERS = 200, DRAWS = 32 };
	const struct rig_options options = {
		.retries = 2, .backend_limit = 1, .backend_count = 1, .max_sessions = 256};
	const counter_t *heartbeat;
	uint64_t turns;
	uint64_t draws;
	struct line line;
	int clients[WAITERS];

	(void)state;
	line_open(&line, &options);
	heartbeat = &line.rig.shm.worker_states[0].heartbeat;
	for (int i = 0; i < WAITERS; i++) {
		clients[i] = rig_connect(&line.rig);
	}
	rig_wait_counter(&shm_listener_counters(&line.rig.shm, 0, 0)->connections, WAITERS + 1);
	turns = counter_get(heartbeat);
	draws = atomic_load(&line.rig.shm.pools[0].turn);
	(void)usleep(300000);
	for (int i = 0; i < RIG_WAIT_MS && atomic_load(&line.rig.shm.pools[0].turn) == draws; i++) {
		(void)usleep(1000);
	}
	draws = atomic_load(&line.rig.shm.pools[0].turn) - draws;
	turns = counter_get(heartbeat) - turns;
	assert_in_range(draws, 1, (turns + 2) * DRAWS);
	(void)close(line.client); /* the place is for one of them */
	rig_expect_end(line.backend);
	(void)close(line.backend);
	(void)close(rig_accept(&line.rig, 0));
	for (int i = 0; i < WAITERS; i++) {
		(void)close(clients[i]);
	}
	rig_stop(&line.rig);
}

static void a_backend_is_told_who_the_client_is(void **state)
{
	const struct rig_options options = {
		.backend_count = 1, .proxy_protocol = PROXY_PROTOCOL_V1};
	struct rig rig;
	char text[32];
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &options);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_read(backend, text, 31);
	assert_memory_equal(text, "PROXY TCP4 127.0.0.1 127.0.0.1 ", 31);
	(void)close(client);
	(void)close(backend);
	rig_stop(&rig);
}

static void cutting_a_slot_resets_both_sides(void **state)
{
	struct rig rig;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_wait_counter(&shm_slot_counters(&rig.shm, 0, 0)->established, 1);
	rig_command(&rig, COMMAND_CUT_SLOT, 0);
	rig_expect_reset(client);
	rig_expect_reset(backend);
	(void)close(client);
	(void)close(backend);
	assert_int_equal(rig_wait_access(&rig).reason, CLOSE_KILLED);
	rig_stop(&rig);
}

/* Writes and reads what goes without waiting. */
static void keep_busy(const int *from, const int *to, uint32_t count)
{
	static uint8_t bytes[256 * 1024];

	for (uint32_t i = 0; i < 20 * count; i++) {
		(void)send(from[i % count], bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)recv(to[i % count], bytes, sizeof bytes, MSG_DONTWAIT);
	}
}

/* With bulk under way some sessions wait for their next turn when they are cut. */
static void sessions_that_end_while_they_are_queued_come_back(void **state)
{
	enum { SESSIONS = 4, ROUNDS = 25 };
	const struct rig_options options = {.backend_count = 1, .max_sessions = SESSIONS};
	struct rig rig;
	int clients[SESSIONS];
	int backends[SESSIONS];

	(void)state;
	rig_start(&rig, &options);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < SESSIONS; i++) {
			clients[i] = rig_connect(&rig);
			backends[i] = rig_accept(&rig, 0);
		}
		/* One that is connecting would not be cut. */
		rig_wait_counter(
			&shm_slot_counters(&rig.shm, 0, 0)->established, SESSIONS * (round + 1));
		keep_busy(clients, backends, SESSIONS);
		rig_command(&rig, COMMAND_CUT_SLOT, 0);
		for (uint32_t i = 0; i < SESSIONS; i++) {
			assert_int_equal(rig_wait_access(&rig).reason, CLOSE_KILLED);
			(void)close(clients[i]);
			(void)close(backends[i]);
		}
	}
	assert_int_equal(
		counter_get(&shm_listener_counters(&rig.shm, 0, 0)->rejected[REJECT_LIMIT]), 0);
	rig_stop(&rig);
}

static void what_is_queued_is_served_at_the_stop(void **state)
{
	struct rig rig;
	int clients[8];

	(void)state;
	rig_start(&rig, &plain);
	for (int i = 0; i < 8; i++) {
		clients[i] = rig_connect(&rig);
		rig_write(clients[i], "x", 1);
	}
	rig_command(&rig, COMMAND_STOP_ACCEPTING, 0);
	for (int i = 0; i < 8; i++) {
		const int backend = rig_accept(&rig, 0);
		char byte;

		rig_read(backend, &byte, 1);
		rig_write(backend, "y", 1);
		(void)close(backend);
	}
	for (int i = 0; i < 8; i++) {
		char byte;

		rig_read(clients[i], &byte, 1);
		(void)close(clients[i]);
	}
	rig_wait_closed(&rig);
	rig_stop(&rig);
}

/* A UNIX socket that refuses is readable for ever: nobody may be woken by that. */
static void a_local_listener_that_is_emptied_lets_the_worker_sleep(void **state)
{
	static const struct rig_options options = {
		.retries = 2, .backend_count = 1, .local_client = true};
	const counter_t *heartbeat;
	uint64_t turns;
	struct line line;

	(void)state;
	line_open(&line, &options);
	heartbeat = &line.rig.shm.worker_states[0].heartbeat;
	turns = counter_get(heartbeat);
	rig_command(&line.rig, COMMAND_STOP_ACCEPTING, 0);
	rig_wait_closed(&line.rig);
	assert_true(counter_get(heartbeat) - turns < 50);
	line_close(&line);
}

/* The kernel may choose the port of a backend that is down, and connect our socket with itself. */
static void meet_itself(const struct rig_options *options, uint32_t wants_success)
{
	const int network = rig_new_network();
	const struct slot_counters *slot;
	struct rig rig;
	unsigned port;
	int client;
	int backend;

	if (network < 0) {
		skip();
	}
	rig_start(&rig, options);
	slot = shm_slot_counters(&rig.shm, 0, 0);
	atomic_store(&rig.shm.slots[0].health, HEALTH_HEALTHY);
	atomic_store(&rig.shm.slots[0].wants_success, wants_success);
	port = sockaddr_port(&rig.addresses[0]);
	rig_backend_down(&rig, 0);
	client = rig_connect(&rig);
	rig_wait_at_least(&slot->failures[FAILURE_REFUSED], 1);
	rig_local_ports(port, port);
	rig_wait_at_least(&slot->failures[FAILURE_REFUSED], 2);
	assert_int_equal(counter_get(&slot->established), 0);
	rig_local_ports(32768, 60999);
	rig_backend_up(&rig, 0);
	backend = rig_accept(&rig, 0);
	rig_expect_text(client, backend, "question");
	rig_expect_text(backend, client, "answer");
	(void)close(client);
	(void)close(backend);
	rig_stop(&rig);
	rig_old_network(network);
}

static void a_socket_that_meets_itself_is_no_backend(void **state)
{
	(void)state;
	meet_itself(&plain, 1); /* control knows of the failures */
}

static void where_that_may_be_no_failure_need_be_known(void **state)
{
	static const struct rig_options options = {
		.retries = 2, .backend_count = 1, .may_be_self = true};

	(void)state;
	meet_itself(&options, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_go_both_ways_and_ends_follow_them),
		cmocka_unit_test(bulk_arrives_whole_over_tcp),
		cmocka_unit_test(bulk_arrives_whole_at_a_local_backend),
		cmocka_unit_test(bulk_arrives_whole_from_a_local_client),
		cmocka_unit_test(an_early_answer_reaches_a_client_that_still_sends),
		cmocka_unit_test(urgent_data_is_forwarded_in_line),
		cmocka_unit_test(a_dead_backend_costs_no_client_an_error),
		cmocka_unit_test(a_lone_backend_that_comes_back_costs_no_error),
		cmocka_unit_test(without_a_backend_the_client_is_reset),
		cmocka_unit_test(with_no_time_left_the_client_is_reset),
		cmocka_unit_test(past_the_limit_of_the_listener_clients_are_reset),
		cmocka_unit_test(at_the_limit_of_a_backend_the_other_one_serves),
		cmocka_unit_test(those_that_wait_for_a_place_share_their_picks),
		cmocka_unit_test(a_backend_is_told_who_the_client_is),
		cmocka_unit_test(cutting_a_slot_resets_both_sides),
		cmocka_unit_test(sessions_that_end_while_they_are_queued_come_back),
		cmocka_unit_test(what_is_queued_is_served_at_the_stop),
		cmocka_unit_test(a_local_listener_that_is_emptied_lets_the_worker_sleep),
		cmocka_unit_test(a_socket_that_meets_itself_is_no_backend),
		cmocka_unit_test(where_that_may_be_no_failure_need_be_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
