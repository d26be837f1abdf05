/*
 * Moves small messages of many sessions at once: all are received with one system call, and all
 * are sent with another.
 *
 * To enter the kernel and to come back costs some tenth of what a small message costs there; with
 * many sessions ready in one turn that is saved. A direction that brings more than a lane holds, or
 * anything but plain bytes, goes its own way (pump.h). Meanwhile the bytes lie in lanes: small
 * buffers in shared memory, each with a journal of its own, so a death in the middle loses none.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker;

/*
 * Whether the session's next bytes go with the others: then pump_batch_run() continues the session,
 * at the latest in this turn. Else the caller does.
 */
bool pump_batch_add(struct worker *worker, uint32_t index);

/* Moves what was added, and goes on with each of the sessions. */
void pump_batch_run(struct worker *worker);
