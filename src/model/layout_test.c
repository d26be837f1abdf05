#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"
#include "base/testing.h"
#include "model/layout.h"

enum { BYTES = 256 * 1024 };

/* Two parts of a few fields, as any version could have them. */
static struct layout sample(void)
{
	static struct layout layout;

	memset(&layout, 0, sizeof layout);
	layout.head = (struct layout_head){
		.magic = LAYOUT_MAGIC,
		.format = LAYOUT_FORMAT,
		.bytes = BYTES,
		.version = 7,
		.workers = 2,
		.sessions_per_worker = 3,
		.part_count = 2,
		.field_count = 4,
		.parts_offset = offsetof(struct layout, parts),
		.fields_offset = offsetof(struct layout, fields),
	};
	layout.parts[0] = (struct layout_part){
		.id = 2, .stride = 64, .offset = 65536, .groups = 2, .entries = 3};
	layout.parts[1] = (struct layout_part){
		.id = 5, .stride = 16, .offset = 131072, .groups = 1, .entries = 10};
	layout.fields[0] = (struct layout_field){
		.part = 2, .id = 1, .kind = LAYOUT_UNSIGNED, .bytes = 4, .count = 1, .stride = 4};
	layout.fields[1] = (struct layout_field){.part = 2,
		.id = 3,
		.kind = LAYOUT_SIGNED,
		.offset = 8,
		.bytes = 8,
		.count = 7,
		.stride = 8};
	layout.fields[2] = (struct layout_field){
		.part = 5, .id = 1, .kind = LAYOUT_INDEX, .bytes = 2, .count = 1, .stride = 2};
	layout.fields[3] = (struct layout_field){.part = 5,
		.id = 2,
		.kind = LAYOUT_BYTES,
		.offset = 3,
		.bytes = 13,
		.count = 1,
		.stride = 13};
	return layout;
}

static int read_back(const struct layout *layout, struct layout *ret_layout, struct error *err)
{
	static uint8_t memory[BYTES];

	memset(memory, 0, sizeof memory);
	memcpy(memory, layout, sizeof *layout);
	return layout_read(memory, sizeof memory, ret_layout, err);
}

static void what_is_written_is_read(void **state)
{
	static uint8_t memory[BYTES];
	static struct layout layout;
	static struct layout again;

	(void)state;
	layout = sample();
	layout_write(&layout, memory);
	assert_int_equal(layout_read(memory, sizeof memory, &again, NULL), 0);
	assert_true(layout_equal(&layout, &again));
	assert_int_equal(layout_part(&again, 5)->stride, 16);
	assert_null(layout_part(&again, 3));
	assert_int_equal(layout_field(&again, 2, 3)->count, 7);
	assert_null(layout_field(&again, 2, 2));
	assert_null(layout_field(&again, 3, 1));
	again.fields[3].flags = LAYOUT_VITAL;
	assert_false(layout_equal(&layout, &again));
}

/* One wrong number each. What a row sets is written over a good description. */
struct hostile {
	const char *name;
	size_t offset;
	size_t bytes;
	uint64_t value;
};

#define SET(member, number)                                             \
	{                                                               \
#member " = " #number, offsetof(struct layout, member), \
			sizeof((struct layout *)NULL)->member, (number) \
	}

static const struct hostile hostile[] = {
	SET(head.magic, 0x7f454c46),
	SET(head.format, LAYOUT_FORMAT + 1),
	SET(head.format, 0),
	SET(head.bytes, BYTES - 1),
	SET(head.bytes, UINT64_MAX),
	SET(head.workers, 0),
	SET(head.sessions_per_worker, 0),
	SET(head.part_count, 0),
	SET(head.part_count, LAYOUT_PARTS_MAX + 1),
	SET(head.part_count, UINT32_MAX),
	SET(head.field_count, 0),
	SET(head.field_count, LAYOUT_FIELDS_MAX + 1),
	SET(head.parts_offset, BYTES - 63),
	SET(head.parts_offset, UINT32_MAX),
	SET(head.fields_offset, BYTES),
	SET(head.fields_offset, UINT32_MAX - 3),
	SET(parts[0].id, 0),
	SET(parts[0].id, 5),
	SET(parts[0].id, 6),
	SET(parts[0].stride, 0),
	SET(parts[0].stride, UINT32_MAX),
	SET(parts[0].offset, BYTES),
	SET(parts[0].offset, BYTES - 1),
	SET(parts[0].offset, UINT64_MAX),
	SET(parts[0].offset, UINT64_MAX - 383),
	SET(parts[0].offset, 131072 - 383),
	SET(parts[0].offset, 131072 + 159),
	SET(parts[0].groups, 0),
	SET(parts[0].groups, UINT32_MAX),
	SET(parts[0].entries, 0),
	SET(parts[0].entries, UINT32_MAX),
	SET(fields[0].part, 0),
	SET(fields[0].part, 3),
	SET(fields[0].part, 5),
	SET(fields[0].id, 0),
	SET(fields[0].id, 3),
	SET(fields[0].id, 4),
	SET(fields[0].kind, 0),
	SET(fields[0].kind, LAYOUT_BYTES + 1),
	SET(fields[0].flags, 4),
	SET(fields[0].bytes, 0),
	SET(fields[0].bytes, 3),
	SET(fields[0].bytes, 16),
	SET(fields[0].bytes, UINT32_MAX),
	SET(fields[0].offset, 61),
	SET(fields[0].offset, UINT32_MAX),
	SET(fields[0].count, 0),
	SET(fields[0].count, 17),
	SET(fields[0].count, UINT32_MAX),
	SET(fields[1].stride, 7),
	SET(fields[1].stride, 9),
	SET(fields[1].stride, UINT32_MAX),
	SET(fields[3].bytes, 0),
	SET(fields[3].bytes, 14),
};

static void set(struct layout *layout, const struct hostile *wrong)
{
	const uint16_t u16 = (uint16_t)wrong->value;
	const uint32_t u32 = (uint32_t)wrong->value;
	uint8_t *at = (uint8_t *)layout + wrong->offset;

	if (wrong->bytes == sizeof u16) {
		memcpy(at, &u16, sizeof u16);
	} else if (wrong->bytes == sizeof u32) {
		memcpy(at, &u32, sizeof u32);
	} else {
		memcpy(at, &wrong->value, sizeof wrong->value);
	}
}

static void a_wrong_number_is_refused(void **state)
{
	static struct layout layout;
	static struct layout result;

	(void)state;
	layout = sample();
	assert_int_equal(read_back(&layout, &result, NULL), 0);
	for (size_t i = 0; i < ARRAY_COUNT(hostile); i++) {
		struct error err = {0};

		layout = sample();
		set(&layout, &hostile[i]);
		if (read_back(&layout, &result, &err) != -EPROTO || err.text[0] == '\0') {
			fail_msg("%s was not refused", hostile[i].name);
		}
	}
}

static void the_tables_may_lie_elsewhere(void **state)
{
	static uint8_t memory[BYTES];
	static struct layout layout;
	static struct layout result;

	(void)state;
	layout = sample();
	layout.head.parts_offset = 200001;
	layout.head.fields_offset = BYTES - 4 * sizeof(struct layout_field);
	layout_write(&layout, memory);
	assert_int_equal(layout_read(memory, sizeof memory, &result, NULL), 0);
	assert_int_equal(layout_field(&result, 5, 2)->bytes, 13);
}

static void too_little_memory_is_refused(void **state)
{
	static struct layout layout;
	static struct layout result;
	uint8_t *memory;

	(void)state;
	layout = sample();
	for (size_t bytes = 0; bytes < sizeof layout.head + 8; bytes++) {
		memory = malloc(bytes + 1);
		assert_non_null(memory);
		layout.head.bytes = bytes;
		memcpy(memory, &layout, bytes);
		assert_int_equal(layout_read(memory, bytes, &result, NULL), -EPROTO);
		free(memory);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(a_wrong_number_is_refused),
		cmocka_unit_test(the_tables_may_lie_elsewhere),
		cmocka_unit_test(too_little_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
