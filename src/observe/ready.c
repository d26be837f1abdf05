#include "observe/ready.h"

#include <stdbool.h>
#include <stddef.h>

#include "model/shm.h"
#include "model/snapshot.h"

/* Those of the snapshot: a listener that a reload has removed keeps its entry and is closed. */
static bool listeners_are_open(const struct shm *shm, const struct snapshot *snapshot)
{
	bool any = false;

	for (uint32_t i = 0; i < snapshot->listener_limit; i++) {
		const struct snapshot_listener *listener = snapshot_listener(snapshot, i);

		if (listener == NULL || listener->leaving) {
			continue;
		}
		if (atomic_load_explicit(&shm->listeners[i].open, memory_order_acquire) == 0) {
			return false;
		}
		any = true;
	}
	return any;
}

/* Backends that are tried only because none is healthy do not count. */
static bool backend_is_usable(const struct snapshot *snapshot)
{
	for (uint32_t i = 0; i < snapshot->listener_limit; i++) {
		const struct snapshot_listener *listener = snapshot_listener(snapshot, i);
		const struct snapshot_pool *pool = listener == NULL || listener->leaving
			? NULL
			: snapshot_pool(snapshot, listener->pool);

		if (pool != NULL && pool->backend_count > 0 && !pool->fallback) {
			return true;
		}
	}
	return false;
}

const char *ready_refusal(const struct shm *shm, const struct snapshot *snapshot)
{
	switch ((enum process_phase)atomic_load_explicit(
		&shm->header->process.phase, memory_order_acquire)) {
	case PHASE_STARTING:
		return "starting\n";
	case PHASE_LAME_DUCK:
	case PHASE_DRAINING:
	case PHASE_STOPPED:
		return "stopping\n";
	case PHASE_RUNNING:
		break;
	}
	if (snapshot == NULL) {
		return "starting\n";
	}
	if (!listeners_are_open(shm, snapshot)) {
		return "a listener is not open\n";
	}
	return backend_is_usable(snapshot) ? NULL : "no backend is usable\n";
}
