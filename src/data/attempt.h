/*
 * What a session needs only until it is open: where it has tried, and since when.
 *
 * Taken from the worker's pool at accept and given back when the session opens or ends.
 * Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "balance/balance.h"

struct attempt {
	uint64_t started_ns; /* of the connect that is under way */
	uint64_t limit_ns;   /* when connect_total is over */
	uint32_t next;       /* in the worker's free list */
	uint32_t tried_count;
	uint32_t tried[PICK_TRIED_MAX]; /* slots, in this pass */
	uint32_t reported_count;
	uint32_t reported[PICK_TRIED_MAX]; /* slots that this session has reported as failed */
	bool may_be_self; /* the socket that connects; see struct snapshot_backend */
};
