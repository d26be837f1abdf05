/*
 * The listening sockets of one configured address: one, or two for ":9090".
 *
 * Owner and threads: who opened it; one thread at a time.
 */
#pragma once

#include <stdint.h>

#include "base/sockaddr.h"

struct error;

enum { ENDPOINT_SOCKETS_MAX = 2 };

struct endpoint {
	uint32_t count;
	int fds[ENDPOINT_SOCKETS_MAX]; /* owned, close-on-exec, non-blocking */
	uint16_t port;                 /* that was bound, in host byte order; 0: none */
	struct sockaddr_any local;     /* of a UNIX socket with a path: removed at the end */
};

/*
 * Binds and listens; a name is looked up first, which may take its time. Returns 0 or a negative
 * errno with `err` filled in and nothing left open.
 */
int endpoint_open(const struct address *address, struct endpoint *ret_endpoint, struct error *err);

/* Closes the sockets and removes the file of a UNIX socket. */
void endpoint_close(struct endpoint *endpoint);

/* The next connection, non-blocking and close-on-exec, or a negative errno; -EAGAIN: none. */
int endpoint_accept(
	const struct endpoint *endpoint, uint32_t index, struct sockaddr_any *ret_address);
