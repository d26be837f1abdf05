/*
 * Where the admin socket is: opened by the balancer, found by `loble ctl`.
 *
 * The default place is a directory of ours, /run/loble for root, else $XDG_RUNTIME_DIR/loble, and
 * in it admin.sock. Where a live process has that, PID.sock beside it. Only the owner may connect.
 *
 * Owner and threads: the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/sockaddr.h"

enum { ADMIN_PATH_MAX = 108, ADMIN_FOUND_MAX = 32 };

struct admin_socket {
	int fd; /* owned, listening, non-blocking, close-on-exec; -1: there is none */
	char path[ADMIN_PATH_MAX];
	dev_t device; /* of the file, as the inode: another's is not removed */
	ino_t inode;
	char warning[ERROR_TEXT_MAX]; /* what the operator should know; empty: nothing */
};

/*
 * Opens the socket at `path`, or with NULL in the default place. `user` (NULL: stay who we are) is
 * who we are about to become and who is to own it. A given path that does not work is an error: a
 * negative errno with `err` filled in. In the default place that is a warning, and no socket.
 */
int admin_socket_open(
	const char *path, const char *user, struct admin_socket *ret_socket, struct error *err);

/* Closes it and removes its file. */
void admin_socket_close(struct admin_socket *socket);

/* What is in the default places. */
struct admin_found {
	uint32_t count;
	char paths[ADMIN_FOUND_MAX][ADMIN_PATH_MAX]; /* live ones that we may use */
	char refused[ADMIN_PATH_MAX];                /* one that we may not; empty: none */
};

void admin_socket_find(struct admin_found *ret_found);
