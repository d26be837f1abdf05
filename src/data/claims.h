/*
 * Which descriptors of a worker process that has died belong to what.
 *
 * All of its descriptors live on in the table that it shared. Each is claimed by one record in
 * shared memory at most: by the listening socket, session, pipe or epoll that it belongs to. A
 * record that claims what another one claims is damaged, and so is one whose check word is wrong:
 * it is forgotten. What nobody claims is closed, with a reset where a peer could take a plain
 * close for a complete end; a client that had been accepted and not yet recorded is kept.
 *
 * Threads: the first one, before any other exists.
 */
#pragma once

#include <stdint.h>

#include "data/worker.h"
#include "model/shm.h"

struct error;

struct claims {
	uint32_t orphan_count[WORKERS_MAX];
	struct orphan *orphans[WORKERS_MAX]; /* owned */
};

/*
 * Frees all records that are not valid and closes all descriptors that belong to nothing but the
 * `keep_count` ones in `keep`. Nothing else may have been opened by this process before. Returns 0
 * or a negative errno.
 */
int claims_take(struct shm *shm, const int *keep, uint32_t keep_count, struct claims *ret_claims,
	struct error *err);

void claims_done(struct claims *claims);
