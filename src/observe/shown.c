#include "observe/shown.h"

#include "model/shm.h"
#include "observe/totals.h"

static const char *const shown_names[SHOWN_COUNT] = {
	[SHOWN_HEALTHY] = "healthy",
	[SHOWN_DRAINING] = "draining",
	[SHOWN_UNHEALTHY] = "unhealthy",
	[SHOWN_MAINTENANCE] = "maintenance",
};

const char *shown_state_name(enum shown_state state)
{
	return shown_names[state];
}

enum shown_state shown_state_of(const struct slot *slot)
{
	if (atomic_load_explicit(&slot->admin, memory_order_acquire) == ADMIN_MAINTENANCE) {
		return SHOWN_MAINTENANCE;
	}
	switch ((enum health_state)atomic_load_explicit(&slot->health, memory_order_acquire)) {
	case HEALTH_HEALTHY:
		return SHOWN_HEALTHY;
	case HEALTH_UNSET: /* no longer configured, and its last sessions are running */
	case HEALTH_DRAINING:
		return SHOWN_DRAINING;
	case HEALTH_UNHEALTHY:
	case HEALTH_STATE_COUNT:
		break;
	}
	return SHOWN_UNHEALTHY;
}

bool shown_at_all(const struct slot *slot, const struct slot_counters *counters)
{
	return atomic_load_explicit(&slot->health, memory_order_acquire) != HEALTH_UNSET ||
		totals_slot_active(counters) > 0;
}

static bool is_gone(const struct identity *identity)
{
	return atomic_load_explicit(&identity->gone, memory_order_acquire) != 0;
}

bool shown_listener(const struct listener_entry *entry, const struct listener_counters *counters)
{
	return !is_gone(&entry->identity) || totals_listener_active(counters) > 0;
}

bool shown_pool(const struct shm *shm, const struct totals *totals, uint32_t pool)
{
	if (!is_gone(&shm->pools[pool].identity)) {
		return true;
	}
	for (uint32_t i = 0; i < totals->slot_count; i++) {
		if (shm->slots[i].identity.parent == pool &&
			totals_slot_active(&totals->slots[i]) > 0) {
			return true;
		}
	}
	return false;
}
