/*
 * What operators see: of a backend one word for health and their own word together.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>

#include "model/slot.h"

struct shm;
struct totals;

/* The states that an operator sees; maintenance is one of them, and wins. */
enum shown_state {
	SHOWN_HEALTHY,
	SHOWN_DRAINING,
	SHOWN_UNHEALTHY,
	SHOWN_MAINTENANCE,
	SHOWN_COUNT,
};

const char *shown_state_name(enum shown_state state);

enum shown_state shown_state_of(const struct slot *slot);

/* What no configuration names any more is shown until its last session has ended. */
bool shown_at_all(const struct slot *slot, const struct slot_counters *counters);
bool shown_listener(const struct listener_entry *entry, const struct listener_counters *counters);
bool shown_pool(const struct shm *shm, const struct totals *totals, uint32_t pool);
