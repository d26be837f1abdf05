/*
 * Where bytes wait that were consumed on one side and not yet handed over on the other: chunks of
 * shared memory for directions that are copied, pipes for those that are spliced.
 *
 * Both are pools of a worker, by index, and outlive the worker process with what is in them. At
 * most one of the two holds bytes of a direction at any time.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/session_record.h"

struct worker;

/* Whether a chunk can be had: asked before bytes are consumed that might have to wait. */
bool chunk_available(const struct worker *worker);

/* How many can be had. */
uint32_t chunks_available(const struct worker *worker);

/*
 * Keeps `length` bytes (1 to CHUNK_BYTES) of direction `from`, the first of which is at stream
 * position `position`. There must be a chunk: chunk_available().
 */
void chunk_fill(struct worker *worker, uint32_t index, enum side from, uint64_t position,
	const uint8_t *bytes, uint32_t length);

/* The bytes that wait, from stream position `position` on. */
const uint8_t *chunk_rest(
	const struct worker *worker, uint32_t index, enum side from, uint64_t position);

/* Gives the direction's chunk back, if it has one. */
void chunk_release(struct worker *worker, uint32_t index, enum side from);

/*
 * Gives the direction an empty pipe. `bulk` says that it is one between TCP sockets, of which only
 * so many may have a pipe. Returns false when none can be had now.
 */
bool pipe_take(struct worker *worker, uint32_t index, enum side from, bool bulk);

/*
 * Takes the direction's pipe back, if it has one. With `empty` it may be lent again; one with
 * bytes in it is closed with them.
 */
void pipe_give(struct worker *worker, uint32_t index, enum side from, bool bulk, bool empty);

/* Closes all spare pipes. */
void pipe_close_spares(struct worker *worker);
