/*
 * The paths under /v1/: what runs, as JSON, for `loble ctl` and for scripts.
 *
 * A command is a row of the table in api.c. What reads, reads shared memory and the current
 * snapshot and disturbs nobody. What changes something is a POST, and a request to control.
 *
 * Threads: the admin thread, online as a reader of snapshots.
 */
#pragma once

#include "observe/route.h"

struct http;
struct request_box;
struct shm;
struct snapshot_store;

struct api {
	const struct shm *shm;              /* borrowed */
	const struct snapshot_store *store; /* borrowed */
	const char *version;                /* borrowed */
	struct request_box *requests;       /* borrowed: what changes something goes there */
	struct http *http;                  /* borrowed: whose clients wait for the answers */
};

struct route_table api_routes(struct api *api);

/* Hands the answers that have come to those who wait. Before http_run() of the same turn. */
void api_collect(struct api *api);
