#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/testing.h"
#include "main/demo_backend.h"
#include "main/demo_client.h"
#include "main/demo_tally.h"
#include "main/demo_wire.h"

enum { PATIENCE_MS = 20000, LOOK_MS = 5 };

static struct demo_tally tally;
static struct demo_numbers numbers;
static struct demo_backend *backend;

/* A backend without a balancer before it; its clients' errors are real ones, too. */
static int set_up(void **state)
{
	struct error err;

	(void)state;
	demo_tally_init(&tally);
	assert_int_equal(demo_backend_create(DEMO_VICTIM, &backend, &err), 0);
	assert_int_equal(demo_backend_start(backend, &err), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	demo_backend_free(backend);
	demo_tally_done(&tally);
	return 0;
}

static void look(void)
{
	const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

	(void)nanosleep(&pause, NULL);
}

static void await_answers(const struct demo_client *client, uint64_t count)
{
	for (int i = 0; i < PATIENCE_MS && demo_client_answers(client) < count; i += LOOK_MS) {
		look();
	}
	assert_true(demo_client_answers(client) >= count);
}

static void start(struct demo_client *client, enum demo_client_kind kind)
{
	struct error err;

	*client = (struct demo_client){
		.kind = kind,
		.port = demo_backend_port(backend),
		.seed = 1,
		.tally = &tally,
	};
	assert_int_equal(demo_client_start(client, &err), 0);
}

static void stop(struct demo_client *client)
{
	demo_client_ask_to_stop(client);
	demo_client_join(client);
	demo_tally_read(&tally, &numbers, NULL);
}

static int connect_raw(uint16_t port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void a_short_client_makes_session_after_session(void **state)
{
	struct demo_client client;

	(void)state;
	start(&client, DEMO_SHORT);
	await_answers(&client, 50);
	stop(&client);
	assert_int_equal(numbers.errors, 0);
	assert_int_equal(numbers.requests, demo_client_answers(&client));
	assert_true(numbers.sessions[DEMO_BEFORE][DEMO_VICTIM] > 10);
	assert_true(numbers.sessions[DEMO_BEFORE][DEMO_VICTIM] < numbers.requests);
	assert_int_equal(demo_backend_damaged(backend), 0);
}

static void a_long_client_keeps_its_session_until_it_is_released(void **state)
{
	struct demo_client client;

	(void)state;
	start(&client, DEMO_LONG);
	await_answers(&client, 5);
	demo_tally_read(&tally, &numbers, NULL);
	assert_int_equal(numbers.sessions[DEMO_BEFORE][DEMO_VICTIM], 1);
	demo_client_release(&client);
	await_answers(&client, demo_client_answers(&client) + 5);
	stop(&client);
	assert_int_equal(numbers.sessions[DEMO_BEFORE][DEMO_VICTIM], 2);
	assert_int_equal(numbers.errors, 0);
}

static void a_failed_backend_keeps_its_sessions_and_takes_no_new_one(void **state)
{
	struct demo_client client;
	struct error err;
	int fd = 0;

	(void)state;
	start(&client, DEMO_LONG);
	await_answers(&client, 1);
	demo_backend_fail(backend);
	for (int i = 0; i < PATIENCE_MS && fd >= 0; i += LOOK_MS) {
		fd = connect_raw(demo_backend_port(backend));
		if (fd >= 0) {
			(void)close(fd);
			look();
		}
	}
	assert_int_equal(fd, -1);
	await_answers(&client, demo_client_answers(&client) + 5);
	assert_int_equal(demo_backend_recover(backend, &err), 0);
	fd = connect_raw(demo_backend_port(backend));
	assert_true(fd >= 0);
	(void)close(fd);
	stop(&client);
	assert_int_equal(numbers.errors, 0);
	assert_int_equal(numbers.sessions[DEMO_BEFORE][DEMO_VICTIM], 1);
}

static void a_client_counts_what_it_cannot_reach(void **state)
{
	struct demo_client client;

	(void)state;
	demo_backend_fail(backend);
	start(&client, DEMO_SHORT);
	for (int i = 0; i < PATIENCE_MS; i += LOOK_MS) {
		demo_tally_read(&tally, &numbers, NULL);
		if (numbers.errors > 0) {
			break;
		}
		look();
	}
	stop(&client);
	assert_true(numbers.errors > 0);
	assert_non_null(strstr(numbers.first_error, "request 1"));
}

/* What is sent by `bytes` has to count as damage within the time. */
static void assert_damage(const char *bytes, size_t length)
{
	const uint64_t before = demo_backend_damaged(backend);
	const int fd = connect_raw(demo_backend_port(backend));

	assert_true(fd >= 0);
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < PATIENCE_MS && demo_backend_damaged(backend) == before; i += LOOK_MS) {
		look();
	}
	assert_int_equal(demo_backend_damaged(backend), before + 1);
	(void)close(fd);
}

static void a_backend_notices_what_is_not_whole(void **state)
{
	const struct demo_header header = {.magic = DEMO_WIRE_MAGIC, .length = 8, .seed = 1};
	char bytes[DEMO_HEADER_SIZE + 8];

	(void)state;
	memset(bytes, 0, sizeof bytes);
	assert_damage(bytes, DEMO_HEADER_SIZE); /* no header */
	demo_header_write(&header, bytes);
	assert_damage(bytes, DEMO_HEADER_SIZE - 1);
	assert_damage(bytes, DEMO_HEADER_SIZE + 7);
	assert_damage(bytes, DEMO_HEADER_SIZE + 8); /* whole, with other bytes */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_short_client_makes_session_after_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_long_client_keeps_its_session_until_it_is_released, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_failed_backend_keeps_its_sessions_and_takes_no_new_one, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_client_counts_what_it_cannot_reach, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_backend_notices_what_is_not_whole, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
