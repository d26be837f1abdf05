/*
 * Feeds bytes to the HTTP server over a socket, as a client would, in pieces that the first byte
 * of the input decides. The server must survive, forget the client, and serve the next one.
 * One thread.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "model/request.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "observe/api.h"
#include "observe/http.h"
#include "observe/pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TURNS_MAX = 100000, ANSWER_BYTES = 64 * 1024 };

static struct shm shm;
static struct snapshot_store store;
static struct api api = {.shm = &shm, .store = &store, .version = "1.2.3"};

/* What control would do. */
static void carry_out(void)
{
	struct request request;

	while (request_take(api.requests, &request)) {
		request.result = request.kind == REQUEST_RELOAD ? REQUEST_DONE : REQUEST_STARTED;
		request_answer(api.requests, &request);
	}
	api_collect(&api);
}

static struct http *start(void)
{
	static struct pages pages = {.source = {.shm = &shm, .version = "1.2.3"}, .store = &store};
	const struct http_setup setup = {
		.name = "fuzz",
		.site =
			{
				.table_count = 2,
				.tables = {api_routes(&api), pages_routes(&pages)},
				.json = true,
			},
	};
	struct http *http;
	struct error err;
	int r = shm_create(1, 1, &shm, &err);

	assert(r == 0);
	r = request_box_create(&api.requests, &err);
	assert(r == 0);
	assert(shm_pool_index(&shm, "web") == 0);
	assert(shm_slot_index(&shm, 0, "10.0.0.1:80") == 0);
	r = http_create(&setup, &http, &err);
	assert(r == 0);
	api.http = http;
	return http;
}

/* Until the server has nothing more to do; what it answers is read and thrown away. */
static void settle(struct http *http, int client)
{
	static char answer[ANSWER_BYTES];
	struct epoll_event event;
	unsigned turns = 0;
	ssize_t n;

	do {
		carry_out();
		http_run(http);
		do {
			n = recv(client, answer, sizeof answer, MSG_DONTWAIT);
		} while (n > 0);
		turns++;
		assert(turns < TURNS_MAX);
	} while (epoll_wait(http_fd(http), &event, 1, 0) > 0 || http_timeout_ms(http) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http *http;
	static const struct sockaddr_any nobody = {
		.length = sizeof(sa_family_t), .local = {.sun_family = AF_UNIX}};
	size_t piece;
	int fds[2];

	if (http == NULL) {
		http = start();
	}
	if (size == 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0) {
		return 0;
	}
	http_adopt(http, fds[0], &nobody);
	piece = data[0] == 0 ? size : data[0];
	data++;
	size--;
	while (size > 0) {
		const size_t part = piece < size ? piece : size;
		const ssize_t n = send(fds[1], data, part, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0) {
			break; /* the server has closed, or reads no more */
		}
		data += n;
		size -= (size_t)n;
		settle(http, fds[1]);
	}
	(void)shutdown(fds[1], SHUT_WR);
	settle(http, fds[1]);
	(void)close(fds[1]);
	settle(http, -1);
	assert(http_clients(http) == 0);
	return 0;
}
