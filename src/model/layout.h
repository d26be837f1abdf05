/*
 * How a shared memory describes itself, so that another version can read it.
 *
 * At offset 0 stands a head of a form that never changes; it says where the table of parts and
 * that of fields are. A part is an array of entries: `groups` times `entries` of them, `stride`
 * bytes apart. A field is a number or a run of bytes in each entry of its part, or `count` of
 * them, `stride` bytes apart. Parts and fields are known by ids, which are never used again for
 * something else: what has another meaning has another id.
 *
 * What is read here may come from any version, or be damaged: it is input, and layout_read()
 * lets only that through which stays inside the memory.
 *
 * Threads: pure functions of their arguments. Owner: a struct layout belongs to its caller; the
 * one in the memory is written once, by who makes the memory.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

enum {
	LAYOUT_MAGIC = 0x4c4f424c,
	LAYOUT_FORMAT = 1, /* of the three structures below */
	LAYOUT_PARTS_MAX = 64,
	LAYOUT_FIELDS_MAX = 1024,
};

/* What a field holds. The numbers stand in the memory. */
enum layout_kind {
	LAYOUT_UNSIGNED = 1, /* a number of 1, 2, 4 or 8 bytes */
	LAYOUT_SIGNED = 2,
	LAYOUT_INDEX = 3, /* unsigned; all ones, whatever the width, is none */
	LAYOUT_BYTES = 4, /* a text or an address: any length, the rest is zero */
};

enum layout_flag {
	/* Whoever does not know this field may take over the memory only where it is zero. */
	LAYOUT_VITAL = 1 << 0,
	/* Memory that lacks this field is of no use to whoever knows it. */
	LAYOUT_NEEDED = 1 << 1,
};

struct layout_head {
	uint32_t magic;
	uint32_t format;
	uint64_t bytes;   /* of the whole memory */
	uint32_t version; /* RECORD_VERSION, for people: what counts are the tables */
	uint32_t workers;
	uint32_t sessions_per_worker;
	uint32_t part_count;
	uint32_t field_count;
	uint32_t parts_offset;
	uint32_t fields_offset;
	uint32_t unused;
};

struct layout_part {
	uint32_t id; /* ascending in the table */
	uint32_t stride;
	uint64_t offset;
	uint32_t groups;      /* the workers, or 1 */
	uint32_t entries;     /* of each group */
	uint32_t guard_part;  /* 0: none; else an entry counts only where this other part's entry */
	uint32_t guard_field; /* of the same group and number has something else than 0 here */
};

struct layout_field {
	uint16_t part;
	uint16_t id; /* (part, id) ascends in the table */
	uint16_t kind;
	uint16_t flags;
	uint32_t offset; /* in the entry */
	uint32_t bytes;  /* of one element */
	uint32_t count;
	uint32_t stride;  /* from element to element */
	uint64_t initial; /* what an entry has here whose memory lacks the field; 0 for bytes */
};

struct layout {
	struct layout_head head;
	struct layout_part parts[LAYOUT_PARTS_MAX];
	struct layout_field fields[LAYOUT_FIELDS_MAX];
};

/*
 * Copies the description that `memory` begins with, and checks it: all that it names lies within
 * `bytes`, no part overlaps another one, nothing is there twice. Returns 0 or a negative errno
 * (-EPROTO: not such a memory, or of a format of the description that is not known).
 */
int layout_read(const void *memory, size_t bytes, struct layout *ret_layout, struct error *err);

/* Writes the description to the beginning of `memory`, from where layout_read() reads it. */
void layout_write(const struct layout *layout, void *memory);

/* Whether two memories are arranged alike, and of one version. */
bool layout_equal(const struct layout *a, const struct layout *b);

/* NULL when there is none. */
const struct layout_part *layout_part(const struct layout *layout, uint32_t id);
const struct layout_field *layout_field(const struct layout *layout, uint32_t part, uint32_t id);
