/*
 * The data plane as a whole: all workers of the process, and what they are given.
 *
 * Owner and thread: the first thread.
 */
#pragma once

#include <stdint.h>

#include "data/worker.h"
#include "os/steering.h"

struct access_ring;
struct claims;
struct config;
struct error;

struct plane {
	uint32_t worker_count;
	uint32_t started;
	bool inherits;             /* the sessions of a dead worker process */
	int control_fd;            /* owned: workers wake control through it */
	int wake_fds[WORKERS_MAX]; /* owned: control wakes a worker */
	struct worker *workers[WORKERS_MAX];
	struct access_ring *access[WORKERS_MAX]; /* owned */
	struct steering steering;                /* owned mapping; without entries: none */
	int batch_error; /* errno of what keeps small messages from sharing system calls; 0 */
};

/*
 * Makes the workers; each takes the listening sockets of its table. Returns 0 or a negative errno
 * with nothing left behind but those that no worker has taken. One that inherits takes nothing
 * apart when this or the start fails: the process has to end at once, and the next one takes over.
 */
int plane_create(const struct config *config, struct shm *shm, const struct snapshot_store *store,
	const struct claims *claims, struct plane *ret_plane, struct error *err);

/* Starts their threads. When one fails, those that run are told to exit. */
int plane_start(struct plane *plane, struct shm *shm, struct error *err);

/* Waits for all threads: they have been told to exit. */
void plane_join(struct plane *plane);

/*
 * Has the end of the process reset the sessions of the workers that have not left: truncated must
 * not look complete.
 */
void plane_reset_sessions(const struct shm *shm);

void plane_free(struct plane *plane);
