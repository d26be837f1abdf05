/*
 * The counters of one scrape: what the workers count, added up over all of them.
 *
 * Everything is read in one pass before a page is written, so that the series of one page belong
 * together. Memory that no worker has ever written to is not touched: a read would allocate it.
 *
 * Owner and threads: the caller's; any thread may read.
 */
#pragma once

#include <stdint.h>

#include "model/slot.h"

struct shm;

/*
 * Sums in the same form as the counters of one worker, so that they are read by the same names.
 * Entries are given densely: the counts are those of the entries in use.
 */
struct totals {
	uint32_t listener_count;
	uint32_t pool_count;
	uint32_t slot_count;
	struct listener_counters *listeners; /* owned, as the two below */
	struct pool_counters *pools;
	struct slot_counters *slots;
};

/* Returns 0 or -ENOMEM. */
int totals_read(const struct shm *shm, struct totals *ret_totals);

void totals_done(struct totals *totals);

/*
 * Sessions and connections that run now. What ended was read before what began, so the difference
 * is never negative.
 */
uint64_t totals_listener_active(const struct listener_counters *counters);
uint64_t totals_slot_active(const struct slot_counters *counters);
