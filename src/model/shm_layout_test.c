#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"
#include "base/testing.h"
#include "model/shm.h"
#include "model/shm_layout.h"

static void the_tables_describe_a_memory(void **state)
{
	static const struct {
		uint32_t workers;
		uint32_t sessions;
	} cases[] = {{1, 1}, {3, 1000}, {WORKERS_MAX, SESSIONS_MAX}};
	static struct layout layout;
	static struct layout again;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct error err = {0};
		struct shm_header *memory;

		/* layout_read() is the judge: ids in order, nothing outside, nothing twice. */
		shm_layout(cases[i].workers, cases[i].sessions, &layout);
		memory = calloc(1, sizeof *memory);
		assert_non_null(memory);
		layout_write(&layout, memory);
		if (layout_read(memory, layout.head.bytes, &again, &err) != 0) {
			fail_msg("%s", err.text);
		}
		assert_true(layout_equal(&layout, &again));
		free(memory);
	}
}

static void mark(const struct layout_field *field, size_t at, uint8_t *seen, size_t bytes)
{
	for (size_t i = at; i < at + field->bytes && i < bytes; i++) {
		if (seen[i] != 0) {
			fail_msg("part %u: field %u covers byte %zu again", field->part, field->id,
				i);
		}
		seen[i] = 0xff;
	}
}

/* Marks in `seen` the bytes of an entry of that part which a field covers; each only once. */
static void mark_fields(uint32_t part, uint8_t *seen, size_t bytes)
{
	for (uint32_t i = 0; i < shm_field_count; i++) {
		const struct layout_field *field = &shm_fields[i];

		for (uint32_t k = 0; field->part == part && k < field->count; k++) {
			mark(field, field->offset + (size_t)k * field->stride, seen, bytes);
		}
	}
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define HAS_CLEAR_PADDING 1
#endif
#endif

#ifdef HAS_CLEAR_PADDING
/*
 * `members` has all bits set where the structure has a member, and none in its padding. From
 * `at` in an entry of the part, a row must cover each byte of the first kind and none of the
 * other.
 */
static void expect_rows(
	uint32_t part, const char *name, const uint8_t *members, size_t length, size_t at)
{
	const size_t bytes = at + length;
	uint8_t *seen = calloc(1, bytes);

	assert_non_null(seen);
	mark_fields(part, seen, bytes);
	for (size_t i = 0; i < length; i++) {
		if (seen[at + i] != members[i]) {
			fail_msg("%s: byte %zu is %s", name, i,
				members[i] == 0 ? "padding, and a row covers it"
						: "of a member that has no row in shm_fields.c");
		}
	}
	free(seen);
}

/* Of `type`, which lies `at` bytes into the entry, the bytes from `first` to `last`. */
#define EXPECT_ROWS(part, type, at, first, last)                                               \
	do {                                                                                   \
		static type object;                                                            \
		memset((void *)&object, 0xff, sizeof object);                                  \
		__builtin_clear_padding(&object);                                              \
		expect_rows(part, #type, (const uint8_t *)&object + (first), (last) - (first), \
			(at) + (first));                                                       \
	} while (0)

#define EXPECT_ALL_ROWS(part, type) EXPECT_ROWS(part, type, 0, 0, sizeof(type))

/* A structure that ends in an array. (All at once is more than the builtin of gcc 12 can.) */
#define EXPECT_RING_ROWS(part, ring, entry)                     \
	EXPECT_ROWS(part, ring, 0, 0, offsetof(ring, entries)); \
	EXPECT_ROWS(part, entry, offsetof(ring, entries), 0, sizeof(entry))
static void each_member_has_its_row(void **state)
{
	(void)state;
	EXPECT_ROWS(PART_HEADER, struct process_state, offsetof(struct shm_header, process), 0,
		sizeof(struct process_state));
	EXPECT_ROWS(PART_EVENT_RING, struct event_ring, 0, 0, offsetof(struct event_ring, entries));
	EXPECT_ALL_ROWS(PART_EVENTS, struct event);
	EXPECT_ALL_ROWS(PART_LISTENERS, struct listener_entry);
	EXPECT_ALL_ROWS(PART_POOLS, struct pool_entry);
	EXPECT_ALL_ROWS(PART_SLOTS, struct slot);
	EXPECT_ALL_ROWS(PART_WORKERS, struct worker_state);
	EXPECT_RING_ROWS(PART_EVIDENCE, struct evidence_ring, struct evidence);
	EXPECT_RING_ROWS(PART_COMMANDS, struct command_ring, struct command);
	EXPECT_ALL_ROWS(PART_LISTENER_COUNTERS, struct listener_counters);
	EXPECT_ALL_ROWS(PART_POOL_COUNTERS, struct pool_counters);
	EXPECT_ALL_ROWS(PART_SLOT_COUNTERS, struct slot_counters);
	EXPECT_ALL_ROWS(PART_SESSIONS, struct session_record);
	EXPECT_ALL_ROWS(PART_JOURNALS, struct journal);
	EXPECT_ALL_ROWS(PART_PIPES, struct pipe_record);
	EXPECT_ALL_ROWS(PART_CHUNKS, struct chunk);
	EXPECT_ROWS(
		PART_CONFIG_TEXT, struct config_text, 0, 0, offsetof(struct config_text, copies));
	EXPECT_ROWS(PART_CONFIG_TEXT, struct config_text_copy, offsetof(struct config_text, copies),
		0, sizeof(struct config_text_copy));
	EXPECT_ALL_ROWS(PART_LISTEN_RECORDS, struct listen_record);
	EXPECT_ALL_ROWS(PART_LANES, struct journal);
}
#endif

static_assert(sizeof(struct shm_header) ==
		sizeof(struct layout_head) + sizeof(struct process_state) +
			sizeof(struct layout_part) * LAYOUT_PARTS_MAX +
			sizeof(struct layout_field) * LAYOUT_FIELDS_MAX,
	"what changes in the header belongs into struct process_state");

static void each_part_has_fields(void **state)
{
	static struct layout layout;

	(void)state;
	shm_layout(2, 10, &layout);
	for (uint32_t i = 0; i < layout.head.part_count; i++) {
		uint8_t *seen = calloc(1, layout.parts[i].stride);
		size_t covered = 0;

		assert_non_null(seen);
		mark_fields(layout.parts[i].id, seen, layout.parts[i].stride);
		for (uint32_t b = 0; b < layout.parts[i].stride; b++) {
			covered += seen[b] != 0;
		}
		if (covered == 0) {
			fail_msg("part %u has no row in shm_fields.c", layout.parts[i].id);
		}
		free(seen);
	}
}

/* What guards a part must be there, and be counted alike: else entries would be mixed up. */
static void a_guard_has_an_entry_for_each_entry(void **state)
{
	static struct layout layout;
	int guarded = 0;

	(void)state;
	shm_layout(2, 10, &layout);
	for (uint32_t i = 0; i < layout.head.part_count; i++) {
		const struct layout_part *part = &layout.parts[i];
		const struct layout_part *guard = layout_part(&layout, part->guard_part);

		if (part->guard_part != 0) {
			assert_non_null(guard);
			assert_non_null(layout_field(&layout, guard->id, part->guard_field));
			assert_int_equal(guard->groups, part->groups);
			assert_int_equal(guard->entries, part->entries);
			guarded++;
		}
	}
	assert_int_equal(guarded, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_tables_describe_a_memory),
#ifdef HAS_CLEAR_PADDING /* gcc only: what else tells padding from members? */
		cmocka_unit_test(each_member_has_its_row),
#endif
		cmocka_unit_test(each_part_has_fields),
		cmocka_unit_test(a_guard_has_an_entry_for_each_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
