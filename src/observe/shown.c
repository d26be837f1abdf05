#include "observe/shown.h"

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
