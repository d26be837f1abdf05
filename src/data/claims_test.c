#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "data/claims.h"
#include "data/rig.h"

static const struct rig_options plain = {.retries = 2, .backend_count = 1};
static const struct rig_options local = {
	.retries = 2, .backend_count = 1, .local_backend = true, .local_client = true};

static struct session_record *record_of(const struct line *line)
{
	return shm_record(&line->rig.shm, 0, 0);
}

static uint64_t continued(const struct line *line, enum continued_from from)
{
	return counter_get(&line->rig.shm.worker_states[0].continued[from]);
}

static uint64_t lost(const struct line *line, enum lost_reason reason)
{
	return counter_get(&line->rig.shm.worker_states[0].lost[reason]);
}

/* A session with a backend, nothing of either side read yet, and its record as it was before. */
static void line_connecting(struct line *line, const struct rig_options *options)
{
	rig_start(&line->rig, options);
	line->client = rig_connect(&line->rig);
	line->backend = rig_accept(&line->rig, 0);
	rig_wait_counter(&shm_slot_counters(&line->rig.shm, 0, 0)->established, 1);
	rig_die(&line->rig);
	record_of(line)->state = RECORD_CONNECTING;
	record_of(line)->check = session_record_check_try(record_of(line), 0);
}

/* As if the worker process had died before it could say which socket it connects. */
static void a_session_that_connects_is_connected_again(void **state)
{
	struct line line;
	struct session_record *record;
	char text[16];

	(void)state;
	line_connecting(&line, &plain);
	record = record_of(&line);
	rig_write(line.client, "request", 7);
	record->check = session_record_check_client(record, 0);
	rig_succeed(&line.rig);
	rig_expect_reset(line.backend); /* the socket of that try belongs to nothing */
	(void)close(line.backend);
	line.backend = rig_accept(&line.rig, 0);
	rig_read(line.backend, text, 7);
	assert_memory_equal(text, "request", 7);
	assert_int_equal(continued(&line, CONTINUED_CONNECTING), 1);
	assert_int_equal(counter_get(&shm_slot_counters(&line.rig.shm, 0, 0)->established), 2);
	line_close(&line);
}

/* Nor begun: it died between the record and the connect. */
static void a_connect_that_was_not_begun_is_held_against_nobody(void **state)
{
	struct line line;
	struct session_record *record;
	int fd;

	(void)state;
	line_connecting(&line, &plain);
	record = record_of(&line);
	assert_int_equal(socket_open(&line.rig.addresses[0], 0, &fd), 0);
	assert_int_equal(dup2(fd, record->fd[SIDE_BACKEND]), record->fd[SIDE_BACKEND]);
	(void)close(fd);
	rig_succeed(&line.rig);
	(void)close(line.backend);
	line.backend = rig_accept(&line.rig, 0);
	rig_expect_text(line.client, line.backend, "request");
	assert_int_equal(
		counter_get(&shm_slot_counters(&line.rig.shm, 0, 0)->failures[FAILURE_RESET]), 0);
	assert_int_equal(shm_slot_sessions(&line.rig.shm, 0), 1);
	line_close(&line);
}

/* By damage of that one word, or because the word is stored last. */
static void an_open_session_that_seems_to_connect_is_open(const struct rig_options *options)
{
	struct line line;

	line_open(&line, options);
	rig_die(&line.rig);
	record_of(&line)->state = RECORD_CONNECTING;
	rig_succeed(&line.rig);
	rig_expect_text(line.client, line.backend, "up");
	rig_expect_text(line.backend, line.client, "down");
	assert_int_equal(continued(&line, CONTINUED_CONNECTING), 0);
	assert_int_equal(continued(&line, CONTINUED_WHOLE), 1);
	line_close(&line);
}

static void an_open_session_that_seems_to_connect_is_open_over_tcp(void **state)
{
	(void)state;
	an_open_session_that_seems_to_connect_is_open(&plain);
}

static void an_open_session_that_seems_to_connect_is_open_over_unix_sockets(void **state)
{
	(void)state;
	an_open_session_that_seems_to_connect_is_open(&local);
}

/* Its header may not have been sent; but its client is like one that was just accepted. */
static void a_session_that_connects_and_seems_open_begins_anew(void **state)
{
	struct line line;

	(void)state;
	line_connecting(&line, &plain);
	record_of(&line)->state = RECORD_OPEN;
	rig_succeed(&line.rig);
	rig_expect_reset(line.backend);
	(void)close(line.backend);
	line.backend = rig_accept(&line.rig, 0);
	rig_expect_text(line.client, line.backend, "request");
	assert_int_equal(lost(&line, LOST_DAMAGED), 1);
	assert_int_equal(continued(&line, CONTINUED_ACCEPTED), 1);
	line_close(&line);
}

/* Something has gone through its client's socket: its next bytes would begin in the middle. */
static void a_session_that_connects_has_read_nothing(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	record_of(&line)->state = RECORD_CONNECTING;
	record_of(&line)->check = session_record_check_client(record_of(&line), 0);
	memset(record_of(&line)->moved, 0, sizeof record_of(&line)->moved);
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	assert_int_equal(lost(&line, LOST_DAMAGED), 1);
	line_close(&line);
}

static void a_session_that_was_being_given_up_is_given_up(void **state)
{
	struct line line;

	(void)state;
	line_connecting(&line, &plain);
	session_record_set(record_of(&line), RECORD_RESETTING);
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	rig_expect_reset(line.backend);
	line_close(&line);
}

/* Accepted and about to be turned away: not served by one who would end it with a reset. */
static void a_client_that_was_being_turned_away_is_turned_away(void **state)
{
	struct line line;
	int client;
	int accepted;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	client = rig_connect(&line.rig);
	line.rig.kept[line.rig.kept_count] = client;
	line.rig.kept_count++;
	accepted = accept4(shm_listen_record(&line.rig.shm, 0, 0)->fd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(accepted >= 0);
	socket_reset_on_close(accepted);
	rig_succeed(&line.rig);
	rig_expect_reset(client);
	(void)close(client);
	assert_int_equal(continued(&line, CONTINUED_ACCEPTED), 0);
	line_close(&line);
}

static void expect_goes_on(struct line *line)
{
	rig_write(line->client, "request", 7);
	rig_succeed(&line->rig);
	rig_expect_text(line->backend, line->client, "an answer before the question");
}

static void whose_backend_has_answered_stays_with_it(const struct rig_options *options)
{
	struct line line;
	char text[16];

	line_connecting(&line, options);
	expect_goes_on(&line);
	rig_read(line.backend, text, 7);
	assert_memory_equal(text, "request", 7);
	assert_int_equal(continued(&line, CONTINUED_CONNECTING), 1);
	assert_int_equal(shm_slot_sessions(&line.rig.shm, 0), 1);
	/* It died after the count. */
	assert_int_equal(counter_get(&shm_slot_counters(&line.rig.shm, 0, 0)->established), 1);
	line_close(&line);
}

static void whose_backend_has_answered_stays_with_it_over_tcp(void **state)
{
	(void)state;
	whose_backend_has_answered_stays_with_it(&plain);
}

static void whose_backend_has_answered_stays_with_it_over_unix_sockets(void **state)
{
	(void)state;
	whose_backend_has_answered_stays_with_it(&local);
}

static void a_header_is_not_sent_twice(void **state)
{
	static const struct rig_options options = {
		.retries = 2, .backend_count = 1, .proxy_protocol = PROXY_PROTOCOL_V2};
	struct line line;
	uint8_t bytes[28 + 7];

	(void)state;
	line_connecting(&line, &options);
	expect_goes_on(&line);
	rig_read(line.backend, bytes, sizeof bytes);
	assert_memory_equal(bytes + 28, "request", 7);
	line_close(&line);
}

/* It was sent, and the worker process died before it could say so. */
static void who_may_have_sent_a_header_connects_again(void **state)
{
	static const struct rig_options options = {
		.retries = 2, .backend_count = 1, .proxy_protocol = PROXY_PROTOCOL_V2};
	struct line line;
	uint8_t bytes[28 + 7];

	(void)state;
	line_connecting(&line, &options);
	record_of(&line)->preamble[SIDE_BACKEND] = 0;
	rig_write(line.client, "request", 7);
	rig_succeed(&line.rig);
	rig_read(line.backend, bytes, 28);
	rig_expect_reset(line.backend);
	(void)close(line.backend);
	line.backend = rig_accept(&line.rig, 0);
	rig_read(line.backend, bytes, sizeof bytes);
	assert_memory_equal(bytes + 28, "request", 7);
	assert_int_equal(shm_slot_sessions(&line.rig.shm, 0), 1);
	line_close(&line);
}

static void whose_backend_has_gone_tries_another_one(void **state)
{
	static const struct rig_options options = {.retries = 2, .backend_count = 2};
	struct line line;

	(void)state;
	line_connecting(&line, &options);
	rig_reset(line.backend);
	rig_succeed(&line.rig);
	line.backend = rig_accept(&line.rig, 1);
	rig_expect_text(line.client, line.backend, "request");
	assert_int_equal(
		counter_get(&shm_slot_counters(&line.rig.shm, 0, 0)->failures[FAILURE_RESET]), 1);
	assert_int_equal(shm_slot_sessions(&line.rig.shm, 0), 0);
	assert_int_equal(shm_slot_sessions(&line.rig.shm, 1), 1);
	line_close(&line);
}

/* Whose numbers may be somebody else's by the time the session is given up. */
static void a_session_that_connects_and_kills_costs_nobody_else(void **state)
{
	struct line line;
	struct session_record *record;

	(void)state;
	line_open(&line, &plain);
	record = record_of(&line);
	rig_die(&line.rig);
	record->state = RECORD_CONNECTING;
	record->check = session_record_check_client(record, 0);
	record->attempts = UINT8_MAX;
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	rig_wait_access(&line.rig);
	assert_int_equal(lost(&line, LOST_REPEATED), 1);
	assert_int_equal(record->fd[SIDE_BACKEND], -1);
	line_close(&line);
}

static void a_client_that_was_just_accepted_is_served(const struct rig_options *options)
{
	struct line line;
	char text[16];
	int client;
	int backend;
	int accepted;

	line_open(&line, options);
	rig_die(&line.rig);
	client = rig_connect(&line.rig);
	line.rig.kept[line.rig.kept_count] = client;
	line.rig.kept_count++;
	rig_write(client, "first words", 11);
	accepted = accept4(shm_listen_record(&line.rig.shm, 0, 0)->fd, NULL, NULL, SOCK_NONBLOCK);
	assert_true(accepted >= 0);
	rig_succeed(&line.rig);
	backend = rig_accept(&line.rig, 0);
	rig_read(backend, text, 11);
	assert_memory_equal(text, "first words", 11);
	assert_int_equal(continued(&line, CONTINUED_ACCEPTED), 1);
	rig_expect_text(line.client, line.backend, "the other one goes on");
	(void)close(client);
	(void)close(backend);
	line_close(&line);
}

static void a_client_that_was_just_accepted_is_served_over_tcp(void **state)
{
	(void)state;
	a_client_that_was_just_accepted_is_served(&plain);
}

static void a_client_that_was_just_accepted_is_served_over_unix_sockets(void **state)
{
	(void)state;
	a_client_that_was_just_accepted_is_served(&local);
}

static void clients_in_the_queue_wait(void **state)
{
	struct line line;
	int client;
	int backend;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	client = rig_connect(&line.rig);
	line.rig.kept[line.rig.kept_count] = client;
	line.rig.kept_count++;
	rig_succeed(&line.rig);
	backend = rig_accept(&line.rig, 0);
	rig_expect_text(client, backend, "here");
	(void)close(client);
	(void)close(backend);
	line_close(&line);
}

/* Opened by a reload while thousands of sessions were there; since then they have ended. */
static void a_listener_with_a_high_number_stays(void **state)
{
	enum { HIGH = 3000 };
	struct rlimit limit;
	struct listen_record *record;
	struct line line;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	if (limit.rlim_cur <= HIGH) {
		skip();
	}
	line_open(&line, &plain);
	rig_die(&line.rig);
	record = shm_listen_record(&line.rig.shm, 0, 0);
	assert_int_equal(dup2(record->fd, HIGH), HIGH);
	(void)close(record->fd);
	record->fd = HIGH;
	rig_succeed(&line.rig);
	rig_expect_text(line.client, line.backend, "up");
	(void)close(line.client);
	rig_expect_end(line.backend);
	(void)close(line.backend);
	line.client = rig_connect(&line.rig);
	line.backend = rig_accept(&line.rig, 0);
	rig_expect_text(line.client, line.backend, "another client");
	line_close(&line);
}

static void a_damaged_record_costs_its_session_alone(void **state)
{
	struct line line;
	int client;
	int backend;

	(void)state;
	line_open(&line, &plain);
	client = rig_connect(&line.rig);
	backend = rig_accept(&line.rig, 0);
	rig_expect_text(client, backend, "the second session");
	rig_die(&line.rig);
	record_of(&line)->fd[SIDE_BACKEND] = shm_record(&line.rig.shm, 0, 1)->fd[SIDE_BACKEND];
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	rig_expect_reset(line.backend);
	rig_expect_text(client, backend, "goes on");
	rig_expect_text(backend, client, "both ways");
	assert_int_equal(lost(&line, LOST_DAMAGED), 1);
	(void)close(client);
	(void)close(backend);
	line_close(&line);
}

static void a_copied_record_joins_nobody(void **state)
{
	struct line line;
	int client;
	int backend;

	(void)state;
	line_open(&line, &plain);
	client = rig_connect(&line.rig);
	backend = rig_accept(&line.rig, 0);
	rig_expect_text(client, backend, "the second session");
	rig_die(&line.rig);
	memcpy(shm_record(&line.rig.shm, 0, 1), record_of(&line), sizeof(struct session_record));
	rig_succeed(&line.rig);
	rig_expect_reset(client);
	rig_expect_reset(backend);
	rig_expect_text(line.client, line.backend, "the first one is whole");
	(void)close(client);
	(void)close(backend);
	line_close(&line);
}

static void a_session_that_was_being_closed_is_closed(void **state)
{
	struct line line;
	struct session_record *record;

	(void)state;
	line_open(&line, &plain);
	record = record_of(&line);
	rig_die(&line.rig);
	rig_write(record->fd[SIDE_CLIENT], "last words", 10);
	record->by = CLOSED_BY_BACKEND;
	record->reason = CLOSE_END;
	session_record_set(record, RECORD_LINGERING);
	record->state = RECORD_CLOSING;
	rig_succeed(&line.rig);
	{
		char text[10];

		rig_read(line.client, text, 10);
	}
	rig_expect_end(line.client); /* orderly: a reset would destroy what is in flight */
	rig_expect_end(line.backend);
	assert_int_equal(
		shm_pool_counters(&line.rig.shm, 0, 0)->closed[CLOSED_BY_BACKEND][CLOSE_END], 1);
	assert_int_equal(shm_sessions(&line.rig.shm), 0);
	line_close(&line);
}

/* By damage of its state: a FIN would make a cut stream look complete. */
static void an_open_session_that_seems_to_close_is_reset(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	record_of(&line)->state = RECORD_CLOSING;
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	rig_expect_reset(line.backend);
	line_close(&line);
}

/* Nothing but the record tells such a client from one that was just accepted. */
static void an_open_session_that_seems_to_close_does_not_begin_anew(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &local);
	rig_die(&line.rig);
	record_of(&line)->state = RECORD_CLOSING;
	rig_succeed(&line.rig);
	rig_expect_end(line.client);
	rig_expect_end(line.backend);
	assert_int_equal(continued(&line, CONTINUED_ACCEPTED), 0);
	line_close(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_that_connects_is_connected_again),
		cmocka_unit_test(a_connect_that_was_not_begun_is_held_against_nobody),
		cmocka_unit_test(an_open_session_that_seems_to_connect_is_open_over_tcp),
		cmocka_unit_test(an_open_session_that_seems_to_connect_is_open_over_unix_sockets),
		cmocka_unit_test(a_session_that_connects_and_seems_open_begins_anew),
		cmocka_unit_test(a_session_that_connects_has_read_nothing),
		cmocka_unit_test(a_session_that_was_being_given_up_is_given_up),
		cmocka_unit_test(a_client_that_was_being_turned_away_is_turned_away),
		cmocka_unit_test(whose_backend_has_answered_stays_with_it_over_tcp),
		cmocka_unit_test(whose_backend_has_answered_stays_with_it_over_unix_sockets),
		cmocka_unit_test(a_header_is_not_sent_twice),
		cmocka_unit_test(who_may_have_sent_a_header_connects_again),
		cmocka_unit_test(whose_backend_has_gone_tries_another_one),
		cmocka_unit_test(a_session_that_connects_and_kills_costs_nobody_else),
		cmocka_unit_test(a_client_that_was_just_accepted_is_served_over_tcp),
		cmocka_unit_test(a_client_that_was_just_accepted_is_served_over_unix_sockets),
		cmocka_unit_test(clients_in_the_queue_wait),
		cmocka_unit_test(a_listener_with_a_high_number_stays),
		cmocka_unit_test(a_damaged_record_costs_its_session_alone),
		cmocka_unit_test(a_copied_record_joins_nobody),
		cmocka_unit_test(a_session_that_was_being_closed_is_closed),
		cmocka_unit_test(an_open_session_that_seems_to_close_is_reset),
		cmocka_unit_test(an_open_session_that_seems_to_close_does_not_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
