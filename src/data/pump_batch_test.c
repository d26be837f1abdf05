#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "data/rig.h"

/* More than one batch has room for. */
enum { SESSIONS = LANES_PER_WORKER + 16, LONGEST = 3 * LANE_BYTES };

static const struct rig_options many = {.backend_count = 1, .max_sessions = 2 * SESSIONS};

struct crowd {
	struct rig rig;
	int client[SESSIONS];
	int backend[SESSIONS];
};

/* One after the other, so that it is known which end belongs to which. */
static void open_crowd(struct crowd *crowd)
{
	rig_start(&crowd->rig, &many);
	for (int i = 0; i < SESSIONS; i++) {
		crowd->client[i] = rig_connect(&crowd->rig);
		crowd->backend[i] = rig_accept(&crowd->rig, 0);
	}
}

static void close_crowd(struct crowd *crowd)
{
	for (int i = 0; i < SESSIONS; i++) {
		(void)close(crowd->client[i]);
		(void)close(crowd->backend[i]);
	}
	rig_stop(&crowd->rig);
}

/* What session `number` says in that round: nobody else says the same. */
static void make_message(uint8_t *bytes, size_t length, int number, int round)
{
	for (size_t i = 0; i < length; i++) {
		bytes[i] = (uint8_t)(number * 31 + round * 7 + (int)(i % 251));
	}
}

static void say_all(const int *from, const int *to, size_t length, int round)
{
	uint8_t said[LONGEST];
	uint8_t heard[LONGEST];

	for (int i = 0; i < SESSIONS; i++) {
		make_message(said, length, i, round);
		rig_write(from[i], said, length);
	}
	for (int i = 0; i < SESSIONS; i++) {
		make_message(said, length, i, round);
		rig_read(to[i], heard, length);
		assert_memory_equal(said, heard, length);
	}
}

static void messages_of_many_sessions_do_not_mix(void **state)
{
	/* Around what a lane holds: what is longer goes on without the others, and comes back. */
	static const size_t lengths[] = {
		1, 64, LANE_BYTES - 1, LANE_BYTES, LANE_BYTES + 1, LONGEST, 64, 1};
	struct crowd *crowd = calloc(1, sizeof *crowd);
	uint64_t total = 0;

	(void)state;
	assert_non_null(crowd);
	open_crowd(crowd);
	for (int round = 0; round < 8; round++) {
		say_all(crowd->client, crowd->backend, lengths[round], round);
		say_all(crowd->backend, crowd->client, lengths[round], round + 100);
		total += lengths[round] * SESSIONS;
	}
	rig_wait_counter(&shm_listener_counters(&crowd->rig.shm, 0, 0)->received_bytes, total);
	rig_wait_counter(&shm_listener_counters(&crowd->rig.shm, 0, 0)->sent_bytes, total);
	close_crowd(crowd);
	free(crowd);
}

/* Both directions at once, and then the end of one of them behind the last bytes. */
static void an_end_behind_a_message_is_passed_on(void **state)
{
	struct crowd *crowd = calloc(1, sizeof *crowd);
	char text[4];

	(void)state;
	assert_non_null(crowd);
	open_crowd(crowd);
	for (int i = 0; i < SESSIONS; i++) {
		rig_write(crowd->client[i], "ask", 3);
		rig_write(crowd->backend[i], "hail", 4);
		assert_int_equal(shutdown(crowd->client[i], SHUT_WR), 0);
	}
	for (int i = 0; i < SESSIONS; i++) {
		rig_read(crowd->backend[i], text, 3);
		assert_memory_equal(text, "ask", 3);
		rig_expect_end(crowd->backend[i]);
		rig_write(crowd->backend[i], "back", 4);
		(void)close(crowd->backend[i]);
		crowd->backend[i] = -1;
	}
	for (int i = 0; i < SESSIONS; i++) {
		rig_read(crowd->client[i], text, 4);
		assert_memory_equal(text, "hail", 4);
		rig_read(crowd->client[i], text, 4);
		assert_memory_equal(text, "back", 4);
		rig_expect_end(crowd->client[i]);
	}
	close_crowd(crowd);
	free(crowd);
}

/* While some do not read, and fill up what there is, the others talk; then all comes. */
static void a_slow_reader_holds_up_nobody_else(void **state)
{
	enum { SLOW = 3, PIECE = 1000 };
	struct crowd *crowd = calloc(1, sizeof *crowd);
	uint64_t written[SLOW] = {0};
	uint8_t piece[PIECE];
	uint8_t heard[PIECE];

	(void)state;
	assert_non_null(crowd);
	open_crowd(crowd);
	for (int i = 0; i < SLOW; i++) {
		for (int quiet = 0; quiet < 50;) {
			ssize_t n;

			make_message(piece, PIECE, i, 0);
			n = send(crowd->client[i], piece + written[i] % PIECE,
				PIECE - written[i] % PIECE, MSG_DONTWAIT);
			quiet = n > 0 ? 0 : quiet + 1;
			written[i] += n > 0 ? (uint64_t)n : 0;
			if (n <= 0) {
				(void)usleep(1000);
			}
		}
		for (int k = SLOW; k < SESSIONS; k++) {
			rig_expect_text(crowd->client[k], crowd->backend[k], "quick");
		}
	}
	for (int i = 0; i < SLOW; i++) {
		make_message(piece, PIECE, i, 0);
		assert_int_equal(shutdown(crowd->client[i], SHUT_WR), 0);
		while (written[i] > 0) {
			const size_t length = written[i] < PIECE ? (size_t)written[i] : PIECE;

			rig_read(crowd->backend[i], heard, length);
			assert_memory_equal(heard, piece, length);
			written[i] -= length;
		}
		rig_expect_end(crowd->backend[i]);
	}
	close_crowd(crowd);
	free(crowd);
}

static void a_reset_among_others_is_passed_on(void **state)
{
	struct crowd *crowd = calloc(1, sizeof *crowd);

	(void)state;
	assert_non_null(crowd);
	open_crowd(crowd);
	for (int i = 0; i < SESSIONS; i++) {
		rig_write(crowd->client[i], "abc", 3);
		if (i % 5 == 0) {
			rig_reset(crowd->client[i]);
			crowd->client[i] = -1;
		}
	}
	for (int i = 0; i < SESSIONS; i++) {
		char text[3];

		rig_read(crowd->backend[i], text, 3);
		assert_memory_equal(text, "abc", 3);
		if (i % 5 == 0) {
			rig_expect_reset(crowd->backend[i]);
		} else {
			rig_expect_text(crowd->backend[i], crowd->client[i], "still there");
		}
	}
	close_crowd(crowd);
	free(crowd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_of_many_sessions_do_not_mix),
		cmocka_unit_test(an_end_behind_a_message_is_passed_on),
		cmocka_unit_test(a_slow_reader_holds_up_nobody_else),
		cmocka_unit_test(a_reset_among_others_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
