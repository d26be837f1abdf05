#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "data/adopt.h"
#include "data/rig.h"

enum { BULK_BYTES = 8 * 1024 * 1024 };

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

static void replace(struct line *line)
{
	rig_die(&line->rig);
	rig_succeed(&line->rig);
}

static void an_idle_session_goes_on(const struct rig_options *options)
{
	struct line line;

	line_open(&line, options);
	for (uint64_t i = 1; i <= 3; i++) {
		replace(&line);
		rig_expect_text(line.client, line.backend, "up");
		rig_expect_text(line.backend, line.client, "down");
		assert_int_equal(continued(&line, CONTINUED_WHOLE), i);
	}
	rig_die(&line.rig); /* so that nobody writes to the record any more */
	assert_int_equal(rig_record(&line.rig, 0).attempts, 0);
	rig_succeed(&line.rig);
	line_close(&line);
}

static void an_idle_session_goes_on_over_tcp(void **state)
{
	(void)state;
	an_idle_session_goes_on(&plain);
}

static void an_idle_session_goes_on_over_unix_sockets(void **state)
{
	(void)state;
	an_idle_session_goes_on(&local);
}

static void what_came_meanwhile_is_forwarded(void **state)
{
	struct line line;
	char text[8];

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	rig_write(line.client, "mean", 4);
	rig_write(line.backend, "while", 5);
	rig_succeed(&line.rig);
	rig_read(line.backend, text, 4);
	assert_memory_equal(text, "mean", 4);
	rig_read(line.client, text, 5);
	assert_memory_equal(text, "while", 5);
	line_close(&line);
}

static void ends_are_found_again(const struct rig_options *options)
{
	struct line line;
	struct access_record record;

	line_open(&line, options);
	assert_int_equal(shutdown(line.client, SHUT_WR), 0);
	rig_expect_end(line.backend);
	replace(&line);
	rig_expect_text(line.backend, line.client, "after the client's end");
	replace(&line);
	rig_expect_text(line.backend, line.client, "and again");
	rig_die(&line.rig);
	assert_int_equal(shutdown(line.backend, SHUT_WR), 0);
	rig_succeed(&line.rig);
	rig_expect_end(line.client);
	record = rig_wait_access(&line.rig);
	assert_int_equal(record.reason, CLOSE_END);
	assert_int_equal(record.received_bytes, 5);
	assert_int_equal(record.sent_bytes, 5 + 22 + 9);
	line_close(&line);
}

static void ends_are_found_again_over_tcp(void **state)
{
	(void)state;
	ends_are_found_again(&plain);
}

static void ends_are_found_again_over_unix_sockets(void **state)
{
	(void)state;
	ends_are_found_again(&local);
}

static void limit_buffers(int fd)
{
	const int bytes = 64 * 1024;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

/* Sends until nothing has been taken for a while; returns how much was. */
static size_t send_until_blocked(int fd, const uint8_t *stream)
{
	size_t sent = 0;
	int quiet_ms = 0;

	while (sent < BULK_BYTES && quiet_ms < 100) {
		const ssize_t n = send(fd, stream + sent, BULK_BYTES - sent, MSG_DONTWAIT);

		if (n > 0) {
			sent += (size_t)n;
			quiet_ms = 0;
		} else {
			assert_int_equal(errno, EAGAIN);
			(void)usleep(1000);
			quiet_ms++;
		}
	}
	return sent;
}

/* Fills everything on the way, dies with it full, and reads it all from the successors. */
static void blocked_bytes_go_on(const struct rig_options *options, bool down)
{
	struct line line;
	uint8_t *stream = malloc(BULK_BYTES);
	uint8_t *received = malloc(BULK_BYTES);
	size_t sent;
	size_t got = 0;
	uint64_t held;
	int from;
	int to;

	assert_non_null(stream);
	assert_non_null(received);
	for (size_t i = 0; i < BULK_BYTES; i++) {
		stream[i] = (uint8_t)(i * 31 + i / 251);
	}
	line_open(&line, options);
	from = down ? line.backend : line.client;
	to = down ? line.client : line.backend;
	limit_buffers(to);
	rig_die(&line.rig); /* so that nobody else touches its sockets */
	limit_buffers(rig_record(&line.rig, 0).fd[SIDE_CLIENT]);
	limit_buffers(rig_record(&line.rig, 0).fd[SIDE_BACKEND]);
	rig_succeed(&line.rig);
	sent = send_until_blocked(from, stream);
	assert_true(sent < BULK_BYTES);
	replace(&line);
	while (got < sent || sent < BULK_BYTES) {
		const ssize_t n = recv(to, received + got, BULK_BYTES / 4, 0);

		assert_true(n > 0);
		got += (size_t)n;
		if (sent < BULK_BYTES) {
			const ssize_t more =
				send(from, stream + sent, BULK_BYTES - sent, MSG_DONTWAIT);

			sent += more > 0 ? (size_t)more : 0;
		}
		replace(&line);
	}
	assert_memory_equal(received, stream, BULK_BYTES);
	held = continued(&line, CONTINUED_CHUNK) + continued(&line, CONTINUED_PIPE);
	assert_true(held > 0);
	assert_int_equal(lost(&line, LOST_UNPROVABLE), 0);
	free(stream);
	free(received);
	line_close(&line);
}

static void blocked_bytes_go_on_up_and_down(void **state)
{
	(void)state;
	blocked_bytes_go_on(&plain, false);
	blocked_bytes_go_on(&plain, true);
}

static void blocked_bytes_go_on_over_unix_sockets(void **state)
{
	(void)state;
	blocked_bytes_go_on(&local, false);
	blocked_bytes_go_on(&local, true);
}

/*
 * As the worker does it, up to the moment between recv() and send(): with the receive buffer
 * (JOURNAL_BUFFER) or a lane.
 */
static void receive_and_die_at(struct line *line, uint32_t place, size_t bytes, size_t sent)
{
	struct session_record *record = record_of(line);
	struct shm *shm = &line->rig.shm;
	struct journal *journal = &shm->journals[0];
	uint8_t *buffer = shm->receive_buffers;
	const uint64_t key = journal_key(0, SIDE_CLIENT);

	if (place != JOURNAL_BUFFER) {
		journal = &shm->lanes[place - JOURNAL_LANE];
		buffer = shm->lane_bytes + (size_t)(place - JOURNAL_LANE) * LANE_BYTES;
	}
	journal->position = record->moved[SIDE_CLIENT];
	journal->check = journal_check(key, journal->position, place);
	journal->key = key;
	assert_int_equal(recv(record->fd[SIDE_CLIENT], buffer, bytes, MSG_WAITALL), bytes);
	if (sent > 0) {
		assert_int_equal(send(record->fd[SIDE_BACKEND], buffer, sent, 0), sent);
	}
}

static void receive_and_die(struct line *line, size_t bytes, size_t sent)
{
	receive_and_die_at(line, JOURNAL_BUFFER, bytes, sent);
}

static void bytes_go_on_from(uint32_t place)
{
	struct line line;
	char text[16];

	for (size_t sent = 0; sent <= 10; sent += 5) {
		line_open(&line, &plain);
		rig_die(&line.rig);
		rig_write(line.client, "0123456789", 10);
		receive_and_die_at(&line, place, 10, sent);
		rig_succeed(&line.rig);
		rig_read(line.backend, text, 10);
		assert_memory_equal(text, "0123456789", 10);
		assert_int_equal(continued(&line, CONTINUED_BUFFER), sent < 10 ? 1 : 0);
		rig_expect_text(line.client, line.backend, "more");
		rig_wait_counter(
			&shm_listener_counters(&line.rig.shm, 0, 0)->received_bytes, 5 + 10 + 4);
		line_close(&line);
	}
}

static void bytes_in_the_receive_buffer_go_on(void **state)
{
	(void)state;
	bytes_go_on_from(JOURNAL_BUFFER);
}

static void bytes_in_a_lane_go_on(void **state)
{
	(void)state;
	bytes_go_on_from(JOURNAL_LANE);
	bytes_go_on_from(JOURNAL_LANE + LANES_PER_WORKER - 1);
}

/* It would send the bytes of another session. */
static void a_journal_of_another_lane_is_not_believed(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	rig_write(line.client, "0123456789", 10);
	receive_and_die_at(&line, JOURNAL_LANE, 10, 4);
	memcpy(&line.rig.shm.lanes[1], &line.rig.shm.lanes[0], sizeof line.rig.shm.lanes[0]);
	line.rig.shm.lanes[0].key = 0;
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	rig_wait_counter(&line.rig.shm.worker_states[0].lost[LOST_UNPROVABLE], 1);
	line_close(&line);
}

static void a_second_death_in_the_adoption_loses_nothing(void **state)
{
	struct line line;
	char text[16];

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	rig_write(line.client, "0123456789", 10);
	receive_and_die(&line, 10, 3);
	/* Its first successor got as far as the chunk, and had not cleared the journal. */
	memcpy(line.rig.shm.chunk_bytes, line.rig.shm.receive_buffers + 3, 7);
	line.rig.shm.chunks[0].owner = SIDE_CLIENT;
	line.rig.shm.chunks[0].position = 5 + 3;
	line.rig.shm.chunks[0].length = 7;
	line.rig.shm.worker_states[0].chunks_used = 1;
	record_of(&line)->chunk[SIDE_CLIENT] = 0;
	record_of(&line)->attempts = 3;
	rig_succeed(&line.rig);
	rig_read(line.backend, text, 10);
	assert_memory_equal(text, "0123456789", 10);
	assert_int_equal(continued(&line, CONTINUED_CHUNK), 1);
	rig_expect_text(line.client, line.backend, "more");
	line_close(&line);
}

/* Sent what it had only looked at, and died before it was consumed. */
static void what_was_peeked_and_sent_is_not_sent_twice(void **state)
{
	struct line line;
	char text[16];

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	rig_write(line.client, "0123456789", 10);
	receive_and_die(&line, 2, 2);
	assert_int_equal(send(record_of(&line)->fd[SIDE_BACKEND], "2345", 4, 0), 4);
	rig_succeed(&line.rig);
	rig_read(line.backend, text, 10);
	assert_memory_equal(text, "0123456789", 10);
	rig_expect_text(line.client, line.backend, "more");
	line_close(&line);
}

static void bytes_that_nobody_holds_reset_the_session(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	rig_write(line.client, "0123456789", 10);
	receive_and_die(&line, 10, 4);
	line.rig.shm.journals[0].position++; /* damaged: its check word does not fit any more */
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	rig_wait_counter(&line.rig.shm.worker_states[0].lost[LOST_UNPROVABLE], 1);
	line_close(&line);
}

/* The worker had read the reset: a second look would find an orderly end. */
static void a_reset_that_was_read_stays_one(void **state)
{
	struct line line;
	uint8_t byte;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	rig_reset(line.client);
	for (int i = 0; i < RIG_WAIT_MS; i++) {
		if (recv(record_of(&line)->fd[SIDE_CLIENT], &byte, 1, MSG_DONTWAIT) < 0 &&
			errno == ECONNRESET) {
			break;
		}
		(void)usleep(1000);
	}
	rig_succeed(&line.rig);
	rig_expect_reset(line.backend);
	line.client = dup(line.backend); /* so that it can be closed again */
	line_close(&line);
}

static void what_came_before_a_reset_is_delivered(void **state)
{
	struct line line;
	char text[8];

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	rig_write(line.client, "last", 4);
	rig_reset(line.client);
	rig_succeed(&line.rig);
	rig_read(line.backend, text, 4);
	assert_memory_equal(text, "last", 4);
	rig_expect_reset(line.backend);
	line.client = dup(line.backend);
	line_close(&line);
}

/* The backend has answered and gone while the client still sends: the answer is not cut short. */
static void an_early_answer_is_not_reset(void **state)
{
	struct line line;
	char text[8];

	(void)state;
	line_open(&line, &plain);
	rig_write(line.backend, "answer", 6);
	(void)close(line.backend);
	line.backend = -1;
	for (int i = 0; i < RIG_WAIT_MS && (rig_record(&line.rig, 0).flags & RECORD_LINGERING) == 0;
		i++) {
		rig_write(line.client, "x", 1);
		(void)usleep(1000);
	}
	rig_die(&line.rig);
	assert_true((record_of(&line)->flags & RECORD_GONE_BACKEND) != 0);
	rig_succeed(&line.rig);
	rig_wait_counter(&line.rig.shm.worker_states[0].continued[CONTINUED_ENDING], 1);
	rig_write(line.client, "more", 4);
	rig_read(line.client, text, 6);
	assert_memory_equal(text, "answer", 6);
	rig_expect_end(line.client);
	line_close(&line);
}

/* Where each process lives long enough for a tenth of the sessions, twenty of them reach all. */
static void frequent_deaths_leave_nobody_waiting(void **state)
{
	enum { COUNT = 5000, LIVES = 20, SHARE = COUNT / 10 };

	(void)state;
	for (uint64_t begin = 0; begin < 1000; begin++) {
		bool seen[COUNT] = {false};
		uint32_t missed = COUNT;

		for (uint64_t life = begin; life < begin + LIVES; life++) {
			const uint32_t first = adopt_first(life, COUNT);

			assert_true(first < COUNT);
			for (uint32_t i = 0; i < SHARE; i++) {
				const uint32_t index = (first + COUNT - i) % COUNT;

				missed -= seen[index] ? 0 : 1;
				seen[index] = true;
			}
		}
		assert_int_equal(missed, 0);
	}
	assert_int_equal(adopt_first(7, 0), 0);
	assert_int_equal(adopt_first(7, 1), 0);
}

static void a_session_that_kills_is_not_adopted_again(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	record_of(&line)->attempts = 4;
	rig_succeed(&line.rig);
	rig_expect_reset(line.client);
	rig_expect_reset(line.backend);
	assert_int_equal(lost(&line, LOST_REPEATED), 1);
	line_close(&line);
}

static void counters_are_made_right(void **state)
{
	struct line line;
	struct slot_counters *slot;
	struct listener_counters *listener;

	(void)state;
	line_open(&line, &plain);
	slot = shm_slot_counters(&line.rig.shm, 0, 0);
	listener = shm_listener_counters(&line.rig.shm, 0, 0);
	rig_die(&line.rig);
	rig_write(line.client, "0123456789", 10);
	receive_and_die(&line, 10, 10); /* sent, and died before it was counted */
	counter_add(&slot->started, 3); /* connects that were begun and died with the worker */
	counter_add(&listener->claimed, 2);
	rig_succeed(&line.rig);
	{
		char text[10];

		rig_read(line.backend, text, 10);
	}
	rig_expect_text(line.client, line.backend, "more");
	rig_wait_counter(&listener->received_bytes, 5 + 10 + 4);
	assert_int_equal(counter_get(&slot->sent_bytes), 5 + 10 + 4);
	assert_int_equal(shm_slot_sessions(&line.rig.shm, 0), 1);
	assert_int_equal(shm_listener_claims(&line.rig.shm, 0), 1);
	assert_int_equal(shm_sessions(&line.rig.shm), 1);
	line_close(&line);
}

/* It died between the record of a client and the count. */
static void no_counter_goes_back(void **state)
{
	struct line line;
	struct listener_counters *listener;

	(void)state;
	line_open(&line, &plain);
	listener = shm_listener_counters(&line.rig.shm, 0, 0);
	rig_die(&line.rig);
	counter_set(&listener->connections, 5);
	counter_set(&listener->closed, 5);
	rig_succeed(&line.rig);
	rig_expect_text(line.client, line.backend, "on");
	assert_int_equal(counter_get(&listener->connections), 6);
	assert_int_equal(counter_get(&listener->closed), 5);
	line_close(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_idle_session_goes_on_over_tcp),
		cmocka_unit_test(an_idle_session_goes_on_over_unix_sockets),
		cmocka_unit_test(what_came_meanwhile_is_forwarded),
		cmocka_unit_test(ends_are_found_again_over_tcp),
		cmocka_unit_test(ends_are_found_again_over_unix_sockets),
		cmocka_unit_test(blocked_bytes_go_on_up_and_down),
		cmocka_unit_test(blocked_bytes_go_on_over_unix_sockets),
		cmocka_unit_test(bytes_in_the_receive_buffer_go_on),
		cmocka_unit_test(bytes_in_a_lane_go_on),
		cmocka_unit_test(a_journal_of_another_lane_is_not_believed),
		cmocka_unit_test(a_second_death_in_the_adoption_loses_nothing),
		cmocka_unit_test(what_was_peeked_and_sent_is_not_sent_twice),
		cmocka_unit_test(bytes_that_nobody_holds_reset_the_session),
		cmocka_unit_test(a_reset_that_was_read_stays_one),
		cmocka_unit_test(what_came_before_a_reset_is_delivered),
		cmocka_unit_test(an_early_answer_is_not_reset),
		cmocka_unit_test(frequent_deaths_leave_nobody_waiting),
		cmocka_unit_test(a_session_that_kills_is_not_adopted_again),
		cmocka_unit_test(counters_are_made_right),
		cmocka_unit_test(no_counter_goes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
