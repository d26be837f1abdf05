#include "model/shm_layout.h"

#include <assert.h>
#include <string.h>

#include "base/array.h"
#include "model/shm.h"

enum { REGION_ALIGNMENT = 4096 };

/* Of which there is one entry, or a number for each worker, or one for each session. */
enum scale { ONCE, WORKERS, SESSIONS };

struct part_row {
	enum shm_part id;
	enum scale scale;
	size_t member; /* offset in struct shm of the pointer to it */
	size_t inside; /* 0, or the offset of the part in what the row above takes the room for */
	size_t stride;
	size_t room; /* of an entry, if larger than its stride */
	uint32_t entries;
	enum shm_part guard_part;
	uint32_t guard_field;
};

#define WHERE(pointer) .member = offsetof(struct shm, pointer)
#define ENTRY(pointer) WHERE(pointer), .stride = sizeof *((struct shm *)NULL)->pointer

static const struct part_row part_rows[] = {
	{PART_HEADER, ONCE, ENTRY(header), .entries = 1},
	{PART_LISTENERS, ONCE, ENTRY(listeners), .entries = LISTENERS_MAX},
	{PART_POOLS, ONCE, ENTRY(pools), .entries = POOLS_MAX},
	{PART_SLOTS, ONCE, ENTRY(slots), .entries = SLOTS_MAX},
	{PART_EVENT_RING, ONCE, WHERE(events), .stride = offsetof(struct event_ring, entries),
		.room = sizeof(struct event_ring), .entries = 1},
	{PART_EVENTS, ONCE, WHERE(events), .inside = offsetof(struct event_ring, entries),
		.stride = sizeof(struct event), .entries = EVENT_RING_SIZE},
	{PART_WORKERS, WORKERS, ENTRY(worker_states), .entries = 1},
	{PART_EVIDENCE, WORKERS, ENTRY(evidence), .entries = 1},
	{PART_COMMANDS, WORKERS, ENTRY(commands), .entries = 1},
	{PART_LISTENER_COUNTERS, WORKERS, ENTRY(listener_counters), .entries = LISTENERS_MAX},
	{PART_POOL_COUNTERS, WORKERS, ENTRY(pool_counters), .entries = POOLS_MAX},
	{PART_SLOT_COUNTERS, WORKERS, ENTRY(slot_counters), .entries = SLOTS_MAX},
	{PART_SESSIONS, SESSIONS, ENTRY(records)},
	{PART_JOURNALS, WORKERS, ENTRY(journals), .entries = 1},
	{PART_PIPES, WORKERS, ENTRY(pipes), .entries = PIPES_PER_WORKER},
	{PART_CHUNKS, WORKERS, ENTRY(chunks), .entries = CHUNKS_PER_WORKER},
	{PART_RECEIVE_BUFFERS, WORKERS, WHERE(receive_buffers), .stride = RECEIVE_BUFFER_BYTES,
		.entries = 1, .guard_part = PART_JOURNALS, .guard_field = 3 /* key */},
	{PART_CHUNK_BYTES, WORKERS, WHERE(chunk_bytes), .stride = CHUNK_BYTES,
		.entries = CHUNKS_PER_WORKER, .guard_part = PART_CHUNKS,
		.guard_field = 2 /* length */},
	{PART_CONFIG_TEXT, ONCE, ENTRY(config_text), .entries = 1},
	{PART_LISTEN_RECORDS, WORKERS, ENTRY(listen_records), .entries = LISTEN_SOCKETS_MAX},
	{PART_LANES, WORKERS, ENTRY(lanes), .entries = LANES_PER_WORKER},
	{PART_LANE_BYTES, WORKERS, WHERE(lane_bytes), .stride = LANE_BYTES,
		.entries = LANES_PER_WORKER, .guard_part = PART_LANES, .guard_field = 3 /* key */},
};

static_assert(ARRAY_COUNT(part_rows) <= LAYOUT_PARTS_MAX, "grow LAYOUT_PARTS_MAX");

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + REGION_ALIGNMENT - 1) / REGION_ALIGNMENT * REGION_ALIGNMENT;
}

void shm_layout(uint32_t workers, uint32_t sessions, struct layout *ret_layout)
{
	struct layout *layout = ret_layout;
	uint64_t region = 0;
	uint64_t end = 0;

	memset(layout, 0, sizeof *layout);
	for (size_t i = 0; i < ARRAY_COUNT(part_rows); i++) {
		const struct part_row *row = &part_rows[i];
		const size_t room = row->room != 0 ? row->room : row->stride;
		struct layout_part *part = &layout->parts[i];

		if (row->inside == 0) {
			region = end;
		}
		*part = (struct layout_part){
			.id = row->id,
			.stride = (uint32_t)row->stride,
			.offset = region + row->inside,
			.groups = row->scale == ONCE ? 1 : workers,
			.entries = row->scale == SESSIONS ? sessions : row->entries,
			.guard_part = row->guard_part,
			.guard_field = row->guard_field,
		};
		if (row->inside == 0) {
			end = round_up(region + (uint64_t)part->groups * part->entries * room);
		}
	}
	assert(shm_field_count <= LAYOUT_FIELDS_MAX);
	memcpy(layout->fields, shm_fields, shm_field_count * sizeof shm_fields[0]);
	layout->head = (struct layout_head){
		.magic = LAYOUT_MAGIC,
		.format = LAYOUT_FORMAT,
		.bytes = end,
		.version = RECORD_VERSION,
		.workers = workers,
		.sessions_per_worker = sessions,
		.part_count = ARRAY_COUNT(part_rows),
		.field_count = shm_field_count,
		.parts_offset = offsetof(struct shm_header, parts),
		.fields_offset = offsetof(struct shm_header, fields),
	};
}

void shm_place(struct shm *shm, uint8_t *base, const struct layout *layout)
{
	for (size_t i = 0; i < ARRAY_COUNT(part_rows); i++) {
		uint8_t *start = base + layout->parts[i].offset;

		if (part_rows[i].inside == 0) {
			memcpy((uint8_t *)shm + part_rows[i].member, &start, sizeof start);
		}
	}
}
