/*
 * Commands on their way to the workers.
 *
 * A command goes to every worker's ring at once; what a full ring does not take waits here, in
 * order, and is tried again. A command that waits already is not queued twice, so the queue has
 * an upper bound: a cut of each slot, and one of each other kind.
 *
 * Threads: control alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/evidence.h"

struct shm;

struct outbox {
	struct shm *shm;         /* borrowed */
	const int *worker_fds;   /* borrowed: eventfd of each worker */
	struct command *waiting; /* owned; `limit` for each worker */
	uint32_t *counts;        /* owned; by worker */
	uint32_t limit;
};

/* Returns 0 or -ENOMEM. */
int outbox_init(struct outbox *outbox, struct shm *shm, const int *worker_fds);
void outbox_done(struct outbox *outbox);

/* To every worker, and wakes them. */
void outbox_post(struct outbox *outbox, const struct command *command);

/* Tries again what waits. Returns whether anything still does. */
bool outbox_flush(struct outbox *outbox);
