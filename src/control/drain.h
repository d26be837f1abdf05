/*
 * The end of the time that the sessions of a backend have which was taken out by an operator or a
 * reload (timeouts.backend_drain): idle ones are cut in its last tenth, the rest at its end.
 *
 * When it ends stands in the slot (model/slot.h), so a successor of the process keeps to it.
 *
 * Threads: control alone.
 */
#pragma once

#include <stdint.h>

struct outbox;
struct shm;

/* Commands what is due. Returns when to be called again; UINT64_MAX: not before a change. */
uint64_t drain_run(struct shm *shm, struct outbox *outbox, uint64_t now_ns);
