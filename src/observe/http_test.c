#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model/snapshot.h"
#include "observe/http.h"
#include "observe/pages.h"
#include "observe/testing.h"
#include "os/clock.h"

enum {
	TIMEOUT_MS = 20000,
	NS_PER_MS = 1000000,
	ANSWER_MAX = 8 * 1024 * 1024,
	CLIENTS_MAX = 64, /* of the server */
	PAGES_MAX = 16,
	FLOOD = 500,
};

/* Server and clients in one thread: what the server does, it does between two steps of the test. */
struct scene {
	void *shm;
	struct snapshot_store store;
	struct pages pages;
	struct http *http;
	char *answer; /* what the last exchange got, terminated */
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct http_setup setup = {.name = "metrics"};

	assert_non_null(scene);
	assert_int_equal(testing_make_shm(&scene->shm), 0);
	testing_fill(scene->shm);
	assert_null(address_parse("127.0.0.1:1", 11, &setup.address));
	setup.address.numeric.ip4.sin_port = 0; /* any that is free */
	scene->pages = (struct pages){
		.source = {.shm = scene->shm, .version = "1.2.3"},
		.store = &scene->store,
	};
	setup.site.tables[setup.site.table_count++] = pages_routes(&scene->pages);
	assert_int_equal(http_create(&setup, &scene->http, NULL), 0);
	scene->answer = malloc(ANSWER_MAX);
	assert_non_null(scene->answer);
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	http_free(scene->http);
	free(scene->answer);
	(void)testing_drop_shm(&scene->shm);
	free(scene);
	return 0;
}

/* One turn of the admin thread's loop, which sleeps for at most `timeout_ms`. */
static bool turn(const struct scene *scene, int timeout_ms)
{
	struct epoll_event event;
	const bool woken = epoll_wait(http_fd(scene->http), &event, 1, timeout_ms) > 0;

	http_run(scene->http);
	return woken;
}

/* Until the server has nothing to do. Fails where it never rests: it would spin. */
static void settle(const struct scene *scene)
{
	unsigned turns = 0;

	/* A turn may only have begun to watch what the next one is told of. */
	for (unsigned quiet = 0; quiet < 2; turns++) {
		quiet = turn(scene, 0) || http_timeout_ms(scene->http) == 0 ? 0 : quiet + 1;
		assert_true(turns < 100000);
	}
}

/* A client whose connect may still be under way: where the backlog is full it takes its time. */
static int start_client(const struct scene *scene)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(http_port(scene->http))};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ||
		errno == EINPROGRESS);
	return fd;
}

/* A connected client; the server goes on meanwhile. */
static int connect_client(const struct scene *scene)
{
	const uint64_t end_ns = clock_monotonic_ns() + (uint64_t)TIMEOUT_MS * NS_PER_MS;
	struct pollfd connected = {.fd = start_client(scene), .events = POLLOUT};

	while (poll(&connected, 1, 0) == 0) {
		assert_true(clock_monotonic_ns() < end_ns);
		(void)turn(scene, 10);
	}
	return connected.fd;
}

static void say(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads into scene->answer until the server closes or the answer ends with `end` (may be NULL). */
static void hear(struct scene *scene, int fd, const char *end)
{
	const uint64_t end_ns = clock_monotonic_ns() + (uint64_t)TIMEOUT_MS * NS_PER_MS;
	size_t length = 0;

	for (;;) {
		const ssize_t n =
			recv(fd, scene->answer + length, ANSWER_MAX - 1 - length, MSG_DONTWAIT);

		length += n > 0 ? (size_t)n : 0;
		scene->answer[length] = '\0';
		if (n == 0 || (n < 0 && errno == ECONNRESET) ||
			(end != NULL && length >= strlen(end) &&
				strcmp(scene->answer + length - strlen(end), end) == 0)) {
			return;
		}
		assert_true(clock_monotonic_ns() < end_ns);
		if (n < 0) {
			(void)turn(scene, 10);
		}
	}
}

/* A request on a connection of its own, up to the server's end of it. */
static const char *exchange(struct scene *scene, const char *request)
{
	const int fd = connect_client(scene);

	say(fd, request);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	hear(scene, fd, NULL);
	(void)close(fd);
	settle(scene);
	return scene->answer;
}

static void expect_start(const char *answer, const char *start)
{
	if (strncmp(answer, start, strlen(start)) != 0) {
		print_message("not %s: %.200s\n", start, answer);
		fail();
	}
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void each_path_has_its_answer(void **state)
{
	struct scene *scene = *state;
	const char *answer = exchange(scene, GET("/metrics"));

	expect_start(answer, "HTTP/1.1 200 OK\r\n");
	assert_non_null(
		strstr(answer, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
	assert_non_null(strstr(answer, "\r\n\r\n# HELP loble_build_info "));
	answer = exchange(scene, GET("/metrics?scope=all"));
	expect_start(answer, "HTTP/1.1 200 OK\r\n");
	answer = exchange(scene, GET("/healthz"));
	expect_start(answer, "HTTP/1.1 200 OK\r\n");
	assert_non_null(strstr(answer, "\r\n\r\nok\n"));
	answer = exchange(scene, GET("/readyz"));
	expect_start(answer, "HTTP/1.1 503 ");
	assert_non_null(strstr(answer, "\r\n\r\nstarting\n"));
	expect_start(exchange(scene, GET("/")), "HTTP/1.1 404 ");
	expect_start(exchange(scene, GET("/metrics/")), "HTTP/1.1 404 ");
	expect_start(exchange(scene, GET("/../etc/passwd")), "HTTP/1.1 404 ");
	assert_int_equal(http_clients(scene->http), 0);
}

static void only_reading_is_allowed(void **state)
{
	struct scene *scene = *state;
	const char *answer =
		exchange(scene, "HEAD /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");

	expect_start(answer, "HTTP/1.1 200 OK\r\n");
	assert_non_null(strstr(answer, "\r\nContent-Length: "));
	assert_string_equal(answer + strlen(answer) - 4, "\r\n\r\n");
	answer = exchange(scene, "DELETE /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
	expect_start(answer, "HTTP/1.1 405 ");
	assert_non_null(strstr(answer, "\r\nAllow: GET, HEAD\r\n"));
	answer = exchange(scene,
		"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
		"hello");
	expect_start(answer, "HTTP/1.1 405 ");
	answer = exchange(scene,
		"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
		"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
	expect_start(answer, "HTTP/1.1 200 ");
}

static void requests_in_one_piece_are_answered_in_order(void **state)
{
	struct scene *scene = *state;
	const char *second;

	(void)exchange(scene,
		"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
		"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n" GET("/nowhere"));
	expect_start(scene->answer, "HTTP/1.1 200 ");
	second = strstr(scene->answer + 1, "HTTP/1.1 503 ");
	assert_non_null(second);
	assert_non_null(strstr(second, "HTTP/1.1 404 "));
}

static void a_connection_can_be_kept(void **state)
{
	struct scene *scene = *state;
	const int fd = connect_client(scene);

	for (int i = 0; i < 3; i++) {
		say(fd, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
		hear(scene, fd, "\r\n\r\nok\n");
		expect_start(scene->answer, "HTTP/1.1 200 ");
	}
	settle(scene);
	assert_int_equal(http_clients(scene->http), 1);
	(void)close(fd);
	settle(scene);
	assert_int_equal(http_clients(scene->http), 0);
}

static void dribbled_requests_are_understood(void **state)
{
	static const char request[] = GET("/healthz");
	struct scene *scene = *state;
	const int fd = connect_client(scene);

	for (size_t i = 0; i < sizeof request - 1; i++) {
		assert_int_equal(send(fd, request + i, 1, MSG_NOSIGNAL), 1);
		settle(scene);
	}
	hear(scene, fd, NULL);
	expect_start(scene->answer, "HTTP/1.1 200 ");
	(void)close(fd);
}

/* A request line, and then a header, longer than a connection's memory. */
static void what_is_too_long_is_refused(void **state)
{
	enum { LONG = 64 * 1024 };
	struct scene *scene = *state;
	char *request = malloc(2 * LONG);

	assert_non_null(request);
	for (int i = 0; i < 2; i++) {
		const int fd = connect_client(scene);
		const int start = snprintf(request, LONG, "%s",
			i == 0 ? "GET /" : "GET /healthz HTTP/1.1\r\nHost: a\r\nX: ");
		const size_t length = (size_t)start + LONG;

		memset(request + start, 'x', LONG);
		for (size_t sent = 0; sent < length;) {
			const ssize_t n = send(
				fd, request + sent, length - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

			if (n < 0 && errno != EAGAIN) {
				break; /* refused already */
			}
			sent += n > 0 ? (size_t)n : 0;
			(void)turn(scene, 0);
		}
		hear(scene, fd, NULL);
		if (scene->answer[0] != '\0') { /* a reset may overtake the answer */
			expect_start(scene->answer, i == 0 ? "HTTP/1.1 414 " : "HTTP/1.1 431 ");
		}
		(void)close(fd);
		settle(scene);
		assert_int_equal(http_clients(scene->http), 0);
	}
	free(request);
}

static void noise_is_refused(void **state)
{
	static const char *const noise[] = {
		"\r\n\r\n\r\n\r\n",
		"hello\r\n\r\n",
		"GET\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
		"GET /healthz HTTP/9.9\r\n\r\n",
		"GET /healthz HTTP/1.1\r\n: \r\n\r\n",
		"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
		"POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"GET /%00%0d%0a%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	};
	struct scene *scene = *state;

	for (size_t i = 0; i < sizeof noise / sizeof noise[0]; i++) {
		(void)exchange(scene, noise[i]);
		assert_int_equal(http_clients(scene->http), 0);
	}
	expect_start(exchange(scene, GET("/healthz")), "HTTP/1.1 200 ");
}

static void a_flood_of_idle_clients_is_bounded(void **state)
{
	struct scene *scene = *state;
	int fds[FLOOD];

	for (int i = 0; i < FLOOD; i++) {
		fds[i] = start_client(scene);
		(void)turn(scene, 0);
		assert_true(http_clients(scene->http) <= CLIENTS_MAX);
	}
	settle(scene);
	assert_int_equal(http_clients(scene->http), CLIENTS_MAX);
	assert_true(http_timeout_ms(scene->http) > 0);

	/* They all go: those who wait in the backlog come and go, too. */
	for (int i = 0; i < FLOOD; i++) {
		(void)close(fds[i]);
	}
	expect_start(exchange(scene, GET("/healthz")), "HTTP/1.1 200 ");
}

/* Those who hold all places and say nothing lose one to a client who wants something. */
static void a_full_house_gives_way(void **state)
{
	struct scene *scene = *state;
	int fds[CLIENTS_MAX];

	for (int i = 0; i < CLIENTS_MAX; i++) {
		fds[i] = connect_client(scene);
		say(fds[i], "GET /metr");
		settle(scene);
	}
	assert_int_equal(http_clients(scene->http), CLIENTS_MAX);
	expect_start(exchange(scene, GET("/healthz")), "HTTP/1.1 200 ");
	for (int i = 0; i < CLIENTS_MAX; i++) {
		(void)close(fds[i]);
	}
	settle(scene);
	assert_int_equal(http_clients(scene->http), 0);
}

/* Pages that nobody reads: no spinning, and a limit of how many are in memory. */
static void clients_that_never_read_are_bounded(void **state)
{
	struct scene *scene = *state;
	int fds[PAGES_MAX];

	for (int i = 0; i < 2000; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "b%d", i);
		(void)testing_add_backend(scene->shm, "web", name);
	}
	for (int i = 0; i < PAGES_MAX; i++) {
		fds[i] = connect_client(scene);
		say(fds[i], "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
		settle(scene);
	}
	expect_start(exchange(scene, GET("/metrics")), "HTTP/1.1 503 ");
	assert_non_null(strstr(scene->answer, "\r\n\r\ntoo many requests at once\n"));
	expect_start(exchange(scene, GET("/healthz")), "HTTP/1.1 200 ");
	assert_true(http_timeout_ms(scene->http) > 0);
	for (int i = 0; i < PAGES_MAX; i++) {
		(void)close(fds[i]);
	}
	settle(scene);
	expect_start(exchange(scene, GET("/metrics")), "HTTP/1.1 200 ");
	assert_non_null(strstr(scene->answer, "\nprocess_start_time_seconds "));
}

/* Without a descriptor for it a client waits in the backlog, and the server does not spin. */
static void without_descriptors_clients_wait(void **state)
{
	struct scene *scene = *state;
	const int fd = connect_client(scene);
	const int highest = dup(fd);
	struct rlimit before;
	struct rlimit none;
	unsigned turns = 0;

	say(fd, GET("/healthz"));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = (rlim_t)highest;
	assert_int_equal(close(highest), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (turn(scene, 0)) {
		turns++;
		assert_true(turns < 10);
	}
	assert_int_equal(http_clients(scene->http), 0);
	assert_true(http_timeout_ms(scene->http) > 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	hear(scene, fd, NULL);
	expect_start(scene->answer, "HTTP/1.1 200 ");
	(void)close(fd);
}

/* A server whose only path answers later; the tickets of those who wait are kept. */
struct later {
	uint32_t count;
	uint64_t tickets[CLIENTS_MAX];
};

static struct answer answer_later(const struct http_call *call)
{
	struct later *later = call->context;

	later->tickets[later->count++] = call->ticket;
	return (struct answer){.status = HTTP_LATER};
}

static void serve_later(struct scene *scene, struct later *later)
{
	static const struct route routes[] = {{"POST", "/later", NULL, false, answer_later}};
	struct http_setup setup = {.name = "later"};

	http_free(scene->http);
	assert_null(address_parse("127.0.0.1:1", 11, &setup.address));
	setup.address.numeric.ip4.sin_port = 0;
	setup.site.tables[setup.site.table_count++] =
		(struct route_table){.routes = routes, .count = 1, .context = later};
	assert_int_equal(http_create(&setup, &scene->http, NULL), 0);
}

static void give(const struct scene *scene, uint64_t ticket, const char *text)
{
	struct answer answer = answer_text(HTTP_OK, text);

	assert_int_not_equal(ticket, 0);
	http_answer(scene->http, ticket, &answer);
}

#define POST_LATER "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

static void an_answer_may_come_later(void **state)
{
	struct scene *scene = *state;
	struct later later = {.count = 0};
	int fds[2];

	serve_later(scene, &later);
	for (int i = 0; i < 2; i++) {
		fds[i] = connect_client(scene);
		say(fds[i], POST_LATER);
		settle(scene);
	}
	assert_int_equal(later.count, 2);
	give(scene, later.tickets[1], "second");
	hear(scene, fds[1], "second");
	expect_start(scene->answer, "HTTP/1.1 200 ");
	give(scene, later.tickets[1], "twice"); /* nobody waits with this ticket any more */
	give(scene, later.tickets[0], "first");
	hear(scene, fds[0], "first");
	say(fds[0], POST_LATER); /* the connection goes on */
	settle(scene);
	assert_int_equal(later.count, 3);
	assert_int_not_equal(later.tickets[2], later.tickets[0]);
	give(scene, later.tickets[0], "old");
	give(scene, later.tickets[2], "third");
	hear(scene, fds[0], "third");
	(void)close(fds[0]);
	(void)close(fds[1]);
	settle(scene);
	assert_int_equal(http_clients(scene->http), 0);
}

static void who_leaves_while_waiting_is_forgotten(void **state)
{
	struct scene *scene = *state;
	struct later later = {.count = 0};
	int fd;

	serve_later(scene, &later);
	fd = connect_client(scene);
	say(fd, POST_LATER);
	settle(scene);
	(void)close(fd);
	settle(scene);
	give(scene, later.tickets[0], "nobody");
	settle(scene);
	assert_int_equal(http_clients(scene->http), 0);
}

static void who_waits_at_the_end_is_told(void **state)
{
	struct scene *scene = *state;
	struct later later = {.count = 0};
	char answer[1024] = "";
	int fd;

	serve_later(scene, &later);
	fd = connect_client(scene);
	say(fd, POST_LATER);
	settle(scene);
	http_free(scene->http);
	scene->http = NULL;
	assert_true(recv(fd, answer, sizeof answer - 1, 0) > 0);
	expect_start(answer, "HTTP/1.1 503 ");
	assert_non_null(strstr(answer, "stopping"));
	(void)close(fd);
}

int main(void)
{
#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		IN_SCENE(each_path_has_its_answer),
		IN_SCENE(only_reading_is_allowed),
		IN_SCENE(requests_in_one_piece_are_answered_in_order),
		IN_SCENE(a_connection_can_be_kept),
		IN_SCENE(dribbled_requests_are_understood),
		IN_SCENE(what_is_too_long_is_refused),
		IN_SCENE(noise_is_refused),
		IN_SCENE(a_flood_of_idle_clients_is_bounded),
		IN_SCENE(a_full_house_gives_way),
		IN_SCENE(clients_that_never_read_are_bounded),
		IN_SCENE(without_descriptors_clients_wait),
		IN_SCENE(an_answer_may_come_later),
		IN_SCENE(who_leaves_while_waiting_is_forgotten),
		IN_SCENE(who_waits_at_the_end_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
