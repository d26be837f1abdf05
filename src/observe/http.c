#include "observe/http.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/error.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "os/socket.h"

enum {
	DAEMONS_MAX = 2, /* ":9090" is two addresses */
	CONNECTIONS_MAX = 128,
	CONNECTION_TIMEOUT_S = 10,
	CONNECTION_MEMORY_BYTES = 16 * 1024, /* request line and headers */
	BACKLOG = 128,
	LOCAL_MODE = 0660,
};

struct http {
	struct metrics_source source;
	const struct snapshot_store *store;
	int epoll_fd; /* of the epolls of the daemons */
	uint32_t count;
	struct MHD_Daemon *daemons[DAEMONS_MAX];
	uint16_t port;
};

struct answer {
	unsigned status;
	struct MHD_Response *response;
};

/* `text` is a constant. */
static struct answer constant_answer(unsigned status, const char *text)
{
	struct answer answer = {.status = status};
	const size_t length = strlen(text);

	/* The library takes a pointer that may be written to, and with this mode never does. */
	answer.response = MHD_create_response_from_buffer(
		length, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
	if (answer.response != NULL) {
		(void)MHD_add_response_header(
			answer.response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; charset=utf-8");
	}
	return answer;
}

static struct answer metrics_answer(const struct http *http)
{
	struct answer answer = {.status = MHD_HTTP_OK};
	struct page page = page_begin();

	metrics_write(&page, &http->source);
	if (page.failed) {
		page_done(&page);
		return constant_answer(MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
	}
	answer.response =
		MHD_create_response_from_buffer(page.length, page.text, MHD_RESPMEM_MUST_FREE);
	if (answer.response == NULL) {
		page_done(&page);
		return answer;
	}
	(void)MHD_add_response_header(answer.response, MHD_HTTP_HEADER_CONTENT_TYPE,
		"text/plain; version=0.0.4; charset=utf-8");
	return answer;
}

static bool listeners_are_open(const struct shm *shm)
{
	for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
		const struct listener_entry *listener = &shm->listeners[i];

		if (atomic_load_explicit(&listener->identity.used, memory_order_acquire) == 0) {
			return i > 0;
		}
		if (atomic_load_explicit(&listener->open, memory_order_acquire) == 0) {
			return false;
		}
	}
	return true;
}

/* Whether some listener has a pool with a healthy backend. */
static bool backend_is_usable(const struct snapshot *snapshot)
{
	for (uint32_t i = 0; snapshot != NULL && i < snapshot->listener_limit; i++) {
		const struct snapshot_listener *listener = snapshot_listener(snapshot, i);
		const struct snapshot_pool *pool =
			listener == NULL ? NULL : snapshot_pool(snapshot, listener->pool);

		if (pool != NULL && pool->backend_count > 0 && !pool->fallback) {
			return true;
		}
	}
	return false;
}

static struct answer ready_answer(const struct http *http)
{
	const struct shm *shm = http->source.shm;

	switch ((enum process_phase)atomic_load_explicit(
		&shm->header->process.phase, memory_order_acquire)) {
	case PHASE_STARTING:
		return constant_answer(MHD_HTTP_SERVICE_UNAVAILABLE, "starting\n");
	case PHASE_LAME_DUCK:
	case PHASE_DRAINING:
	case PHASE_STOPPED:
		return constant_answer(MHD_HTTP_SERVICE_UNAVAILABLE, "stopping\n");
	case PHASE_RUNNING:
		break;
	}
	if (!listeners_are_open(shm)) {
		return constant_answer(MHD_HTTP_SERVICE_UNAVAILABLE, "a listener is not open\n");
	}
	if (!backend_is_usable(snapshot_current(http->store))) {
		return constant_answer(MHD_HTTP_SERVICE_UNAVAILABLE, "no backend is usable\n");
	}
	return constant_answer(MHD_HTTP_OK, "ready\n");
}

static struct answer answer_to(const struct http *http, const char *path, const char *method)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		struct answer answer = constant_answer(
			MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are understood here\n");

		if (answer.response != NULL) {
			(void)MHD_add_response_header(
				answer.response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
		}
		return answer;
	}
	if (strcmp(path, "/metrics") == 0) {
		return metrics_answer(http);
	}
	if (strcmp(path, "/healthz") == 0) {
		return constant_answer(MHD_HTTP_OK, "ok\n");
	}
	if (strcmp(path, "/readyz") == 0) {
		return ready_answer(http);
	}
	return constant_answer(MHD_HTTP_NOT_FOUND, "there are /metrics, /healthz and /readyz\n");
}

/*
 * Called once when the headers are there, and again for each piece of a body, which nobody wants:
 * it is taken and thrown away.
 */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
	const char *path, const char *method, const char *version, const char *upload,
	size_t *upload_size, void **request)
{
	static int seen;
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
	result = MHD_queue_response(connection, answer.status, answer.response);
	MHD_destroy_response(answer.response);
	return result;
}

/* Takes the listening socket, also on failure. */
static int add_daemon(struct http *http, int fd, struct error *err)
{
	struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, http,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned)CONNECTION_TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
	const union MHD_DaemonInfo *info;
	struct epoll_event event = {.events = EPOLLIN};

	if (daemon == NULL) {
		(void)close(fd);
		return error_say(err, EINVAL, "metrics: the HTTP server does not start");
	}
	http->daemons[http->count] = daemon;
	http->count++;
	info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL || epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &event) < 0) {
		return error_set(err, errno, "metrics: cannot watch the HTTP server");
	}
	return 0;
}

static int open_one(struct http *http, const struct sockaddr_any *address, struct error *err)
{
	const struct listen_spec spec = {
		.address = *address, .backlog = BACKLOG, .mode = LOCAL_MODE};
	struct sockaddr_any bound = {.length = sizeof bound.local};
	struct error why;
	int fd;
	int r = socket_listen(&spec, &fd, &why);

	if (r < 0) {
		return error_say(err, -r, "metrics: %s", why.text);
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (getsockname(fd, &bound.generic, &bound.length) == 0) {
		http->port = sockaddr_port(&bound);
	}
	return add_daemon(http, fd, err);
}

static int open_any(struct http *http, uint16_t port, struct error *err)
{
	struct sockaddr_any ip4 = {.length = sizeof ip4.ip4};
	struct sockaddr_any ip6 = {.length = sizeof ip6.ip6};
	int r;

	ip4.ip4.sin_family = AF_INET;
	ip4.ip4.sin_port = htons(port);
	r = open_one(http, &ip4, err);
	if (r < 0) {
		return r;
	}
	ip6.ip6.sin6_family = AF_INET6;
	ip6.ip6.sin6_addr = in6addr_any;
	ip6.ip6.sin6_port = htons(http->port);
	r = open_one(http, &ip6, err);
	return r == -EAFNOSUPPORT ? 0 : r; /* a system without IPv6 */
}

static int open_name(struct http *http, const struct address *address, struct error *err)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct sockaddr_any first = {.length = 0};
	struct addrinfo *list = NULL;
	char port[8];
	int code;

	(void)snprintf(port, sizeof port, "%u", address->port);
	code = getaddrinfo(address->host, port, &hints, &list);
	if (code != 0) {
		return error_say(
			err, EADDRNOTAVAIL, "metrics: %s: %s", address->host, gai_strerror(code));
	}
	first.length = list->ai_addrlen;
	memcpy(&first.generic, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return open_one(http, &first, err);
}

static int open_address(struct http *http, const struct address *address, struct error *err)
{
	switch (address->kind) {
	case ADDRESS_ANY:
		return open_any(http, address->port, err);
	case ADDRESS_NAME:
		return open_name(http, address, err);
	case ADDRESS_NUMERIC:
	case ADDRESS_LOCAL:
		return open_one(http, &address->numeric, err);
	case ADDRESS_UNSET:
		break;
	}
	return error_say(err, EINVAL, "metrics: there is no address");
}

int http_create(const struct http_setup *setup, struct http **ret_http, struct error *err)
{
	struct http *http = calloc(1, sizeof *http);
	int r;

	if (http == NULL) {
		return error_set(err, ENOMEM, "metrics: cannot start");
	}
	http->source = setup->source;
	http->store = setup->store;
	http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (http->epoll_fd < 0) {
		r = error_set(err, errno, "metrics: cannot open an epoll");
		goto fail_free;
	}
	r = open_address(http, &setup->address, err);
	if (r < 0) {
		goto fail_free;
	}
	*ret_http = http;
	return 0;

fail_free:
	http_free(http);
	return r;
}

void http_free(struct http *http)
{
	if (http == NULL) {
		return;
	}
	for (uint32_t i = 0; i < http->count; i++) {
		MHD_stop_daemon(http->daemons[i]);
	}
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
	for (uint32_t i = 0; i < http->count; i++) {
		(void)MHD_run(http->daemons[i]);
	}
}

int http_timeout_ms(const struct http *http)
{
	int timeout_ms = -1;

	for (uint32_t i = 0; i < http->count; i++) {
		MHD_UNSIGNED_LONG_LONG ms;

		if (MHD_get_timeout(http->daemons[i], &ms) != MHD_YES) {
			continue;
		}
		if (timeout_ms < 0 || ms < (MHD_UNSIGNED_LONG_LONG)timeout_ms) {
			timeout_ms = ms > INT32_MAX ? INT32_MAX : (int)ms;
		}
	}
	return timeout_ms;
}

uint16_t http_port(const struct http *http)
{
	return http->port;
}
