#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "data/rig.h"
#include "os/clock.h"

enum { FIRST_SEND_BYTES = 536 }; /* the largest that may go out without TCP_NODELAY */

static const struct rig_options plain = {.backend_count = 1, .keepalive_s = 7};

/* An option of the worker's socket towards the backend. */
static int option_of(const struct rig *rig, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof value;

	assert_int_equal(
		getsockopt(rig_record(rig, 0).fd[SIDE_BACKEND], level, option, &value, &length), 0);
	return value;
}

static void wait_for_option(const struct rig *rig, int level, int option, int value)
{
	for (int i = 0; i < RIG_WAIT_MS && option_of(rig, level, option) != value; i++) {
		(void)usleep(1000);
	}
	assert_int_equal(option_of(rig, level, option), value);
}

/*
 * The backend's kernel acknowledges late, as it does when an answer is expected to carry the
 * acknowledgement: a sender with Nagle's algorithm would wait 40 ms for it before each next write.
 */
static void small_writes_to_a_backend_are_not_delayed(void **state)
{
	enum { WRITES = 20 };
	const int off = 0;
	struct rig rig;
	uint64_t begin_ns;
	int client;
	int backend;
	char byte;

	(void)state;
	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	begin_ns = clock_monotonic_ns();
	for (int i = 0; i < WRITES; i++) {
		assert_int_equal(
			setsockopt(backend, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off), 0);
		rig_write(client, "x", 1);
		rig_read(backend, &byte, 1);
	}
	assert_true(clock_monotonic_ns() - begin_ns < WRITES / 2 * 40 * 1000000ULL);
	assert_int_equal(option_of(&rig, IPPROTO_TCP, TCP_NODELAY), 1);
	(void)close(client);
	(void)close(backend);
	rig_stop(&rig);
}

/* As many bytes as the first write of a client, and whether its socket is to send at once. */
static void expect_no_delay_after(size_t length, int expected)
{
	static const char bytes[FIRST_SEND_BYTES + 1];
	char got[sizeof bytes];
	struct rig rig;
	int client;
	int backend;

	rig_start(&rig, &plain);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_write(client, bytes, length);
	rig_read(backend, got, length);
	assert_int_equal(option_of(&rig, IPPROTO_TCP, TCP_NODELAY), expected);
	(void)close(client);
	(void)close(backend);
	rig_stop(&rig);
}

static void only_the_first_small_segment_goes_without_the_option(void **state)
{
	(void)state;
	expect_no_delay_after(FIRST_SEND_BYTES, 0);
	expect_no_delay_after(FIRST_SEND_BYTES + 1, 1);
}

static void after_a_proxy_header_the_next_segment_is_the_second(void **state)
{
	const struct rig_options options = {
		.backend_count = 1, .proxy_protocol = PROXY_PROTOCOL_V2};
	char header[28];
	char byte;
	struct rig rig;
	int client;
	int backend;

	(void)state;
	rig_start(&rig, &options);
	client = rig_connect(&rig);
	backend = rig_accept(&rig, 0);
	rig_write(client, "x", 1);
	rig_read(backend, header, sizeof header);
	rig_read(backend, &byte, 1);
	assert_int_equal(option_of(&rig, IPPROTO_TCP, TCP_NODELAY), 1);
	(void)close(client);
	(void)close(backend);
	rig_stop(&rig);
}

/* The pool's word counts for its backends; without one the listener's does. */
static void what_the_kernel_holds_is_bounded(void **state)
{
	static const struct {
		uint64_t listener;
		uint64_t pool;
		int bytes;
	} cases[] = {{0, 128 << 10, 128 << 10}, {256 << 10, 128 << 10, 128 << 10},
		{128 << 10, 256 << 10, 256 << 10}, {256 << 10, 0, 256 << 10}};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		const struct rig_options options = {.backend_count = 1,
			.listener_buffered = cases[i].listener,
			.pool_buffered = cases[i].pool};
		struct line line;

		line_open(&line, &options);
		assert_int_equal(option_of(&line.rig, SOL_SOCKET, SO_RCVBUF), cases[i].bytes);
		assert_int_equal(option_of(&line.rig, SOL_SOCKET, SO_SNDBUF), cases[i].bytes);
		line_close(&line);
	}
}

static void a_session_of_a_second_is_kept_alive(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &plain);
	assert_int_equal(option_of(&line.rig, SOL_SOCKET, SO_KEEPALIVE), 0);
	wait_for_option(&line.rig, SOL_SOCKET, SO_KEEPALIVE, 1);
	wait_for_option(&line.rig, IPPROTO_TCP, TCP_KEEPIDLE, (int)plain.keepalive_s);
	wait_for_option(&line.rig, IPPROTO_TCP, TCP_KEEPCNT, 6);
	line_close(&line);
}

/* It has come of age while nobody looked. */
static void so_is_one_that_was_continued(void **state)
{
	struct line line;

	(void)state;
	line_open(&line, &plain);
	rig_die(&line.rig);
	(void)usleep(1100 * 1000);
	rig_succeed(&line.rig);
	wait_for_option(&line.rig, SOL_SOCKET, SO_KEEPALIVE, 1);
	wait_for_option(&line.rig, IPPROTO_TCP, TCP_KEEPIDLE, (int)plain.keepalive_s);
	rig_expect_text(line.client, line.backend, "on");
	line_close(&line);
}

/* So many pieces, each after the one before has arrived. Returns how many pipes were made. */
static uint32_t pipes_after(size_t piece, int count)
{
	static uint8_t sent[64 * 1024];
	static uint8_t got[sizeof sent];
	struct line line;
	uint32_t pipes;

	line_open(&line, &plain);
	for (int i = 0; i < count; i++) {
		memset(sent, i, piece);
		rig_write(line.client, sent, piece);
		rig_read(line.backend, got, piece);
		assert_memory_equal(sent, got, piece);
	}
	pipes = atomic_load(&line.rig.shm.worker_states[0].pipes_used);
	line_close(&line);
	return pipes;
}

static void bulk_that_never_fills_a_read_is_spliced(void **state)
{
	(void)state;
	assert_int_equal(pipes_after(40000, 40), LOBLE_COPY_ONLY ? 0 : 1);
}

static void talk_is_never_spliced(void **state)
{
	(void)state;
	assert_int_equal(pipes_after(4000, 400), 0);
}

enum { PIECE = 64 * 1024 };

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 31 + i / 251);
}

/* Sends until the backend's side takes no more. Returns how many bytes. */
static size_t fill(const struct line *line)
{
	const counter_t *moved = &shm_listener_counters(&line->rig.shm, 0, 0)->received_bytes;
	const uint64_t start = counter_get(moved);
	uint8_t piece[PIECE];
	uint64_t before;
	size_t sent = 0;

	do {
		before = counter_get(moved);
		for (size_t i = 0; i < PIECE; i++) {
			piece[i] = byte_at(sent + i);
		}
		rig_write(line->client, piece, PIECE);
		sent += PIECE;
		for (int i = 0; i < 20 && counter_get(moved) - start < sent; i++) {
			(void)usleep(1000);
		}
	} while (counter_get(moved) > before);
	return sent;
}

static void expect_filled(const struct line *line, size_t length)
{
	uint8_t piece[PIECE];

	for (size_t got = 0; got < length; got += PIECE) {
		rig_read(line->backend, piece, PIECE);
		for (size_t i = 0; i < PIECE; i++) {
			assert_int_equal(piece[i], byte_at(got + i));
		}
	}
}

/* A session whose backend has stopped reading. Returns how many bytes wait for it. */
static size_t open_and_fill(struct line *line)
{
	const int small = 64 * 1024;

	line_open(line, &plain);
	/* Not too much for the buffers of the other side, which get what is not taken here. */
	assert_int_equal(setsockopt(line->backend, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	return fill(line);
}

/* What cannot be passed on wakes nobody, and goes on once it can. */
static void input_for_a_reader_that_does_not_read_wakes_nobody(void **state)
{
	enum { SEGMENTS = 50 };
	const int on = 1;
	struct line line;
	const counter_t *turns;
	uint64_t before;
	size_t length;
	char tail[SEGMENTS];

	(void)state;
	length = open_and_fill(&line);
	turns = &line.rig.shm.worker_states[0].heartbeat;
	assert_int_equal(setsockopt(line.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
	before = counter_get(turns);
	for (int i = 0; i < SEGMENTS; i++) {
		rig_write(line.client, "x", 1);
		(void)usleep(2000);
	}
	assert_true(counter_get(turns) - before < SEGMENTS / 4);
	expect_filled(&line, length);
	rig_read(line.backend, tail, SEGMENTS);
	rig_expect_text(line.client, line.backend, "and on");
	rig_expect_text(line.backend, line.client, "and back");
	line_close(&line);
}

static void an_end_behind_a_full_buffer_arrives_last(void **state)
{
	struct line line;
	size_t length;
	char text[4];

	(void)state;
	length = open_and_fill(&line);
	rig_write(line.client, "last", 4);
	assert_int_equal(shutdown(line.client, SHUT_WR), 0);
	(void)usleep(20000);
	expect_filled(&line, length);
	rig_read(line.backend, text, 4);
	assert_memory_equal(text, "last", 4);
	rig_expect_end(line.backend);
	rig_expect_text(line.backend, line.client, "answer");
	line_close(&line);
}

/* Until no byte has moved for a while. */
static void wait_until_quiet(const struct line *line)
{
	const counter_t *moved = &shm_slot_counters(&line->rig.shm, 0, 0)->sent_bytes;
	uint64_t before;

	do {
		before = counter_get(moved);
		(void)usleep(100000);
	} while (counter_get(moved) > before);
}

/* The mark is not told of while input is muted, and a read stops at it. */
static void an_urgent_byte_and_an_end_behind_a_full_buffer_arrive(void **state)
{
	/* More than the backend's buffers take, in pieces that do not make it bulk. */
	enum { SMALL = 10000, PIECES = 12 };
	static uint8_t bytes[SMALL * PIECES];
	const struct rig_options narrow = {.retries = 2, .pool_buffered = 4096};
	const int small = 4096;
	struct line line;
	char text[9];

	(void)state;
	line_open(&line, &narrow);
	assert_int_equal(setsockopt(line.backend, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
	for (int i = 0; i < PIECES; i++) {
		rig_write(line.client, bytes + (size_t)i * SMALL, SMALL);
		(void)usleep(2000);
	}
	wait_until_quiet(&line);
	rig_write(line.client, "more", 4); /* which wakes the worker for the last time */
	(void)usleep(20000);
	assert_int_equal(send(line.client, "!", 1, MSG_OOB), 1);
	rig_write(line.client, "last", 4);
	assert_int_equal(shutdown(line.client, SHUT_WR), 0);
	(void)usleep(20000);
	rig_read(line.backend, bytes, sizeof bytes);
	rig_read(line.backend, text, 9);
	assert_memory_equal(text, "more!last", 9);
	rig_expect_end(line.backend);
	rig_expect_text(line.backend, line.client, "answer");
	line_close(&line);
}

static void a_reset_behind_a_full_buffer_is_passed_on(void **state)
{
	struct line line;
	size_t length;

	(void)state;
	length = open_and_fill(&line);
	rig_write(line.client, "x", 1);
	(void)usleep(20000);
	rig_reset(line.client);
	(void)usleep(20000);
	expect_filled(
		&line, length - PIECE); /* the rest was in the queue of a socket that is gone */
	for (;;) {
		uint8_t piece[PIECE];
		const ssize_t n = recv(line.backend, piece, sizeof piece, 0);

		if (n <= 0) {
			assert_int_equal(n, -1);
			break;
		}
	}
	line.client = dup(line.backend); /* line_close() ends both */
	line_close(&line);
}

/* Each side writes until nothing goes any more; then both read. */
static void two_full_directions_go_on(void **state)
{
	static uint8_t bytes[PIECE];
	struct line line;
	int ends[SIDE_COUNT];
	size_t sent[SIDE_COUNT] = {0, 0};

	(void)state;
	line_open(&line, &plain);
	ends[SIDE_CLIENT] = line.client;
	ends[SIDE_BACKEND] = line.backend;
	for (int idle = 0; idle < 20;) {
		idle++;
		for (int side = 0; side < SIDE_COUNT; side++) {
			const ssize_t n =
				send(ends[side], bytes, sizeof bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n > 0) {
				sent[side] += (size_t)n;
				idle = 0;
			}
		}
		(void)usleep(idle > 0 ? 5000 : 0);
	}
	for (int side = 0; side < SIDE_COUNT; side++) {
		for (size_t left = sent[side]; left > 0;) {
			const size_t piece = left < sizeof bytes ? left : sizeof bytes;

			rig_read(ends[1 - side], bytes, piece);
			left -= piece;
		}
	}
	rig_expect_text(line.client, line.backend, "up");
	rig_expect_text(line.backend, line.client, "down");
	line_close(&line);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_writes_to_a_backend_are_not_delayed),
		cmocka_unit_test(only_the_first_small_segment_goes_without_the_option),
		cmocka_unit_test(after_a_proxy_header_the_next_segment_is_the_second),
		cmocka_unit_test(what_the_kernel_holds_is_bounded),
		cmocka_unit_test(a_session_of_a_second_is_kept_alive),
		cmocka_unit_test(so_is_one_that_was_continued),
		cmocka_unit_test(bulk_that_never_fills_a_read_is_spliced),
		cmocka_unit_test(talk_is_never_spliced),
		cmocka_unit_test(input_for_a_reader_that_does_not_read_wakes_nobody),
		cmocka_unit_test(an_end_behind_a_full_buffer_arrives_last),
		cmocka_unit_test(an_urgent_byte_and_an_end_behind_a_full_buffer_arrive),
		cmocka_unit_test(a_reset_behind_a_full_buffer_is_passed_on),
		cmocka_unit_test(two_full_directions_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
