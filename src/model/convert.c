#include "model/convert.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"

enum { SMALL_BYTES = 4096 }; /* below, holes are not worth a system call */

/* A stretch of the old memory that is no hole. Offsets. */
struct extent {
	uint64_t start;
	uint64_t end;
	uint64_t hole; /* what lies between here and `start` is one */
};

/* What happens to one field of an entry. */
struct step {
	const struct layout_field *from; /* NULL: the old memory lacks it */
	const struct layout_field *to;   /* NULL: the new memory lacks it, and it must be zero */
};

/* One part in both memories, and where the work stands. */
struct job {
	const struct convert_source *source;
	uint8_t *memory;                /* of the new layout, or NULL */
	const struct layout_part *from; /* never NULL */
	const struct layout_part *to;   /* NULL: only the old memory has it */
	const struct layout_part *guard;
	const struct layout_field *guard_field;
	uint32_t group;
	uint32_t entry;
	uint32_t step_count;
	struct step steps[2 * LAYOUT_FIELDS_MAX];
	struct extent extent; /* the last one that was found */
};

/* Finds the first extent that ends behind `offset`. At the end of the file: an endless hole. */
static void find_extent(const struct convert_source *source, uint64_t offset, struct extent *extent)
{
	off_t start = (off_t)offset;
	off_t end;

	if (extent->end > offset && extent->hole <= offset) {
		return;
	}
	*extent = (struct extent){offset, source->layout->head.bytes, offset};
	if (source->fd < 0) {
		return;
	}
	start = lseek(source->fd, start, SEEK_DATA);
	if (start < 0) {
		if (errno == ENXIO) {
			*extent = (struct extent){UINT64_MAX, UINT64_MAX, offset};
		}
		return;
	}
	extent->start = (uint64_t)start;
	end = lseek(source->fd, start, SEEK_HOLE);
	if (end > start) {
		extent->end = (uint64_t)end;
	}
}

/*
 * The next piece of [*offset, end) that is no hole; false when there is none. *offset moves
 * behind it.
 */
static bool next_piece(struct job *job, uint64_t *offset, uint64_t end, struct extent *ret_piece)
{
	if (*offset >= end) {
		return false;
	}
	if (end - *offset <= SMALL_BYTES) {
		*ret_piece = (struct extent){*offset, end, *offset};
	} else {
		find_extent(job->source, *offset, &job->extent);
		if (job->extent.start >= end) {
			return false;
		}
		ret_piece->start = job->extent.start > *offset ? job->extent.start : *offset;
		ret_piece->end = job->extent.end < end ? job->extent.end : end;
	}
	*offset = ret_piece->end;
	return true;
}

static bool all_zero(const uint8_t *bytes, uint64_t length)
{
	return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static bool range_is_zero(struct job *job, uint64_t offset, uint64_t length)
{
	const uint64_t end = offset + length;
	struct extent piece;

	while (next_piece(job, &offset, end, &piece)) {
		if (!all_zero(job->source->memory + piece.start, piece.end - piece.start)) {
			return false;
		}
	}
	return true;
}

static void copy_range(struct job *job, uint64_t from, uint64_t to, uint64_t length)
{
	const uint64_t start = from;
	const uint64_t end = from + length;
	struct extent piece;

	if (job->memory == NULL) {
		return;
	}
	while (next_piece(job, &from, end, &piece)) {
		memcpy(job->memory + to + (piece.start - start), job->source->memory + piece.start,
			piece.end - piece.start);
	}
}

static uint64_t all_ones(uint32_t bytes)
{
	return UINT64_MAX >> (64 - 8 * bytes);
}

/* Signed numbers come with their sign in all 64 bits. */
static uint64_t load(const uint8_t *from, const struct layout_field *field)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t value = 0;

	switch (field->bytes) {
	case 1:
		memcpy(&u8, from, sizeof u8);
		value = u8;
		break;
	case 2:
		memcpy(&u16, from, sizeof u16);
		value = u16;
		break;
	case 4:
		memcpy(&u32, from, sizeof u32);
		value = u32;
		break;
	default:
		memcpy(&value, from, sizeof value);
		break;
	}
	if (field->kind == LAYOUT_SIGNED && (value >> (8 * field->bytes - 1)) != 0) {
		value |= ~all_ones(field->bytes);
	}
	return value;
}

static void store(uint8_t *to, const struct layout_field *field, uint64_t value)
{
	const uint8_t u8 = (uint8_t)value;
	const uint16_t u16 = (uint16_t)value;
	const uint32_t u32 = (uint32_t)value;

	switch (field->bytes) {
	case 1:
		memcpy(to, &u8, sizeof u8);
		break;
	case 2:
		memcpy(to, &u16, sizeof u16);
		break;
	case 4:
		memcpy(to, &u32, sizeof u32);
		break;
	default:
		memcpy(to, &value, sizeof value);
		break;
	}
}

/* Both fields are of one kind. False: the new one cannot hold the value. */
static bool translate(
	const struct layout_field *from, const struct layout_field *to, uint64_t *value)
{
	const uint64_t limit = all_ones(to->bytes);

	switch (to->kind) {
	case LAYOUT_INDEX:
		if (*value == all_ones(from->bytes)) {
			*value = limit;
			return true;
		}
		return *value < limit;
	case LAYOUT_SIGNED:
		/* It fits when the bits above the sign are all like the sign. */
		return *value <= limit >> 1 || *value >= ~(limit >> 1);
	default:
		return *value <= limit;
	}
}

static uint64_t entry_offset(const struct layout_part *part, uint32_t group, uint32_t entry)
{
	return part->offset + ((uint64_t)group * part->entries + entry) * part->stride;
}

static uint64_t from_offset(const struct job *job, const struct layout_field *field)
{
	return entry_offset(job->from, job->group, job->entry) + field->offset;
}

static uint64_t to_offset(const struct job *job, const struct layout_field *field)
{
	assert(job->to != NULL);
	return entry_offset(job->to, job->group, job->entry) + field->offset;
}

static int refuse(const struct job *job, const struct layout_field *field, struct error *err)
{
	return error_say(err, ERANGE,
		"the shared memory of record version %u holds something in field %u of part %u, "
		"entry %u of group %u, that this binary has no room for",
		job->source->layout->head.version, field->id, field->part, job->entry, job->group);
}

static bool is_packed(const struct layout_field *field)
{
	return field->count == 1 || field->stride == field->bytes;
}

static bool says_nothing(const struct layout_field *field, uint64_t value)
{
	return value == 0 || (field->kind == LAYOUT_INDEX && value == all_ones(field->bytes));
}

static int copy_numbers(struct job *job, const struct step *step, struct error *err)
{
	const struct layout_field *from = step->from;
	const struct layout_field *to = step->to;
	const uint8_t *read = job->source->memory + from_offset(job, from);

	for (uint32_t i = 0; i < from->count; i++) {
		uint64_t value = load(read + (size_t)i * from->stride, from);

		if (i >= to->count) {
			if (!says_nothing(from, value)) {
				return refuse(job, from, err);
			}
			continue;
		}
		if (!translate(from, to, &value)) {
			return refuse(job, from, err);
		}
		if (job->memory != NULL) {
			store(job->memory + to_offset(job, to) + (size_t)i * to->stride, to, value);
		}
	}
	return 0;
}

static int copy_bytes(struct job *job, const struct step *step, struct error *err)
{
	const struct layout_field *from = step->from;
	const struct layout_field *to = step->to;
	const uint32_t common = from->bytes < to->bytes ? from->bytes : to->bytes;

	for (uint32_t i = 0; i < from->count; i++) {
		const uint64_t read = from_offset(job, from) + (uint64_t)i * from->stride;
		const uint32_t kept = i < to->count ? common : 0;

		if (!range_is_zero(job, read + kept, from->bytes - kept)) {
			return refuse(job, from, err);
		}
		if (kept > 0) {
			copy_range(job, read, to_offset(job, to) + (uint64_t)i * to->stride, kept);
		}
	}
	return 0;
}

static void store_initial(const struct job *job, const struct layout_field *to)
{
	if (job->memory == NULL || to->kind == LAYOUT_BYTES || to->initial == 0) {
		return;
	}
	for (uint32_t i = 0; i < to->count; i++) {
		store(job->memory + to_offset(job, to) + (size_t)i * to->stride, to, to->initial);
	}
}

static int require_zero(struct job *job, const struct layout_field *from, struct error *err)
{
	for (uint32_t i = 0; i < from->count; i++) {
		const uint64_t read = from_offset(job, from) + (uint64_t)i * from->stride;

		if (!range_is_zero(job, read, from->bytes)) {
			return refuse(job, from, err);
		}
	}
	return 0;
}

static int do_step(struct job *job, const struct step *step, struct error *err)
{
	const struct layout_field *from = step->from;
	const struct layout_field *to = step->to;

	if (from == NULL) {
		store_initial(job, to);
		return 0;
	}
	if (to == NULL) {
		return require_zero(job, from, err);
	}
	if (from->bytes == to->bytes && from->count == to->count && is_packed(from) &&
		is_packed(to)) {
		copy_range(job, from_offset(job, from), to_offset(job, to),
			(uint64_t)from->bytes * from->count);
		return 0;
	}
	return from->kind == LAYOUT_BYTES ? copy_bytes(job, step, err)
					  : copy_numbers(job, step, err);
}

static bool is_guarded(const struct job *job)
{
	const struct layout_field *field = job->guard_field;
	const uint8_t *read;

	if (field == NULL) {
		return false;
	}
	read = job->source->memory + entry_offset(job->guard, job->group, job->entry) +
		field->offset;
	for (uint32_t i = 0; i < field->count; i++) {
		if (!all_zero(read + (size_t)i * field->stride, field->bytes)) {
			return false;
		}
	}
	return true;
}

static int do_entry(struct job *job, struct error *err)
{
	int r = 0;

	if (is_guarded(job)) {
		return 0;
	}
	if (job->to != NULL && job->entry >= job->to->entries) {
		const uint64_t offset = entry_offset(job->from, job->group, job->entry);

		if (range_is_zero(job, offset, job->from->stride)) {
			return 0;
		}
		return error_say(err, ERANGE,
			"the shared memory of record version %u uses entry %u of part %u; this "
			"binary has %u",
			job->source->layout->head.version, job->entry, job->from->id,
			job->to->entries);
	}
	for (uint32_t i = 0; i < job->step_count && r == 0; i++) {
		r = do_step(job, &job->steps[i], err);
	}
	return r;
}

/* Entries in holes have never been used: they are left out, not even read. */
static int do_group(struct job *job, struct error *err)
{
	const struct layout_part *part = job->from;
	const uint64_t first = entry_offset(part, job->group, 0);

	for (uint32_t i = 0; i < part->entries; i++) {
		uint64_t offset = first + (uint64_t)i * part->stride;
		int r;

		find_extent(job->source, offset, &job->extent);
		if (job->extent.start >= offset + part->stride) {
			const uint64_t skip = (job->extent.start - offset) / part->stride;

			if (skip >= part->entries - i) {
				break;
			}
			i += (uint32_t)skip;
		}
		job->entry = i;
		r = do_entry(job, err);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

static void find_guard(struct job *job)
{
	const struct layout *layout = job->source->layout;
	const struct layout_part *guard = layout_part(layout, job->to->guard_part);

	if (guard == NULL || guard->groups != job->from->groups ||
		guard->entries != job->from->entries) {
		return;
	}
	job->guard = guard;
	job->guard_field = layout_field(layout, guard->id, job->to->guard_field);
}

static int mismatch(const struct job *job, const struct layout_field *field, const char *what,
	struct error *err)
{
	return error_say(err, EPROTO,
		"the shared memory of record version %u %s field %u of part %u; this binary cannot "
		"go on with it",
		job->source->layout->head.version, what, field->id, field->part);
}

/* Fields of the new memory: each comes from the old one, or is new. */
static int plan_new_fields(struct job *job, const struct layout *to, struct error *err)
{
	for (uint32_t i = 0; i < to->head.field_count; i++) {
		const struct layout_field *field = &to->fields[i];
		struct step step = {.to = field};

		if (field->part != job->to->id) {
			continue;
		}
		step.from = layout_field(job->source->layout, field->part, field->id);
		if (step.from == NULL && (field->flags & LAYOUT_NEEDED) != 0) {
			return mismatch(job, field, "lacks", err);
		}
		if (step.from != NULL && step.from->kind != field->kind) {
			return mismatch(job, field, "has another kind of", err);
		}
		job->steps[job->step_count++] = step;
	}
	return 0;
}

/* Fields that only the old memory has: they matter where they are vital. */
static void plan_lost_fields(struct job *job, const struct layout *to)
{
	const struct layout *from = job->source->layout;

	for (uint32_t i = 0; i < from->head.field_count; i++) {
		const struct layout_field *field = &from->fields[i];

		if (field->part == job->from->id && (field->flags & LAYOUT_VITAL) != 0 &&
			layout_field(to, field->part, field->id) == NULL) {
			assert(job->step_count < ARRAY_COUNT(job->steps));
			job->steps[job->step_count++] = (struct step){.from = field};
		}
	}
}

/* One part of the old memory. `job` brings source and memory along. */
static int do_part(
	struct job *job, const struct layout_part *from, const struct layout *to, struct error *err)
{
	job->from = from;
	job->to = layout_part(to, from->id);
	job->guard = NULL;
	job->guard_field = NULL;
	job->step_count = 0;
	if (job->to != NULL) {
		int r = plan_new_fields(job, to, err);

		if (r < 0) {
			return r;
		}
		if (job->to->groups != from->groups) {
			return error_say(err, EPROTO,
				"part %u of the shared memory is for %u workers, not for %u",
				from->id, from->groups, job->to->groups);
		}
		find_guard(job);
	}
	plan_lost_fields(job, to);
	if (job->step_count == 0) {
		return 0;
	}
	for (job->group = 0; job->group < from->groups; job->group++) {
		int r = do_group(job, err);

		if (r < 0) {
			return r;
		}
	}
	return 0;
}

static int check_needed(const struct layout *from, const struct layout *to, struct error *err)
{
	for (uint32_t i = 0; i < to->head.field_count; i++) {
		const struct layout_field *field = &to->fields[i];

		if ((field->flags & LAYOUT_NEEDED) != 0 && layout_part(from, field->part) == NULL) {
			return error_say(err, EPROTO,
				"the shared memory of record version %u lacks part %u; this binary "
				"cannot go on with it",
				from->head.version, field->part);
		}
	}
	return 0;
}

int convert_memory(const struct convert_source *from, const struct layout *to, uint8_t *memory,
	struct error *err)
{
	struct job job = {.source = from, .memory = memory};
	int r = check_needed(from->layout, to, err);

	for (uint32_t i = 0; i < from->layout->head.part_count && r == 0; i++) {
		r = do_part(&job, &from->layout->parts[i], to, err);
	}
	return r;
}
