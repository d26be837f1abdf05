/*
 * What workers tell control about backends, and control tells workers to do.
 *
 * Two rings (base/ring.h) per worker, in shared memory: nothing is allocated and nobody waits. A
 * full evidence ring loses the report, and control looks at the counters, which are exact in any
 * case. A full command ring makes control try again at its next turn.
 *
 * | ring     | producer      | consumer      |
 * |----------|---------------|---------------|
 * | evidence | the worker    | control       |
 * | commands | control       | the worker    |
 *
 * Each side wakes the other through an eventfd that it owns the write to; the rings do not know
 * about it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ring.h"
#include "model/limits.h"
#include "model/slot.h"

enum evidence_kind {
	EVIDENCE_FAILURE,  /* an attempt failed; `reason` says how */
	EVIDENCE_SUCCESS,  /* connected, and then the first byte or one second alive */
	EVIDENCE_FINISHED, /* the last session of a slot that is not healthy may have ended */
};

struct evidence {
	enum evidence_kind kind;
	enum failure_reason reason; /* of EVIDENCE_FAILURE; never FAILURE_RESOURCE */
	uint32_t slot;
	uint32_t generation; /* identity.used of the slot when the attempt began */
	uint64_t started_ns; /* monotonic: when the attempt began */
};

struct evidence_ring {
	struct ring ring;
	struct evidence entries[EVIDENCE_RING_SIZE];
};

enum command_kind {
	COMMAND_CUT_SLOT,       /* reset all sessions of slot `argument` */
	COMMAND_CUT_IDLE,       /* those of them that have been without a byte for a second */
	COMMAND_LISTENERS,      /* look at the listening sockets: some are new, some are retired */
	COMMAND_REVIEW,         /* timeouts have changed: look at the deadlines of all sessions */
	COMMAND_STOP_ACCEPTING, /* filter new SYNs, serve the queues, close the listeners */
	COMMAND_CUT_ALL,        /* reset every session: the drain deadline has passed */
	COMMAND_EXIT,           /* leave the thread; sessions that are left are reset */
	COMMAND_PARK,           /* leave the thread and all as it is: a successor goes on */
	COMMAND_KIND_COUNT,
};

struct command {
	enum command_kind kind;
	uint32_t argument;
	enum close_reason reason; /* for the cutting ones: CLOSE_DRAIN or CLOSE_KILLED */
};

struct command_ring {
	struct ring ring;
	struct command entries[COMMAND_RING_SIZE];
};

/* False when the ring is full. */
bool evidence_push(struct evidence_ring *ring, const struct evidence *evidence);

/* False when the ring is empty. */
bool evidence_pop(struct evidence_ring *ring, struct evidence *ret_evidence);

/* Whether reports were lost since the last call. */
bool evidence_overflowed(struct evidence_ring *ring);

bool command_push(struct command_ring *ring, const struct command *command);
bool command_pop(struct command_ring *ring, struct command *ret_command);
