/*
 * The paths under /v1/: what runs, as JSON, for `loble ctl` and for scripts.
 *
 * A command is a row of the table in api.c. What reads, reads shared memory and the current
 * snapshot and disturbs nobody.
 *
 * Threads: the admin thread, online as a reader of snapshots.
 */
#pragma once

#include "observe/route.h"

struct shm;
struct snapshot_store;

struct api {
	const struct shm *shm;              /* borrowed */
	const struct snapshot_store *store; /* borrowed */
	const char *version;                /* borrowed */
};

struct route_table api_routes(struct api *api);
