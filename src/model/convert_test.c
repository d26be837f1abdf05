#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/testing.h"
#include "model/convert.h"

enum { PARTS = 4, FIELDS_EACH = 12, ROUNDS = 400 };

/* One field and one part, to be varied by the tests of single values. */
struct plain {
	struct layout layout;
	uint8_t memory[4096];
};

static void begin(struct plain *plain, uint32_t entries, uint32_t stride)
{
	memset(plain, 0, sizeof *plain);
	plain->layout.head = (struct layout_head){.bytes = sizeof plain->memory,
		.version = 1,
		.workers = 1,
		.sessions_per_worker = 1,
		.part_count = 1};
	plain->layout.parts[0] =
		(struct layout_part){.id = 1, .stride = stride, .groups = 1, .entries = entries};
}

static struct layout_field *add(
	struct plain *plain, uint16_t id, enum layout_kind kind, uint32_t offset, uint32_t bytes)
{
	struct layout_field *field = &plain->layout.fields[plain->layout.head.field_count++];

	*field = (struct layout_field){.part = 1,
		.id = id,
		.kind = (uint16_t)kind,
		.offset = offset,
		.bytes = bytes,
		.count = 1,
		.stride = bytes};
	return field;
}

static int convert(const struct plain *from, struct plain *to, struct error *err)
{
	const struct convert_source source = {&from->layout, from->memory, -1};
	const int foretold = convert_memory(&source, &to->layout, NULL, NULL);
	const int r = convert_memory(&source, &to->layout, to->memory, err);

	assert_int_equal(foretold, r);
	return r;
}

static void numbers_keep_their_value_or_are_refused(void **state)
{
	static const struct {
		enum layout_kind kind;
		uint32_t from_bytes;
		uint32_t to_bytes;
		uint64_t value;
		uint64_t expected;
		int result;
	} cases[] = {
		{LAYOUT_UNSIGNED, 1, 8, 0xff, 0xff, 0},
		{LAYOUT_UNSIGNED, 4, 2, 0xffff, 0xffff, 0},
		{LAYOUT_UNSIGNED, 4, 2, 0x10000, 0, -ERANGE},
		{LAYOUT_UNSIGNED, 8, 4, 0xffffffff, 0xffffffff, 0},
		{LAYOUT_UNSIGNED, 8, 1, 1ULL << 63, 0, -ERANGE},
		{LAYOUT_UNSIGNED, 8, 8, UINT64_MAX, UINT64_MAX, 0},
		{LAYOUT_SIGNED, 4, 8, 0xffffffff, UINT64_MAX, 0},
		{LAYOUT_SIGNED, 8, 4, UINT64_MAX, 0xffffffff, 0},
		{LAYOUT_SIGNED, 4, 2, 0x7fff, 0x7fff, 0},
		{LAYOUT_SIGNED, 4, 2, 0x8000, 0, -ERANGE},
		{LAYOUT_SIGNED, 4, 2, 0xffff8000, 0x8000, 0},
		{LAYOUT_SIGNED, 4, 2, 0xffff7fff, 0, -ERANGE},
		{LAYOUT_INDEX, 2, 4, 0xffff, 0xffffffff, 0},
		{LAYOUT_INDEX, 4, 2, 0xffffffff, 0xffff, 0},
		{LAYOUT_INDEX, 4, 2, 0xfffe, 0xfffe, 0},
		{LAYOUT_INDEX, 4, 2, 0xffff, 0, -ERANGE}, /* would turn into none */
		{LAYOUT_INDEX, 2, 8, 0xfffe, 0xfffe, 0},
	};
	static struct plain from;
	static struct plain to;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct error err = {0};
		uint64_t got = 0;

		begin(&from, 1, 16);
		begin(&to, 1, 32);
		(void)add(&from, 1, cases[i].kind, 3, cases[i].from_bytes);
		(void)add(&to, 1, cases[i].kind, 21, cases[i].to_bytes);
		memcpy(from.memory + 3, &cases[i].value, cases[i].from_bytes);
		if (convert(&from, &to, &err) != cases[i].result) {
			fail_msg("case %zu: %s", i, err.text);
		}
		memcpy(&got, to.memory + 21, cases[i].to_bytes);
		if (cases[i].result == 0) {
			assert_int_equal(got, cases[i].expected);
		} else {
			assert_non_null(strstr(err.text, "field 1 of part 1, entry 0"));
		}
	}
}

static void texts_and_arrays_may_lose_only_zeros(void **state)
{
	static struct plain from;
	static struct plain to;
	struct error err = {0};

	(void)state;
	begin(&from, 1, 32);
	begin(&to, 1, 32);
	(void)add(&from, 1, LAYOUT_BYTES, 0, 8);
	(void)add(&to, 1, LAYOUT_BYTES, 4, 5);
	add(&from, 2, LAYOUT_INDEX, 8, 2)->count = 3;
	add(&to, 2, LAYOUT_INDEX, 16, 4)->count = 2;
	memcpy(from.memory, "abcd\0\0\0\0\1\0\377\377\377\377", 14);
	assert_int_equal(convert(&from, &to, &err), 0);
	assert_memory_equal(to.memory + 4, "abcd", 5);
	assert_memory_equal(to.memory + 16, "\1\0\0\0\377\377\377\377", 8);
	from.memory[5] = 'e';
	assert_int_equal(convert(&from, &to, &err), -ERANGE);
	from.memory[5] = 0;
	from.memory[12] = 5;
	from.memory[13] = 0;
	assert_int_equal(convert(&from, &to, &err), -ERANGE);
	assert_non_null(strstr(err.text, "field 2"));
}

static void new_fields_get_their_initial_value(void **state)
{
	static struct plain from;
	static struct plain to;
	struct layout_field *field;

	(void)state;
	begin(&from, 2, 8);
	begin(&to, 3, 16);
	(void)add(&from, 1, LAYOUT_UNSIGNED, 0, 4);
	(void)add(&to, 1, LAYOUT_UNSIGNED, 4, 4);
	field = add(&to, 2, LAYOUT_INDEX, 8, 2);
	field->count = 2;
	field->initial = UINT64_MAX;
	field = add(&to, 3, LAYOUT_SIGNED, 12, 4);
	field->initial = (uint64_t)-5;
	from.memory[8] = 9;
	assert_int_equal(convert(&from, &to, NULL), 0);
	assert_memory_equal(to.memory, "\0\0\0\0\0\0\0\0\377\377\377\377\373\377\377\377", 16);
	assert_memory_equal(
		to.memory + 16, "\0\0\0\0\11\0\0\0\377\377\377\377\373\377\377\377", 16);
	/* An entry that the old memory does not have is as in new memory. */
	assert_memory_equal(to.memory + 32, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
}

static void what_must_not_be_lost_refuses(void **state)
{
	static struct plain from;
	static struct plain to;
	struct error err = {0};

	(void)state;
	begin(&from, 1, 8);
	begin(&to, 1, 8);
	(void)add(&from, 1, LAYOUT_UNSIGNED, 0, 4);
	(void)add(&to, 1, LAYOUT_UNSIGNED, 0, 4);
	add(&from, 2, LAYOUT_UNSIGNED, 4, 4)->flags = LAYOUT_VITAL;
	assert_int_equal(convert(&from, &to, &err), 0);
	from.memory[5] = 1;
	assert_int_equal(convert(&from, &to, &err), -ERANGE);
	/* The same in a part that only the old memory has. */
	to.layout.parts[0].id = 2;
	to.layout.fields[0].part = 2;
	assert_int_equal(convert(&from, &to, &err), -ERANGE);
	from.memory[5] = 0;
	assert_int_equal(convert(&from, &to, &err), 0);
	/* And what the new program cannot do without. */
	to.layout.fields[0].flags = LAYOUT_NEEDED;
	assert_int_equal(convert(&from, &to, &err), -EPROTO);
	assert_non_null(strstr(err.text, "lacks part 2"));
	to.layout.parts[0].id = 1;
	to.layout.fields[0].part = 1;
	assert_int_equal(convert(&from, &to, &err), 0);
	to.layout.fields[0].id = 9;
	assert_int_equal(convert(&from, &to, &err), -EPROTO);
	assert_non_null(strstr(err.text, "lacks field 9 of part 1"));
}

static void another_kind_or_number_of_workers_is_refused(void **state)
{
	static struct plain from;
	static struct plain to;
	struct error err = {0};

	(void)state;
	begin(&from, 1, 8);
	begin(&to, 1, 8);
	(void)add(&from, 1, LAYOUT_UNSIGNED, 0, 4);
	(void)add(&to, 1, LAYOUT_SIGNED, 0, 4);
	assert_int_equal(convert(&from, &to, &err), -EPROTO);
	to.layout.fields[0].kind = LAYOUT_UNSIGNED;
	to.layout.parts[0].groups = 2;
	assert_int_equal(convert(&from, &to, &err), -EPROTO);
}

static void fewer_entries_are_enough_while_the_rest_is_unused(void **state)
{
	static struct plain from;
	static struct plain to;
	struct error err = {0};

	(void)state;
	begin(&from, 4, 8);
	begin(&to, 2, 8);
	(void)add(&from, 1, LAYOUT_UNSIGNED, 0, 4);
	(void)add(&to, 1, LAYOUT_UNSIGNED, 0, 4);
	from.memory[8] = 1;
	assert_int_equal(convert(&from, &to, &err), 0);
	assert_int_equal(to.memory[8], 1);
	from.memory[24] = 1;
	assert_int_equal(convert(&from, &to, &err), -ERANGE);
	assert_non_null(strstr(err.text, "uses entry 3 of part 1"));
}

static void guarded_entries_are_copied_where_they_count(void **state)
{
	static struct plain from;
	static struct plain to;

	(void)state;
	begin(&from, 2, 8);
	(void)add(&from, 1, LAYOUT_UNSIGNED, 0, 4);
	(void)add(&from, 2, LAYOUT_BYTES, 0, 8);
	from.layout.fields[1].part = 2;
	from.layout.head.part_count = 2;
	from.layout.parts[1] = (struct layout_part){.id = 2,
		.stride = 8,
		.offset = 1024,
		.groups = 1,
		.entries = 2,
		.guard_part = 1,
		.guard_field = 1};
	to = from;
	from.memory[8] = 1;
	memcpy(from.memory + 1024, "unused..counted.", 16);
	assert_int_equal(convert(&from, &to, NULL), 0);
	assert_memory_equal(to.memory + 1024, "\0\0\0\0\0\0\0\0counted.", 16);
}

/* ---- any layout to any other one and back ---- */

/* The fields of a part one behind the other in any order, with gaps. Returns the stride. */
static uint32_t arrange(struct layout_field *fields, uint32_t count, struct rng *rng)
{
	uint32_t order[FIELDS_EACH];
	uint32_t offset = 0;

	for (uint32_t i = 0; i < count; i++) {
		const uint32_t k = rng_below(rng, i + 1);

		order[i] = order[k];
		order[k] = i;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct layout_field *field = &fields[order[i]];

		field->stride = field->bytes + rng_below(rng, 3);
		field->offset = offset + rng_below(rng, 9);
		offset = field->offset + (field->count - 1) * field->stride + field->bytes;
	}
	return offset + rng_below(rng, 9);
}

/* As wide or wider, so that all values fit. */
static void widen(struct layout_field *field, struct rng *rng)
{
	if (field->kind == LAYOUT_BYTES) {
		field->bytes += rng_below(rng, 5);
	} else {
		while (field->bytes < 8 && rng_below(rng, 2) == 0) {
			field->bytes *= 2;
		}
	}
	field->count += rng_below(rng, 3);
}

/* The same parts and fields, wider, with more entries, elsewhere. */
static void vary(const struct layout *base, struct layout *ret_layout, struct rng *rng)
{
	uint64_t offset = 4096;
	uint32_t field = 0;

	*ret_layout = *base;
	for (uint32_t i = 0; i < base->head.part_count; i++) {
		struct layout_part *part = &ret_layout->parts[i];
		const uint32_t first = field;

		while (field < base->head.field_count && base->fields[field].part == part->id) {
			widen(&ret_layout->fields[field++], rng);
		}
		part->entries += rng_below(rng, 4);
		part->stride = arrange(&ret_layout->fields[first], field - first, rng);
		part->offset = offset;
		offset += (uint64_t)part->groups * part->entries * part->stride +
			rng_below(rng, 9000);
	}
	ret_layout->head.bytes = offset;
}

static void make_up(struct layout *layout, struct rng *rng)
{
	memset(layout, 0, sizeof *layout);
	layout->head = (struct layout_head){
		.version = 1, .workers = 3, .sessions_per_worker = 5, .part_count = PARTS};
	for (uint32_t i = 0; i < PARTS; i++) {
		layout->parts[i] = (struct layout_part){
			.id = i + 1, .groups = 1 + 2 * (i & 1), .entries = 1 + rng_below(rng, 40)};
		for (uint32_t k = 0; k < FIELDS_EACH; k++) {
			struct layout_field *field = &layout->fields[layout->head.field_count++];

			*field = (struct layout_field){.part = (uint16_t)(i + 1),
				.id = (uint16_t)(k + 1),
				.kind = (uint16_t)(1 + rng_below(rng, 4)),
				.count = 1 + rng_below(rng, 4),
				.bytes = 1U << rng_below(rng, 4),
				.initial = rng_next(rng)};
		}
	}
}

struct memory {
	int fd;
	uint8_t *bytes;
};

static struct memory memory_of(const struct layout *layout)
{
	struct memory memory = {.fd = memfd_create("test", MFD_CLOEXEC)};

	assert_true(memory.fd >= 0);
	assert_int_equal(ftruncate(memory.fd, (off_t)layout->head.bytes), 0);
	memory.bytes =
		mmap(NULL, layout->head.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory.fd, 0);
	assert_ptr_not_equal(memory.bytes, MAP_FAILED);
	return memory;
}

static void give_back(struct memory *memory, const struct layout *layout)
{
	assert_int_equal(munmap(memory->bytes, layout->head.bytes), 0);
	assert_int_equal(close(memory->fd), 0);
}

typedef void visit(uint8_t *element, const struct layout_field *field, void *context);

static void for_each_element(
	const struct layout *layout, uint8_t *memory, visit *visit_element, void *context)
{
	for (uint32_t i = 0; i < layout->head.field_count; i++) {
		const struct layout_field *field = &layout->fields[i];
		const struct layout_part *part = layout_part(layout, field->part);

		for (uint64_t e = 0; e < (uint64_t)part->groups * part->entries; e++) {
			for (uint32_t k = 0; k < field->count; k++) {
				visit_element(memory + part->offset + e * part->stride +
						field->offset + (size_t)k * field->stride,
					field, context);
			}
		}
	}
}

static void fill_element(uint8_t *element, const struct layout_field *field, void *context)
{
	struct rng *rng = context;
	const uint32_t what = rng_below(rng, 4);

	for (uint32_t b = 0; b < field->bytes; b++) {
		element[b] = what == 0 ? 0 : what == 1 ? 0xff : (uint8_t)rng_next(rng);
	}
}

/* Only elements count, not the gaps between them. */
static void hash_element(uint8_t *element, const struct layout_field *field, void *context)
{
	uint64_t *hash = context;

	for (uint32_t b = 0; b < field->bytes; b++) {
		*hash = (*hash ^ element[b]) * 0x100000001b3U;
	}
}

static uint64_t hash_of(const struct layout *layout, uint8_t *memory)
{
	uint64_t hash = 0xcbf29ce484222325U;

	for_each_element(layout, memory, hash_element, &hash);
	return hash;
}

static void there_and_back_is_the_same(void **state)
{
	static struct layout base;
	static struct layout first;
	static struct layout second;

	(void)state;
	for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
		struct rng rng;
		struct error err = {0};
		struct memory a;
		struct memory b;
		struct memory c;
		uint64_t hash;
		int r;

		rng_init(&rng, seed);
		make_up(&base, &rng);
		vary(&base, &first, &rng);
		vary(&first, &second, &rng);
		a = memory_of(&first);
		b = memory_of(&second);
		c = memory_of(&first);
		for_each_element(&first, a.bytes, fill_element, &rng);
		hash = hash_of(&first, a.bytes);
		r = convert_memory(
			&(struct convert_source){&first, a.bytes, a.fd}, &second, b.bytes, &err);
		if (r == 0) {
			r = convert_memory(&(struct convert_source){&second, b.bytes, b.fd}, &first,
				c.bytes, &err);
		}
		if (r != 0 || hash_of(&first, c.bytes) != hash) {
			fail_msg("seed %llu: %s", (unsigned long long)seed,
				r != 0 ? err.text : "another content");
		}
		give_back(&a, &first);
		give_back(&b, &second);
		give_back(&c, &first);
	}
}

/* A terabyte of address space with three entries in it takes no time and no memory. */
static void holes_stay_holes(void **state)
{
	static struct plain plain;
	struct layout *layout = &plain.layout;
	struct memory from;
	struct memory to;
	struct stat status;

	(void)state;
	begin(&plain, 1U << 30, 512);
	(void)add(&plain, 1, LAYOUT_UNSIGNED, 500, 8);
	layout->head.bytes = 1ULL << 39;
	from = memory_of(layout);
	to = memory_of(layout);
	from.bytes[500] = 1;
	from.bytes[(512ULL << 29) + 500] = 2;
	from.bytes[(512ULL << 30) - 5] = 3;
	assert_int_equal(convert_memory(&(struct convert_source){layout, from.bytes, from.fd},
				 layout, to.bytes, NULL),
		0);
	assert_int_equal(to.bytes[500], 1);
	assert_int_equal(to.bytes[(512ULL << 29) + 500], 2);
	assert_int_equal(to.bytes[(512ULL << 30) - 5], 3);
	assert_int_equal(fstat(from.fd, &status), 0);
	assert_true(status.st_blocks <= 3 * 8);
	assert_int_equal(fstat(to.fd, &status), 0);
	assert_true(status.st_blocks <= 3 * 8);
	give_back(&from, layout);
	give_back(&to, layout);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_keep_their_value_or_are_refused),
		cmocka_unit_test(texts_and_arrays_may_lose_only_zeros),
		cmocka_unit_test(new_fields_get_their_initial_value),
		cmocka_unit_test(what_must_not_be_lost_refuses),
		cmocka_unit_test(another_kind_or_number_of_workers_is_refused),
		cmocka_unit_test(fewer_entries_are_enough_while_the_rest_is_unused),
		cmocka_unit_test(guarded_entries_are_copied_where_they_count),
		cmocka_unit_test(there_and_back_is_the_same),
		cmocka_unit_test(holes_stay_holes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
