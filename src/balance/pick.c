#include <stddef.h>

#include "balance/algorithms.h"
#include "base/rng.h"
#include "model/snapshot.h"

static bool was_tried(const struct pick *pick, uint32_t slot)
{
	for (uint32_t i = 0; i < pick->tried_count; i++) {
		if (pick->tried[i] == slot) {
			return true;
		}
	}
	return false;
}

bool pick_allows(const struct pick *pick, const struct snapshot_backend *backend)
{
	if (backend->weight == 0 || was_tried(pick, backend->slot)) {
		return false;
	}
	return backend->max_connections == 0 || pick->is_full == NULL ||
		!pick->is_full(pick->context, backend->slot, backend->max_connections);
}

/*
 * Sampling from a stream (Chao, 1982): the one in hand is replaced by the next with the next
 * one's share of the weight so far. Each backend is asked only once, so that one which fills up
 * in the meantime cannot make the sum of the weights and the choice disagree.
 */
int pick_among_left(const struct snapshot_pool *pool, const struct pick *pick)
{
	uint32_t sum = 0;
	int chosen = BALANCE_NONE;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const struct snapshot_backend *backend = &pool->backends[i];

		if (!pick_allows(pick, backend)) {
			continue;
		}
		sum += backend->weight;
		if (rng_below(pick->rng, sum) < backend->weight) {
			chosen = (int)i;
		}
	}
	return chosen;
}
