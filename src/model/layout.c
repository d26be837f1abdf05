#include "model/layout.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"

static_assert(sizeof(struct layout_head) == 48, "the head never changes");
static_assert(sizeof(struct layout_part) == 32, "the form of format 1");
static_assert(sizeof(struct layout_field) == 32, "the form of format 1");

static int check_head(const struct layout_head *head, size_t bytes, struct error *err)
{
	if (head->magic != LAYOUT_MAGIC) {
		return error_say(err, EPROTO, "this is no shared memory of loble");
	}
	if (head->format != LAYOUT_FORMAT) {
		return error_say(err, EPROTO,
			"the shared memory describes itself in format %u; this binary reads %d",
			head->format, LAYOUT_FORMAT);
	}
	if (head->bytes != bytes) {
		return error_say(err, EPROTO, "the shared memory has %zu bytes and says %llu",
			bytes, (unsigned long long)head->bytes);
	}
	if (head->workers == 0 || head->sessions_per_worker == 0) {
		return error_say(err, EPROTO, "the shared memory says that it is for nobody");
	}
	if (head->part_count == 0 || head->part_count > LAYOUT_PARTS_MAX ||
		head->field_count == 0 || head->field_count > LAYOUT_FIELDS_MAX) {
		return error_say(err, EPROTO,
			"the shared memory has %u parts and %u fields; this binary reads up to "
			"%d and %d",
			head->part_count, head->field_count, LAYOUT_PARTS_MAX, LAYOUT_FIELDS_MAX);
	}
	return 0;
}

static bool fits(size_t bytes, size_t offset, size_t count, size_t stride)
{
	return offset <= bytes && (bytes - offset) / stride >= count;
}

static int copy_tables(const void *memory, size_t bytes, struct layout *layout, struct error *err)
{
	const struct layout_head *head = &layout->head;
	const uint8_t *base = memory;

	if (!fits(bytes, head->parts_offset, head->part_count, sizeof layout->parts[0]) ||
		!fits(bytes, head->fields_offset, head->field_count, sizeof layout->fields[0])) {
		return error_say(err, EPROTO, "the tables of the shared memory lie outside of it");
	}
	memcpy(layout->parts, base + head->parts_offset,
		head->part_count * sizeof layout->parts[0]);
	memcpy(layout->fields, base + head->fields_offset,
		head->field_count * sizeof layout->fields[0]);
	return 0;
}

/* Only of parts that have passed check_part(). */
static uint64_t part_bytes(const struct layout_part *part)
{
	return (uint64_t)part->groups * part->entries * part->stride;
}

static bool part_is_sane(const struct layout_part *part, uint64_t bytes)
{
	uint64_t all;

	if (part->id == 0 || part->stride == 0 || part->groups == 0 || part->entries == 0) {
		return false;
	}
	return !__builtin_mul_overflow(
		       (uint64_t)part->groups * part->entries, part->stride, &all) &&
		part->offset <= bytes && all <= bytes - part->offset;
}

static bool overlap(const struct layout_part *a, const struct layout_part *b)
{
	return a->offset < b->offset + part_bytes(b) && b->offset < a->offset + part_bytes(a);
}

static int check_parts(const struct layout *layout, struct error *err)
{
	for (uint32_t i = 0; i < layout->head.part_count; i++) {
		const struct layout_part *part = &layout->parts[i];

		if (!part_is_sane(part, layout->head.bytes)) {
			return error_say(
				err, EPROTO, "part %u of the shared memory is not in it", part->id);
		}
		if (i > 0 && part->id <= layout->parts[i - 1].id) {
			return error_say(err, EPROTO,
				"part %u of the shared memory is out of order", part->id);
		}
		for (uint32_t k = 0; k < i; k++) {
			if (overlap(part, &layout->parts[k])) {
				return error_say(err, EPROTO,
					"parts %u and %u of the shared memory overlap",
					layout->parts[k].id, part->id);
			}
		}
	}
	return 0;
}

static bool is_number(uint32_t kind)
{
	return kind == LAYOUT_UNSIGNED || kind == LAYOUT_SIGNED || kind == LAYOUT_INDEX;
}

static bool field_is_sane(const struct layout_field *field)
{
	const uint32_t width = field->bytes;

	if (field->id == 0 || field->count == 0 ||
		(field->flags & ~(LAYOUT_VITAL | LAYOUT_NEEDED)) != 0) {
		return false;
	}
	if (is_number(field->kind)) {
		return width == 1 || width == 2 || width == 4 || width == 8;
	}
	return field->kind == LAYOUT_BYTES && width >= 1;
}

/* 64 bits cannot overflow: each of the terms is below 2^64 / 2. */
static bool field_is_inside(const struct layout_field *field, const struct layout_part *part)
{
	uint64_t end;

	if (field->count > 1 && field->stride < field->bytes) {
		return false;
	}
	return !__builtin_add_overflow((uint64_t)(field->count - 1) * field->stride,
		       (uint64_t)field->offset + field->bytes, &end) &&
		end <= part->stride;
}

static bool in_order(const struct layout_field *before, const struct layout_field *field)
{
	return before->part < field->part ||
		(before->part == field->part && before->id < field->id);
}

static int check_fields(const struct layout *layout, struct error *err)
{
	for (uint32_t i = 0; i < layout->head.field_count; i++) {
		const struct layout_field *field = &layout->fields[i];
		const struct layout_part *part = layout_part(layout, field->part);

		if (part == NULL || !field_is_sane(field) || !field_is_inside(field, part)) {
			return error_say(err, EPROTO,
				"field %u of part %u of the shared memory is not in it", field->id,
				field->part);
		}
		if (i > 0 && !in_order(field - 1, field)) {
			return error_say(err, EPROTO,
				"field %u of part %u of the shared memory is out of order",
				field->id, field->part);
		}
	}
	return 0;
}

int layout_read(const void *memory, size_t bytes, struct layout *ret_layout, struct error *err)
{
	int r;

	if (bytes < sizeof ret_layout->head) {
		return error_say(
			err, EPROTO, "this is no shared memory of loble: %zu bytes", bytes);
	}
	memcpy(&ret_layout->head, memory, sizeof ret_layout->head);
	r = check_head(&ret_layout->head, bytes, err);
	if (r == 0) {
		r = copy_tables(memory, bytes, ret_layout, err);
	}
	if (r == 0) {
		r = check_parts(ret_layout, err);
	}
	return r == 0 ? check_fields(ret_layout, err) : r;
}

void layout_write(const struct layout *layout, void *memory)
{
	uint8_t *base = memory;

	memcpy(base, &layout->head, sizeof layout->head);
	memcpy(base + layout->head.parts_offset, layout->parts,
		layout->head.part_count * sizeof layout->parts[0]);
	memcpy(base + layout->head.fields_offset, layout->fields,
		layout->head.field_count * sizeof layout->fields[0]);
}

bool layout_equal(const struct layout *a, const struct layout *b)
{
	return memcmp(&a->head, &b->head, sizeof a->head) == 0 &&
		memcmp(a->parts, b->parts, a->head.part_count * sizeof a->parts[0]) == 0 &&
		memcmp(a->fields, b->fields, a->head.field_count * sizeof a->fields[0]) == 0;
}

const struct layout_part *layout_part(const struct layout *layout, uint32_t id)
{
	for (uint32_t i = 0; i < layout->head.part_count; i++) {
		if (layout->parts[i].id == id) {
			return &layout->parts[i];
		}
	}
	return NULL;
}

const struct layout_field *layout_field(const struct layout *layout, uint32_t part, uint32_t id)
{
	for (uint32_t i = 0; i < layout->head.field_count; i++) {
		if (layout->fields[i].part == part && layout->fields[i].id == id) {
			return &layout->fields[i];
		}
	}
	return NULL;
}
