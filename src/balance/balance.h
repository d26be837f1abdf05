/*
 * Picking one backend of a pool.
 *
 * An algorithm is a row of a table: what it prepares once per snapshot, and how it picks. The
 * pick is on the way of each session: it allocates nothing, takes no lock, and costs the same
 * whether the pool has two backends or a thousand.
 *
 * Threads: prepare by control, on a snapshot that nobody else sees yet; pick by any worker.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct arena;
struct rng;
struct snapshot_pool;

enum { PICK_TRIED_MAX = 16, BALANCE_NONE = -1 };

/* What one session brings to its picks. */
struct pick {
	_Atomic uint64_t *turn; /* borrowed: the pool's, shared by all workers and snapshots */
	struct rng *rng;        /* borrowed: the worker's */
	/* Slots that this session has tried in this pass; they are not picked again. */
	const uint32_t *tried;
	uint32_t tried_count;
	/* Whether a slot may take no further session now; NULL when the pool has no limits. */
	bool (*is_full)(const void *context, uint32_t slot, uint32_t max_connections);
	const void *context;
};

struct balance_algorithm {
	const char *name; /* as in the configuration */
	/*
	 * Builds the schedule over pool->backends (at least one) in the arena of the snapshot.
	 * Returns it, or NULL when there is no memory.
	 */
	const void *(*prepare)(const struct snapshot_pool *pool, struct arena *arena);
	/* An index into pool->backends, or BALANCE_NONE when each is tried or full. */
	int (*pick)(const struct snapshot_pool *pool, const struct pick *pick);
};

/* NULL when there is no algorithm of that name. */
const struct balance_algorithm *balance_find(const char *name);

/* pool->algorithm's pick; BALANCE_NONE also when the pool has no backend. */
int balance_pick(const struct snapshot_pool *pool, const struct pick *pick);
