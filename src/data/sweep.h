/*
 * What control has a worker do to many sessions at once: walks over all of them.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdint.h>

#include "model/slot.h"

struct worker;

/* Resets all sessions. */
void sweep_cut_all(struct worker *worker, enum close_reason reason);

/* Resets those on the slot; those that are only connecting to it try another backend. */
void sweep_cut(struct worker *worker, uint32_t slot, enum close_reason reason);

/* Resets those on the slot that have been without a byte for a second. */
void sweep_cut_idle(struct worker *worker, uint32_t slot, enum close_reason reason);

/* Timeouts have changed: has all sessions look at their deadlines, within a second. */
void sweep_review(struct worker *worker);
