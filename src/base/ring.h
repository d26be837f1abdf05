/*
 * A ring of equal entries from one producer to one consumer: fixed memory, and nobody waits.
 *
 * It holds no pointer, and zeroed memory is an empty ring; so it may lie in shared memory and
 * outlive both of its users. Whoever embeds it has the entries beside it, a power of two of them,
 * and gives their place with each call. An entry that finds no room is dropped and counted.
 *
 * `tail` is stored with release by the producer after the entry and loaded with acquire by the
 * consumer before it; `head` the same the other way round. Both run on past 2^32, which is why the
 * number of entries is a power of two. `dropped` is stored with release as well: who hears of a
 * loss sees what the producer did before.
 *
 * Owner:   whoever embeds it.
 * Threads: ring_push() by the producer, ring_pop() and ring_lost() by the consumer, ring_dropped()
 *          by any.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"

struct ring {
	_Alignas(CACHE_LINE) _Atomic uint32_t tail; /* the producer's: next to write */
	_Atomic uint64_t dropped;                   /* the producer's: entries without room */
	_Alignas(CACHE_LINE) _Atomic uint32_t head; /* the consumer's: next to read */
	uint64_t noticed;                           /* the consumer's: of `dropped` */
};

/* Where the entries of a ring are. */
struct ring_entries {
	void *first;    /* borrowed: beside the ring */
	uint32_t count; /* a power of two */
	uint32_t bytes; /* of each */
};

/* Takes a copy of *entry; false when the ring is full. */
bool ring_push(struct ring *ring, struct ring_entries entries, const void *entry);

/* Copies the oldest entry to *ret_entry and forgets it; false when there is none. */
bool ring_pop(struct ring *ring, struct ring_entries entries, void *ret_entry);

/* How many entries were dropped since the last call. */
uint64_t ring_lost(struct ring *ring);

/* How many were dropped in all. */
uint64_t ring_dropped(const struct ring *ring);
