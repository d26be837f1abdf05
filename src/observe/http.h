/*
 * The HTTP server of /metrics, /healthz and /readyz: libmicrohttpd, driven by our epoll.
 *
 * Connections are accepted here and handed to the library, since it would spin where accept()
 * fails for want of descriptors. A client that dribbles, floods or never reads costs one of a
 * bounded number of connections for a bounded time; pages in memory are bounded too.
 *
 * Owner and threads: made and freed by the first thread; everything else on the admin thread.
 */
#pragma once

#include <stdint.h>

#include "base/sockaddr.h"
#include "observe/metrics.h"

struct error;
struct http;
struct snapshot_store;

struct http_setup {
	struct address
		address; /* any kind; a name is looked up; ADDRESS_UNSET: http_adopt() only */
	struct metrics_source source;       /* what it points to is borrowed */
	const struct snapshot_store *store; /* borrowed */
};

/* Binds. Returns 0 or a negative errno with nothing left behind. */
int http_create(const struct http_setup *setup, struct http **ret_http, struct error *err);

/* Closes all connections. NULL is allowed. */
void http_free(struct http *http);

/* A descriptor that is readable when http_run() has something to do. */
int http_fd(const struct http *http);

/* Serves what is there. The calling thread must be an online reader of snapshots. */
void http_run(struct http *http);

/* For how long http_run() need not be called without an event: milliseconds, -1 for ever. */
int http_timeout_ms(const struct http *http);

/* Serves a connected stream socket, non-blocking; takes it in any case. */
void http_adopt(struct http *http, int fd, const struct sockaddr_any *address);

/* Connections that are open now. */
uint32_t http_clients(const struct http *http);

/* The port that is served, in host byte order. */
uint16_t http_port(const struct http *http);
