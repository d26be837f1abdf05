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
#include "observe/endpoint.h"
#include "observe/http_response.h"
#include "os/clock.h"

enum {
	CLIENTS_MAX = 64,
	PAGES_MAX = 16,           /* large texts that wait for their readers */
	IDLE_TIMEOUT_S = 10,      /* without a byte in either direction */
	REQUEST_LIMIT_S = 30,     /* for one request and its answer, however the bytes drip */
	LATER_LIMIT_S = 120,      /* for an answer that somebody else makes */
	EVICT_AFTER_S = 1,        /* of such a wait a client may lose its place to a new one */
	EVICTIONS_MAX = 16,       /* at a time: more than one may wait for a place */
	PAUSE_MS = 100,           /* before accept() is tried again where it failed */
	WATCH_MS = 1000,          /* how often limits are looked at while there are clients */
	MEMORY_BYTES = 16 * 1024, /* request line and headers of a connection */
	NS_PER_MS = 1000000,
};

static const uint64_t NS_PER_S = 1000000000;

/* One open connection. */
struct client {
	int fd;                         /* the library's; -1: this entry is free */
	uint64_t since_ns;              /* accepted, or its last answer was complete */
	bool busy;                      /* an answer is being made or sent */
	bool ended;                     /* shut down by us: the library is about to notice */
	uint64_t serial;                /* counts the requests of this entry */
	struct MHD_Connection *waiting; /* asleep until http_answer(); NULL: it is not */
	struct answer answer;           /* owned: of one that has slept; HTTP_LATER: none */
};

struct http {
	struct site site;
	struct endpoint endpoint;
	bool borrowed; /* the endpoint's socket is not ours to close */
	int epoll_fd;  /* owned: of the listening sockets and the library's epoll */
	struct MHD_Daemon *daemon;
	bool stopping;      /* nobody is put to sleep any more */
	bool paused;        /* the listening sockets are not watched */
	uint64_t resume_ns; /* when paused: not before */
	uint32_t page_count;
	uint32_t client_count;
	struct client clients[CLIENTS_MAX];
};

static enum MHD_Result send_answer(
	struct http *http, struct MHD_Connection *connection, struct answer *answer, bool large)
{
	return response_send(connection, answer, large ? &http->page_count : NULL) ? MHD_YES
										   : MHD_NO;
}

static enum MHD_Result on_parameter(
	void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct http_call *call = context;

	(void)kind;
	if (call->query_count < QUERY_MAX) {
		call->query[call->query_count] =
			(struct query){.name = name, .value = value == NULL ? "" : value};
	}
	call->query_count++;
	return call->query_count > QUERY_MAX ? MHD_NO : MHD_YES;
}

static uint64_t ticket_of(const struct http *http, const struct client *client)
{
	return client->serial * CLIENTS_MAX + (uint64_t)(client - http->clients);
}

/* NULL only before on_connection() was told of it. */
static struct client *client_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info == NULL ? NULL : info->socket_context;
}

/* The request is whole: answers it, or puts its connection to sleep until http_answer(). */
static enum MHD_Result answer_request(struct http *http, struct MHD_Connection *connection,
	struct client *client, const char *method, const char *path)
{
	struct http_call call = {
		.method = method,
		.path = path,
		.crowded = http->page_count >= PAGES_MAX,
		.ticket = ticket_of(http, client),
	};
	struct answer answer;
	bool large;

	(void)MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, on_parameter, &call);
	answer = route_call(&http->site, &call, &large);
	client->busy = true;
	if (answer.status == HTTP_LATER && http->stopping) {
		answer = answer_error(HTTP_UNAVAILABLE, "stopping");
	}
	if (answer.status != HTTP_LATER) {
		return send_answer(http, connection, &answer, large);
	}
	client->waiting = connection;
	client->since_ns = clock_monotonic_ns();
	MHD_suspend_connection(connection);
	return MHD_YES;
}

/*
 * Called once when the headers are there, again for each piece of a body, which nobody wants (it
 * is taken and thrown away), and again when a connection that slept goes on.
 */
/* NOLINTNEXTLINE(readability-function-size): the library decides what it passes */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
	const char *path, const char *method, const char *version, const char *upload,
	size_t *upload_size, void **request)
{
	static int seen;
	struct client *client = client_of(connection);

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
	if (client == NULL) {
		return MHD_NO;
	}
	if (client->answer.status != HTTP_LATER) {
		return send_answer(context, connection, &client->answer, false);
	}
	return answer_request(context, connection, client, method, path);
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
		answer_done(&client->answer);
		client->busy = false;
		client->since_ns = clock_monotonic_ns();
		client->serial++;
	}
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
	enum MHD_ConnectionNotificationCode code)
{
	struct http *http = context;
	struct client *client = http->clients;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		client = *socket_context;
		*client = (struct client){.fd = -1, .serial = client->serial + 1};
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
		.serial = client->serial,
	};
	http->client_count++;
	*socket_context = client;
}

static void wake(struct client *client, struct answer *answer)
{
	struct MHD_Connection *connection = client->waiting;

	client->waiting = NULL;
	client->answer = *answer;
	client->since_ns = clock_monotonic_ns();
	MHD_resume_connection(connection);
}

void http_answer(struct http *http, uint64_t ticket, struct answer *answer)
{
	struct client *client = &http->clients[ticket % CLIENTS_MAX];

	if (client->waiting == NULL || ticket_of(http, client) != ticket) {
		answer_done(answer);
		return;
	}
	wake(client, answer);
}

static void wake_all(struct http *http, const char *reason)
{
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		if (http->clients[i].waiting != NULL) {
			struct answer answer = answer_error(HTTP_UNAVAILABLE, reason);

			wake(&http->clients[i], &answer);
		}
	}
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

static void end_waiting(struct client *client, uint64_t now_ns)
{
	if (now_ns - client->since_ns >= LATER_LIMIT_S * NS_PER_S) {
		struct answer answer = answer_error(HTTP_TIMEOUT, "it takes too long");

		wake(client, &answer);
	}
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
		if (client->waiting != NULL) {
			end_waiting(client, now_ns);
			continue;
		}
		if (now_ns - client->since_ns >= REQUEST_LIMIT_S * NS_PER_S ||
			(settled && is_done(client))) {
			end_client(client);
		}
	}
}

/* The client that has been waiting or dribbling for longest, if for too long; or NULL. */
static struct client *find_slow(struct http *http, uint64_t now_ns)
{
	struct client *oldest = NULL;

	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		struct client *client = &http->clients[i];

		if (client->fd >= 0 && !client->ended && client->waiting == NULL &&
			(oldest == NULL || client->since_ns < oldest->since_ns)) {
			oldest = client;
		}
	}
	return oldest != NULL && now_ns - oldest->since_ns >= EVICT_AFTER_S * NS_PER_S ? oldest
										       : NULL;
}

static void evict_some(struct http *http)
{
	const uint64_t now_ns = clock_monotonic_ns();

	for (int i = 0; i < EVICTIONS_MAX; i++) {
		struct client *slow = find_slow(http, now_ns);

		if (slow == NULL) {
			return;
		}
		end_client(slow);
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
			evict_some(http);
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

	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL,
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

static int open_listeners(struct http *http, const struct http_setup *setup, struct error *err)
{
	int r = 0;

	if (setup->borrow_fd) {
		http->endpoint = (struct endpoint){.count = 1, .fds = {setup->listen_fd}};
		http->borrowed = true;
	} else if (setup->address.kind != ADDRESS_UNSET) {
		r = endpoint_open(&setup->address, &http->endpoint, err);
	}
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
		return error_set(err, ENOMEM, "%s: cannot start", setup->name);
	}
	http->site = setup->site;
	for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
		http->clients[i].fd = -1;
		http->clients[i].serial = 1; /* no ticket is 0 */
	}
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll_fd < 0) {
		r = error_set(&why, errno, "cannot open an epoll");
		goto fail_free;
	}
	r = open_listeners(http, setup, &why);
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
	return error_say(err, -r, "%s: %s", setup->name, why.text);
}

void http_free(struct http *http)
{
	if (http == NULL) {
		return;
	}
	if (!http->borrowed) {
		endpoint_close(&http->endpoint);
	}
	if (http->daemon != NULL) {
		/* The library wants nobody asleep at its end; one more turn sends the answers. */
		http->stopping = true;
		wake_all(http, "stopping");
		(void)MHD_run(http->daemon);
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
