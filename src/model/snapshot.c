#include "model/snapshot.h"

#include <assert.h>
#include <stddef.h>

#include "base/arena.h"
#include "model/rcu.h"

void snapshot_store_init(struct snapshot_store *store)
{
	*store = (struct snapshot_store){.current = NULL};
}

void snapshot_store_done(struct snapshot_store *store)
{
	struct snapshot *current = rcu_swap(&store->current, NULL);

	snapshot_free(current);
	while (store->retired != NULL) {
		struct snapshot *retired = store->retired;

		store->retired = retired->older;
		snapshot_free(retired);
	}
}

const struct snapshot *snapshot_current(const struct snapshot_store *store)
{
	return rcu_read(&store->current);
}

void snapshot_publish(struct snapshot_store *store, struct snapshot *next)
{
	struct snapshot *previous = rcu_swap(&store->current, next);

	if (previous != NULL) {
		assert(next->version > previous->version);
		previous->older = store->retired;
		store->retired = previous;
	}
}

void snapshot_reclaim(struct snapshot_store *store)
{
	if (store->retired == NULL) {
		return;
	}
	rcu_wait();
	while (store->retired != NULL) {
		struct snapshot *retired = store->retired;

		store->retired = retired->older;
		snapshot_free(retired);
	}
}

const struct snapshot_pool *snapshot_pool(const struct snapshot *snapshot, uint32_t id)
{
	return id < snapshot->pool_limit ? snapshot->pools[id] : NULL;
}

const struct snapshot_listener *snapshot_listener(const struct snapshot *snapshot, uint32_t id)
{
	return id < snapshot->listener_limit ? snapshot->listeners[id] : NULL;
}

void snapshot_free(struct snapshot *snapshot)
{
	if (snapshot != NULL) {
		arena_free(snapshot->arena); /* the snapshot itself lies in it */
	}
}
