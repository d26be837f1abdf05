/*
 * What the shared memory of this program consists of: the tables that layout.h describes.
 *
 * One row for each part, one for each field of each structure that lies in the memory. Whoever
 * adds a member to such a structure adds its row with the next free id, and counts up
 * RECORD_VERSION; whoever takes one out strikes its row and leaves the id in the list of the ids
 * that are spent. docs/survival.md has the whole rule; shm_layout_test.c finds a member without
 * a row.
 *
 * Threads: constants, and pure functions of their arguments.
 */
#pragma once

#include <stdint.h>

#include "model/layout.h"

struct shm;

/* Ids of the parts: they stand in the memory of running processes, and are never used again. */
enum shm_part {
	PART_HEADER = 1,
	PART_LISTENERS = 2,
	PART_POOLS = 3,
	PART_SLOTS = 4,
	PART_EVENT_RING = 5, /* without its entries */
	PART_EVENTS = 6,
	PART_WORKERS = 7,
	PART_EVIDENCE = 8,
	PART_COMMANDS = 9,
	PART_LISTENER_COUNTERS = 10,
	PART_POOL_COUNTERS = 11,
	PART_SLOT_COUNTERS = 12,
	PART_SESSIONS = 13,
	PART_JOURNALS = 14,
	PART_PIPES = 15,
	PART_CHUNKS = 16,
	PART_RECEIVE_BUFFERS = 17,
	PART_CHUNK_BYTES = 18,
	PART_CONFIG_TEXT = 19,
	PART_LISTEN_RECORDS = 20,
	PART_LANES = 21, /* journals, one for each lane */
	PART_LANE_BYTES = 22,
};

/* The number of each field that only the alternate arrangement has (alternate.h). */
enum { FIELD_MARK = 1000 };

/* The rows, in the order of their ids. */
extern const struct layout_field shm_fields[];
extern const uint32_t shm_field_count;

/* The layout of a memory for so many workers of so many sessions each. */
void shm_layout(uint32_t workers, uint32_t sessions, struct layout *ret_layout);

/* Points the members of *shm into the memory at `base`, which is of `layout`. */
void shm_place(struct shm *shm, uint8_t *base, const struct layout *layout);
