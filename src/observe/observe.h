/*
 * Everything that shows, on one thread: the HTTP server of /metrics, /healthz and /readyz, that of
 * the admin socket, and the lines of the access log.
 *
 * The admin thread reads shared memory and the current snapshot and writes to neither. It is a
 * registered reader of snapshots, online only while it works. Nothing that an HTTP client does
 * reaches another thread.
 *
 * Owner:    the first thread, from observe_start() to observe_stop().
 * Threads:  all functions by the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct access_ring;
struct error;
struct log_writer;
struct observe;
struct request_box;
struct shm;
struct snapshot_store;

/* What is borrowed must outlive the thread: observe_stop() first, then the rest. */
struct observe_setup {
	struct shm *shm;                    /* borrowed */
	const struct snapshot_store *store; /* borrowed */
	const char *version;                /* borrowed: of the program, for loble_build_info */

	bool serve_metrics;
	struct address metrics_address; /* any kind; a name is looked up in observe_start() */
	/*
	 * Metrics that cannot be served are no error: the thread tries again each second, and
	 * looks up a name. For a successor, who has sessions to go on with.
	 */
	bool makes_do;

	/*
	 * The admin socket: listening, non-blocking; -1: none. Borrowed. It serves the pages too,
	 * and /v1/, which the address of the metrics does not.
	 */
	int admin_fd;
	struct request_box
		*requests; /* borrowed: what it is told to change; with an admin socket */

	/*
	 * Of each worker, shm->workers of them; NULL: never an access log. The array is borrowed
	 * too. While the snapshot says that there is none, they are looked at only when something
	 * else wakes the thread.
	 */
	struct access_ring *const *access_rings;
	struct log_writer *access_writer; /* borrowed: where the lines go; may be the log's own */
};

/*
 * Binds the address and starts the thread. With no metrics, admin socket or access log there is
 * nothing to do and *ret_observe is NULL. Returns 0, or a negative errno with `err` filled in and
 * nothing left behind.
 */
int observe_start(
	const struct observe_setup *setup, struct observe **ret_observe, struct error *err);

/* The snapshot may say otherwise than before whether there is an access log. NULL is allowed. */
void observe_wake(struct observe *observe);

/*
 * A reload: the metrics are served at another address, or not any more, or from now on. What can
 * fail is done first, by the first of the three; then one of the others follows. Nothing is done
 * where nothing changes. All allow NULL.
 */
int observe_prepare_metrics(
	struct observe *observe, bool serve, const struct address *address, struct error *err);
void observe_commit_metrics(struct observe *observe);
void observe_abandon_metrics(struct observe *observe);

/* The port that is served, in host byte order: for an address with port 0. 0: none. */
uint16_t observe_port(const struct observe *observe);

/*
 * Writes the access log's last lines, ends the thread and closes all its sockets. The workers must
 * have stopped before, or records of the last moment are lost. NULL is allowed.
 */
void observe_stop(struct observe *observe);
