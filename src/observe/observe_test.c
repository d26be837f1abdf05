#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"
#include "model/access.h"
#include "model/rcu.h"
#include "model/snapshot.h"
#include "observe/log_writer.h"
#include "observe/observe.h"
#include "observe/testing.h"

enum { CLOSE_MS = 20000, TIMEOUT_S = 20 };

static struct observe_setup serving(struct shm *shm, const struct snapshot_store *store)
{
	struct observe_setup setup = {.shm = shm,
		.store = store,
		.version = "1.2.3",
		.serve_metrics = true,
		.admin_fd = -1};

	assert_null(address_parse("127.0.0.1:1", 11, &setup.metrics_address));
	setup.metrics_address.numeric.ip4.sin_port = 0; /* any that is free */
	return setup;
}

static int connect_to(uint16_t port)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

/* The whole answer to one request; the caller frees it. */
static char *get(uint16_t port, const char *path)
{
	enum { ANSWER_MAX = 256 * 1024 };
	const int fd = connect_to(port);
	char *answer = calloc(1, ANSWER_MAX);
	size_t length = 0;
	ssize_t n;

	assert_non_null(answer);
	assert_true(
		dprintf(fd, "GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", path) > 0);
	while ((n = recv(fd, answer + length, ANSWER_MAX - 1 - length, 0)) > 0) {
		length += (size_t)n;
	}
	assert_int_equal(n, 0);
	(void)close(fd);
	return answer;
}

static void all_paths_are_served_by_the_thread(void **state)
{
	static const struct {
		const char *path;
		const char *start;
		const char *part;
	} cases[] = {
		{"/healthz", "HTTP/1.1 200 ", "\r\n\r\nok\n"},
		{"/readyz", "HTTP/1.1 503 ", "\r\n\r\nstarting\n"},
		{"/metrics", "HTTP/1.1 200 ", "\nloble_build_info{version=\"1.2.3\"} 1\n"},
	};
	struct snapshot_store store = {.current = NULL};
	struct observe_setup setup = serving(*state, &store);
	struct observe *observe;

	assert_int_equal(observe_start(&setup, &observe, NULL), 0);
	assert_true(observe_port(observe) > 0);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char *answer = get(observe_port(observe), cases[i].path);

		assert_memory_equal(answer, cases[i].start, strlen(cases[i].start));
		assert_non_null(strstr(answer, cases[i].part));
		free(answer);
	}
	/* A sleeping admin thread delays nobody. */
	rcu_wait();
	observe_stop(observe);
}

static void a_waiting_client_does_not_delay_the_end(void **state)
{
	struct snapshot_store store = {.current = NULL};
	struct observe_setup setup = serving(*state, &store);
	struct observe *observe;
	char byte;
	int fd;

	assert_int_equal(observe_start(&setup, &observe, NULL), 0);
	fd = connect_to(observe_port(observe));
	assert_int_equal(send(fd, "GET /met", 8, 0), 8);
	observe_stop(observe);
	assert_true(recv(fd, &byte, 1, 0) <= 0);
	(void)close(fd);
}

static void an_address_in_use_is_an_error(void **state)
{
	struct snapshot_store store = {.current = NULL};
	struct observe_setup setup = serving(*state, &store);
	struct observe *observe;
	struct observe *second = NULL;
	struct error err;
	char text[32];

	assert_int_equal(observe_start(&setup, &observe, NULL), 0);
	(void)snprintf(text, sizeof text, "127.0.0.1:%u", observe_port(observe));
	assert_null(address_parse(text, strlen(text), &setup.metrics_address));
	assert_int_equal(observe_start(&setup, &second, &err), -EADDRINUSE);
	assert_memory_equal(err.text, "metrics: 127.0.0.1:", 19);
	assert_null(second);
	observe_stop(observe);
}

static void who_makes_do_serves_metrics_once_the_address_is_free(void **state)
{
	struct snapshot_store store = {.current = NULL};
	struct observe_setup setup = serving(*state, &store);
	struct observe *observe;
	struct observe *second;
	char text[32];
	char *answer;

	assert_int_equal(observe_start(&setup, &observe, NULL), 0);
	(void)snprintf(text, sizeof text, "127.0.0.1:%u", observe_port(observe));
	assert_null(address_parse(text, strlen(text), &setup.metrics_address));
	setup.makes_do = true;
	assert_int_equal(observe_start(&setup, &second, &(struct error){.code = 0}), 0);
	assert_int_equal(observe_port(second), 0);
	observe_stop(observe);
	for (int i = 0; observe_port(second) == 0; i++) {
		assert_true(i < TIMEOUT_S * 100);
		(void)usleep(10000);
	}
	answer = get(observe_port(second), "/healthz");
	assert_memory_equal(answer, "HTTP/1.1 200 ", 13);
	free(answer);
	observe_stop(second);
}

static void with_nothing_to_do_there_is_no_thread(void **state)
{
	const struct observe_setup setup = {.shm = *state, .admin_fd = -1};
	struct observe *observe;

	assert_int_equal(observe_start(&setup, &observe, NULL), 0);
	assert_null(observe);
	observe_stop(observe);
}

static void the_end_writes_the_last_sessions(void **state)
{
	char path[] = "/tmp/loble-observe-XXXXXX";
	const struct log_writer_setup log_setup = {.path = path};
	const struct access_record record = {.tries = 1};
	struct access_ring *rings[TEST_WORKERS];
	const struct snapshot_store store = {.current = NULL};
	struct observe_setup setup = {
		.shm = *state, .store = &store, .access_rings = rings, .admin_fd = -1};
	struct observe *observe;
	struct log_writer *writer;
	unsigned lines = 0;
	FILE *file;
	int letter;

	testing_fill(*state);
	(void)close(mkstemp(path));
	assert_int_equal(log_writer_open(&log_setup, &writer, NULL), 0);
	setup.access_writer = writer;
	for (int i = 0; i < TEST_WORKERS; i++) {
		rings[i] = aligned_alloc(CACHE_LINE, sizeof *rings[i]);
		access_init(rings[i]);
	}
	assert_int_equal(observe_start(&setup, &observe, NULL), 0);
	assert_int_equal(observe_port(observe), 0);
	for (int i = 0; i < 1000; i++) {
		assert_true(access_push(rings[i % TEST_WORKERS], &record));
	}
	observe_stop(observe);
	log_writer_close(writer, CLOSE_MS);
	file = fopen(path, "re");
	assert_non_null(file);
	while ((letter = fgetc(file)) != EOF) {
		lines += letter == '\n' ? 1 : 0;
	}
	assert_int_equal(lines, 1000);
	(void)fclose(file);
	(void)unlink(path);
	for (int i = 0; i < TEST_WORKERS; i++) {
		free(rings[i]);
	}
}

int main(void)
{
#define IN_SHM(test) cmocka_unit_test_setup_teardown(test, testing_make_shm, testing_drop_shm)
	const struct CMUnitTest tests[] = {
		IN_SHM(all_paths_are_served_by_the_thread),
		IN_SHM(a_waiting_client_does_not_delay_the_end),
		IN_SHM(an_address_in_use_is_an_error),
		IN_SHM(who_makes_do_serves_metrics_once_the_address_is_free),
		IN_SHM(with_nothing_to_do_there_is_no_thread),
		IN_SHM(the_end_writes_the_last_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
