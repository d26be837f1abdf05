/*
 * An HTTP server over tables of routes: libmicrohttpd, driven by our epoll.
 *
 * Connections are accepted here and handed to the library, since it would spin where accept()
 * fails for want of descriptors. A client that dribbles, floods or never reads costs one of a
 * bounded number of connections for a bounded time; pages in memory are bounded too. A request
 * whose answer somebody else makes sleeps until http_answer().
 *
 * Owner and threads: made and freed by the first thread; everything else on the admin thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "observe/route.h"

struct error;
struct http;

struct http_setup {
	const char *name; /* a constant, in front of what goes wrong */
	/* Any kind; a name is looked up; ADDRESS_UNSET: http_adopt() only, or listen_fd. */
	struct address address;
	bool borrow_fd; /* listen_fd is used: bound, listening and non-blocking; borrowed */
	int listen_fd;
	struct site site; /* the contexts of its tables are borrowed */
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

/*
 * The answer to a request that was answered HTTP_LATER; taken in any case. Nothing happens when
 * the request is no longer there. Before http_run() of the same turn.
 */
void http_answer(struct http *http, uint64_t ticket, struct answer *answer);

/* Connections that are open now. */
uint32_t http_clients(const struct http *http);

/* The port that is served, in host byte order. */
uint16_t http_port(const struct http *http);
