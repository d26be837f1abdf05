/*
 * Events as log lines: each change of state, with both states, the reason and the numbers.
 *
 * Threads: control alone.
 */
#pragma once

#include "model/event.h"

/* An event_listener: logs the event. `context` is unused. */
void event_line(const struct event *event, void *context);
