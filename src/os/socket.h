/*
 * Sockets: made, bound, connected and ended. What moves bytes is in data/.
 *
 * Session sockets and listeners are never close-on-exec: a new worker process or a new binary
 * takes them over. Everything else that opens a descriptor uses close-on-exec.
 *
 * Threads: any; a descriptor belongs to whoever asked for it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct error;

struct listen_spec {
	struct sockaddr_any address;
	int backlog;           /* > 0 */
	bool share_port;       /* SO_REUSEPORT: one socket per worker on the same address */
	bool freebind;         /* the address need not be there yet */
	uint32_t mode;         /* permission bits of a UNIX socket with a path */
	uint32_t keepalive_s;  /* idle time before the first keepalive probe; 0: off */
	uint64_t max_buffered; /* bytes for each kernel buffer; 0: the kernel's choice */
};

/*
 * Opens a non-blocking listening socket; accepted sockets inherit its options (no delay, keepalive,
 * urgent data in line, buffer sizes). A stale UNIX socket is replaced, a live one is EADDRINUSE.
 * Returns 0, or a negative errno with `err` filled in and nothing left open. On success the caller
 * owns *ret_fd.
 */
int socket_listen(const struct listen_spec *spec, int *ret_fd, struct error *err);

/*
 * Gives an open listening socket other values of backlog, keepalive, buffers and mode. What it has
 * accepted already keeps its own. Returns 0 or a negative errno with part of it done.
 */
int socket_adjust(int fd, const struct listen_spec *spec);

/*
 * Whether nobody listens on the address yet: binds without SO_REUSEPORT and closes again. Returns
 * 0 or a negative errno with `err` filled in. UNIX sockets are always 0 here.
 */
int socket_prove_free(const struct listen_spec *spec, struct error *err);

/*
 * Removes the file of a UNIX socket that nobody accepts on any more; never a live one, nor another
 * kind of file.
 */
void socket_remove_stale(const struct sockaddr_any *address);

/* Whether there is no file any more that would lead to a UNIX socket with a path. */
bool socket_file_is_gone(const struct sockaddr_any *address);

/*
 * A non-blocking socket to connect to `address` with, with kernel buffers of `max_buffered` bytes
 * each (0: the kernel's choice) and urgent data in line. Returns 0 (the caller owns *ret_fd) or a
 * negative errno with nothing left open.
 */
int socket_open(const struct sockaddr_any *address, uint64_t max_buffered, int *ret_fd);

/* Starts to connect. Returns 0 when that is done or under way, or a negative errno. */
int socket_connect(int fd, const struct sockaddr_any *address);

/* Whether the socket has a peer: not when it was never connected, or is not yet. */
bool socket_is_connected(int fd);

/*
 * What a connected TCP socket is given when it is worth a system call. Small writes go out while
 * others are not acknowledged yet; probes find a peer that has vanished after so long a silence
 * (0: never). Return 0 or a negative errno.
 */
int socket_send_at_once(int fd);
int socket_keep_alive(int fd, uint32_t idle_s);

/*
 * Whether a TCP socket is connected with itself. The kernel may choose the very port that it is to
 * connect to as our own one, where nobody listens there, and two SYNs that cross are a handshake.
 */
bool socket_is_self(int fd);

/*
 * Whether connects to that address start from the same one: only then may a socket meet itself.
 * True also where it cannot be told.
 */
bool socket_starts_there(const struct sockaddr_any *address);

/* What became of a connect: 0 or a positive errno. Consumes the pending error. */
int socket_take_error(int fd);

/* Makes the next close() of this socket send a reset. */
void socket_reset_on_close(int fd);
bool socket_resets_on_close(int fd);

/*
 * From now on no new connection enters the queue of the listening socket; those whose handshake
 * is under way still do. Returns 0 or a negative errno.
 */
int socket_refuse_new(int fd, bool local);

void socket_close(int fd);

/* Ends both with one system call where the numbers are neighbours. */
void socket_close_pair(int a, int b);

/* Bytes handed over that the far side has not acknowledged; 0 when it cannot be told. */
uint32_t socket_unacknowledged(int fd);

/* Bytes that have come and were not read yet, also after a reset; 0 when it cannot be told. */
uint32_t socket_unread(int fd);

/* SO_COOKIE: never given twice while the machine is up; 0 when it cannot be had. */
uint64_t socket_cookie(int fd);
