#include <stdatomic.h>
#include <stddef.h>

#include "balance/algorithms.h"
#include "balance/schedule.h"
#include "model/snapshot.h"

static const void *prepare(const struct snapshot_pool *pool, struct arena *arena)
{
	return schedule_build(pool, arena);
}

/*
 * Takes the pool's next turn. Relaxed: the order of the additions to this one number is all that
 * matters, and nothing is published by it.
 */
static uint32_t next_turn(const struct schedule *schedule, const struct pick *pick)
{
	const uint64_t turn = atomic_fetch_add_explicit(pick->turn, 1, memory_order_relaxed);

	return schedule->entries[turn % schedule->length];
}

/*
 * A turn that falls on a backend which is tried or full is given up, and the next one is taken
 * from the shared counter. Walking on from the same turn instead would give a dead backend's
 * neighbour both its own sessions and all of the dead one's.
 */
static int pick_next(const struct snapshot_pool *pool, const struct pick *pick)
{
	const struct schedule *schedule = pool->schedule;

	if (schedule->length == 0) {
		return BALANCE_NONE;
	}
	for (int draw = 0; draw < BALANCE_DRAWS_MAX; draw++) {
		const uint32_t index = next_turn(schedule, pick);

		if (pick_allows(pick, &pool->backends[index])) {
			return (int)index;
		}
	}
	return pick_among_left(pool, pick);
}

const struct balance_algorithm balance_round_robin = {
	.name = "round_robin",
	.prepare = prepare,
	.pick = pick_next,
};
