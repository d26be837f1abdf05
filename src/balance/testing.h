/*
 * Pools for the unit tests of balance/. Everything lives in the arena that is passed in, and
 * belongs to the thread of the test.
 */
#pragma once

#include <stdatomic.h>

#include "balance/balance.h"
#include "base/arena.h"
#include "base/rng.h"
#include "base/testing.h"
#include "model/snapshot.h"

enum { TEST_SLOT_FIRST = 100 }; /* the slot of backend i is this + i */

/* The backends get no limit; a test may write to them before it picks. */
static inline struct snapshot_backend *test_backends(
	struct arena *arena, const uint32_t *weights, uint32_t count)
{
	struct snapshot_backend *backends = arena_alloc_array(arena, count, sizeof *backends);

	assert_non_null(backends);
	for (uint32_t i = 0; i < count; i++) {
		backends[i].slot = TEST_SLOT_FIRST + i;
		backends[i].weight = weights[i];
	}
	return backends;
}

static inline struct snapshot_pool test_pool(struct arena *arena, const char *algorithm,
	const struct snapshot_backend *backends, uint32_t count)
{
	struct snapshot_pool pool = {
		.name = "test",
		.algorithm = balance_find(algorithm),
		.backend_count = count,
		.backends = backends,
	};

	assert_non_null(pool.algorithm);
	pool.schedule = pool.algorithm->prepare(&pool, arena);
	assert_non_null(pool.schedule);
	return pool;
}
