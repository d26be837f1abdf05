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

	assert_int_equal(getsockopt(shm_record(&rig->shm, 0, 0)->fd[SIDE_BACKEND], level, option,
				 &value, &length),
		0);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_writes_to_a_backend_are_not_delayed),
		cmocka_unit_test(only_the_first_small_segment_goes_without_the_option),
		cmocka_unit_test(after_a_proxy_header_the_next_segment_is_the_second),
		cmocka_unit_test(a_session_of_a_second_is_kept_alive),
		cmocka_unit_test(so_is_one_that_was_continued),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
