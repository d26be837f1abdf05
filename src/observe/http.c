#include "observe/http.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "model/snapshot.h"
#include "observe/endpoint.h"
#include "observe/ready.h"
#include "os/clock.h"

enum {
	CLIENTS_MAX = 64,
	PAGES_MAX = 16,           /* pages of metrics that wait for their readers */
	IDLE_TIMEOUT_S = 10,      /* without a byte in either direction */
	REQUEST_LIMIT_S = 30,     /* for one request and its answer, however the bytes drip */
	EVICT_AFTER_S = 1,        /* of such a wait a client may lose its place to a new one */
	PAUSE_MS = 100,           /* before accept() is tried again where it failed */
	WATCH_MS = 1000,          /* how often limits are looked at while there are clients */
	MEMORY_BYTES = 16 * 1024, /* request line and headers of a connection */
	NS_PER_MS = 1000000,
};

static const uint64_t NS_PER_S = 1000000000;

/* One open connection. */
struct client {
	int fd;            /* the library's; -1: this entry is free */
	uint64_t since_ns; /* accepted, or its last answer was complete */
	bool busy;         /* an answer is being made or sent */
	bool ended;        /* shut down by us: the library is about to notice */
};

struct http {
	struct metrics_source source;
	const struct snapshot_store *store;
	struct endpoint endpoint; /* owned */
	int epoll_fd;             /* owned: of the listening sockets and the library's epoll */
	struct MHD_Daemon *daemon;
	bool paused;        /* the listening sockets are not watched */
	uint64_t resume_ns; /* when paused: not before */
	uint32_t page_count;
	uint32_t client_count;
	struct client clients[CLIENTS_MAX];
};

struct answer {
	unsigned status;
	struct MHD_Response *response;
};

/* A page of metrics on its way; freed by the library when nobody needs it any more. */
struct held_page {
	struct http *http;
	struct page page;
};

static void add_header(const struct answer *answer, const char *name, const char *value)
{
	if (answer->response != NULL) {
		(void)MHD_add_response_header(answer->response, name, value);
	}
}

static struct answer short_answer(unsigned status, const char *text)
{
	struct answer answer = {.status = status};
	char *copy = strdup(text); /* the library's pointer is not to a constant */

	if (copy == NULL) {
		return answer;
	}
	answer.response =
		MHD_create_response_from_buffer(strlen(copy), copy, MHD_RESPMEM_MUST_FREE);
	if (answer.response == NULL) {
		free(copy);
	}
	add_header(&answer, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
	add_header(&answer, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	return answer;
}

static struct answer busy_answer(const char *text)
{
	const struct answer answer = short_answer(MHD_HTTP_SERVICE_UNAVAILABLE, text);

	add_header(&answer, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	return answer;
}

static void free_page(void *context)
{
	struct held_page *held = context;

	assert(held->http->page_count > 0);
	held->http->page_count--;
	page_done(&held->page);
	free(held);
}

static struct answer metrics_answer(struct http *http)
{
	struct answer answer = {.status = MHD_HTTP_OK};
	struct held_page *held;

	if (http->page_count >= PAGES_MAX) {
		return busy_answer("too many scrapes at once\n");
	}
	held = calloc(1, sizeof *held);
	if (held == NULL) {
		return busy_answer("out of memory\n");
	}
	held->http = http;
	http->page_count++;
	metrics_write(&held->page, &http->source);
	if (!held->page.failed) {
		answer.response = MHD_create_response_from_buffer_with_free_callback_cls(
			held->page.length, held->page.text, free_page, held);
	}
	if (answer.response == NULL) {
		free_page(held);
		return busy_answer("out of memory\n");
	}
	add_header(
		&answer, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
	return answer;
}

static struct answer ready_answer(const struct http *http)
{
	const char *refusal = ready_refusal(http->source.shm, snapshot_current(http->store));

	return refusal == NULL ? short_answer(MHD_HTTP_OK, "ready\n")
			       : short_answer(MHD_HTTP_SERVICE_UNAVAILABLE, refusal);
}

static struct answer answer_to(struct http *http, const char *path, const char *method)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		const struct answer answer = short_answer(
			MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are understood here\n");

		add_header(&answer, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
		return answer;
	}
	if (strcmp(path, "/metrics") == 0) {
		return metrics_answer(http);
	}
	if (strcmp(path, "/healthz") == 0) {
		return short_answer(MHD_HTTP_OK, "ok\n");
	}
	if (strcmp(path, "/readyz") == 0) {
		return ready_answer(http);
	}
	return short_answer(MHD_HTTP_NOT_FOUND, "there are /metrics, /healthz and /readyz\n");
}

/* NULL only before on_connection() was told of it. */
static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info == NULL ? NULL : info->socket_context;
}

/*
 * Called once when the headers are there, and again for each piece of a body, which nobody wants:
 * it is taken and thrown away.
 */
/* NOLINTNEXTLINE(readability-function-size): the library decides what it passes */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
	const char *path, const char *method, const char *version, const char *upload,
	size_t *upload_size, void **request)
{
	static int seen;
	struct client *client = client_of(connection);
	struct answer answer;
	enum MHD_Result result;

	(void)version;
	(void)upload;
	if (*request == NULL) {
		*request = &seen;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	answer = answer_to(context, path, method);
	if (answer.response == NULL) {
		return MHD_NO;
	}
	if (client != NULL) {
		client->busy = true;
	}
	result = MHD_queue_response(connection, answer.status, answer.response);
	MHD_destroy_response(answer.response);
	return result;
}

/* An answer is complete, or its connection has ended. */
static void on_completed(void *context, struct MHD_Connection *connection, void **request,
	enum MHD_RequestTerminationCode code)
{
	struct client *client = client_of(connection);

	(void)context;
	(void)request;
	(void)code;
	if (client != NULL) {
		client->busy = false;
		client->since_ns = clock_monotonic_ns();
	}
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
	enum MHD_ConnectionNotificationCode code)
{
	struct http *http = context;
	struct client *client = http->clients;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		client = *socket_context;
		*client = (struct client){.fd = -1};
		http->client_count--;
		return;
	}
	assert(http->client_count < CLIENTS_MAX);
	while (client->fd >= 0) {
		client++;
	}
	*client = (struct client){
		.fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
			      ->connect_fd,
		.since_ns = clock_monotonic_ns(),
	};
	http->client_count++;
	*socket_context = client;
}

static void end_client(struct client *client)
{
	client->ended = true;
	(void)shutdown(client->fd, SHUT_RDWR);
}

/* For how long the library can wait: milliseconds, -1 for ever. */
static int library_timeout_ms(const struct http *http)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(http->daemon, &ms) != MHD_YES) {
		return -1;
	}
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

/*
 * Whether the client has sent its last byte and nothing is left to answer. The library, which waits
 * for edges, does not see an end that came together with the last bytes, and would wait for its
 * time-out.
 */
static bool is_done(const struct client *client)
{
	char byte;

	return !client->busy && recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void end_clients(struct http *http)
{
	const uint64_t now_ns = clock_monotonic_ns();
	const bool settled = library_timeout_ms(http) != 0; /* no request waits in its buffers */

	for (uint32_t i = 0; i < CLIENTS_MAX && http->client_count > 0; i++) {
		struct client *client = &http->clients[i];

		if (client->fd < 0 || client->ended) {
			continue;
		}
		if (now_ns - client->since_ns >= REQUEST_LIMIT_S * NS_PER_S ||
			(settled && is_done(client))) {
			end_client(client);
		}
	}
}

/* Takes the place of the client that has been waiting or dribbling for longest, if for too long. */
static void evict_one(struct http *http)
{
	const uint64_t now_ns = clock_monotonic_ns();
	struct client *oldest = NULL;

	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &http->clients[i];

		if (client->fd >= 0 && !client->ended &&
			(oldest == NULL || client->since_ns < oldest->since_ns)) {
			oldest = client;
		}
	}
	if (oldest != NULL && now_ns - oldest->since_ns >= EVICT_AFTER_S * NS_PER_S) {
		end_client(oldest);
	}
}

static void watch_listeners(struct http *http, uint32_t events)
{
	for (uint32_t i = 0; i < http->endpoint.count; i++) {
		struct epoll_event event = {.events = events};

		(void)epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, http->endpoint.fds[i], &event);
	}
}

/* What is in the backlog waits there. */
static void pause_accepting(struct http *http)
{
	http->paused = true;
	http->resume_ns = clock_monotonic_ns() + (uint64_t)PAUSE_MS * NS_PER_MS;
	watch_listeners(http, 0);
}

static void resume_accepting(struct http *http)
{
	if (http->paused && clock_monotonic_ns() >= http->resume_ns) {
		http->paused = false;
		watch_listeners(http, EPOLLIN);
	}
}

void http_adopt(struct http *http, int fd, const struct sockaddr_any *address)
{
	(void)MHD_add_connection(http->daemon, fd, &address->generic, address->length);
}

/* Returns 0 once nobody waits at that socket any more, else a negative errno. */
static int accept_all(struct http *http, uint32_t index)
{
	while (http->client_count < CLIENTS_MAX) {
		struct sockaddr_any address;
		const int fd = endpoint_accept(&http->endpoint, index, &address);

		if (fd < 0) {
			return fd == -EAGAIN ? 0 : fd;
		}
		http_adopt(http, fd, &address);
	}
	return -EUSERS;
}

static void accept_clients(struct http *http)
{
	for (uint32_t i = 0; i < http->endpoint.count && !http->paused; i++) {
		const int r = accept_all(http, i);

		if (r == -EUSERS) {
			evict_one(http);
		}
		if (r < 0) {
			pause_accepting(http);
		}
	}
}

static int start_daemon(struct http *http, struct error *err)
{
	const union MHD_DaemonInfo *info;
	struct epoll_event event = {.events = EPOLLIN};

	http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
		on_request, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CLIENTS_MAX,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_BYTES,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_NOTIFY_CONNECTION,
		on_connection, http, MHD_OPTION_END);
	if (http->daemon == NULL) {
		return error_say(err, EIO, "the HTTP server does not start");
	}
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL) {
		return error_say(err, EIO, "the HTTP server has no epoll");
	}
	if (epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &event) < 0) {
		return error_set(err, errno, "cannot watch the HTTP server");
	}
	return 0;
}

static int open_listeners(struct http *http, const struct address *address, struct error *err)
{
	int r;

	if (address->kind == ADDRESS_UNSET) {
		return 0;
	}
	r = endpoint_open(address, &http->endpoint, err);
	for (uint32_t i = 0; r == 0 && i < http->endpoint.count; i++) {
		struct epoll_event event = {.events = EPOLLIN};

		if (epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->endpoint.fds[i], &event) < 0) {
			r = error_set(err, errno, "cannot watch a socket");
		}
	}
	return r;
}

int http_create(const struct http_setup *setup, struct http **ret_http, struct error *err)
{
	struct http *http = calloc(1, sizeof *http);
	struct error why;
	int r;

	if (http == NULL) {
		return error_set(err, ENOMEM, "metrics: cannot start");
	}
	http->source = setup->source;
	http->store = setup->store;
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		http->clients[i].fd = -1;
	}
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll_fd < 0) {
		r = error_set(&why, errno, "cannot open an epoll");
		goto fail_free;
	}
	r = open_listeners(http, &setup->address, &why);
	if (r < 0) {
		goto fail_free;
	}
	r = start_daemon(http, &why);
	if (r < 0) {
		goto fail_free;
	}
	*ret_http = http;
	return 0;

fail_free:
	http_free(http);
	return error_say(err, -r, "metrics: %s", why.text);
}

void http_free(struct http *http)
{
	if (http == NULL) {
		return;
	}
	endpoint_close(&http->endpoint);
	if (http->daemon != NULL) {
		MHD_stop_daemon(http->daemon);
	}
	assert(http->client_count == 0);
	assert(http->page_count == 0);
	if (http->epoll_fd >= 0) {
		(void)close(http->epoll_fd);
	}
	free(http);
}

int http_fd(const struct http *http)
{
	return http->epoll_fd;
}

void http_run(struct http *http)
{
	resume_accepting(http);
	accept_clients(http);
	(void)MHD_run(http->daemon);
	end_clients(http);
}

int http_timeout_ms(const struct http *http)
{
	const int library_ms = library_timeout_ms(http);
	int timeout_ms = http->client_count > 0 ? WATCH_MS : -1;

	if (http->paused) {
		timeout_ms = PAUSE_MS;
	}
	return timeout_ms < 0 || (library_ms >= 0 && library_ms < timeout_ms) ? library_ms
									      : timeout_ms;
}

uint32_t http_clients(const struct http *http)
{
	return http->client_count;
}

uint16_t http_port(const struct http *http)
{
	return http->endpoint.port;
}
