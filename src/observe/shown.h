/*
 * Backends as operators see them: one word for health and the operator's own word together.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>

#include "model/slot.h"

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

/* A backend that no configuration names any more is shown until its last session has ended. */
bool shown_at_all(const struct slot *slot, const struct slot_counters *counters);
