/*
 * One memory goes from this program to another one with another arrangement of the records, and
 * back: what an upgrade and a downgrade do. Executes its peer, which executes this again.
 *
 * Usage: shm_version_test PEER
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/rng.h"
#include "base/testing.h"
#include "model/shm.h"
#include "model/shm_layout.h"

enum { WORKERS = 2, RECORDS = 500, DAMAGED_EACH = 7 };

/* What the second image of this program is started with. */
struct passed {
	int original_fd;
	int returned_fd;
	uint32_t valid_for_peer;
	uint32_t version_of_peer;
};

static struct passed passed;

/* Of a long text, this much is looked at: the rest would be the same, slowly. */
static uint32_t looked_at(const struct layout_field *field)
{
	return field->bytes < RECEIVE_BUFFER_BYTES ? field->bytes : RECEIVE_BUFFER_BYTES;
}

typedef void visit(uint64_t offset, const struct layout_field *field, void *context);

/* Of the large tables every 61st entry: the rest would be the same, slowly. */
static void for_each_element(const struct layout *layout, const struct layout_field *field,
	visit *visit_element, void *context)
{
	const struct layout_part *part = layout_part(layout, field->part);
	const uint64_t entries = (uint64_t)part->groups * part->entries;
	const uint64_t step = entries > (uint64_t)RECORDS * WORKERS ? 61 : 1;

	for (uint64_t e = 0; e < entries; e += step) {
		for (uint32_t k = 0; k < field->count; k++) {
			visit_element(part->offset + e * part->stride + field->offset +
					(uint64_t)k * field->stride,
				field, context);
		}
	}
}

struct filling {
	uint8_t *base;
	struct rng rng;
};

static void fill_element(uint64_t offset, const struct layout_field *field, void *context)
{
	struct filling *filling = context;

	for (uint32_t b = 0; b < looked_at(field); b++) {
		filling->base[offset + b] = (uint8_t)rng_next(&filling->rng);
	}
}

/* Anything in the elements of all fields, by the tables. */
static void fill(struct shm *shm)
{
	static struct layout layout;
	struct filling filling = {.base = (uint8_t *)shm->header};

	rng_init(&filling.rng, 42);
	shm_layout(WORKERS, RECORDS, &layout);
	for (uint32_t i = 0; i < layout.head.field_count; i++) {
		for_each_element(&layout, &layout.fields[i], fill_element, &filling);
	}
}

static bool is_damaged(uint32_t index)
{
	return index % DAMAGED_EACH == 0;
}

static void make_records_valid(struct shm *shm)
{
	for (uint32_t worker = 0; worker < WORKERS; worker++) {
		for (uint32_t i = 0; i < RECORDS; i++) {
			struct session_record *record = shm_record(shm, worker, i);

			record->check = session_record_check(record, i) + is_damaged(i);
		}
	}
	/* The buffer of worker 0 holds bytes that count, that of worker 1 does not. */
	atomic_store(&shm->journals[0].key, journal_key(3, SIDE_BACKEND));
	atomic_store(&shm->journals[1].key, 0);
	for (uint32_t i = 0; i < WORKERS * LANES_PER_WORKER; i++) {
		atomic_store(&shm->lanes[i].key, i % 2 == 0 ? journal_key(i, SIDE_CLIENT) : 0);
	}
	for (uint32_t i = 0; i < WORKERS * CHUNKS_PER_WORKER; i++) {
		atomic_store(&shm->chunks[i].length, i % 2 == 0 ? CHUNK_BYTES : 0);
	}
}

static int hand_over(const char *program, const char *peer)
{
	struct shm shm;
	struct error err = {0};
	char number[16];

	if (shm_create(WORKERS, RECORDS, &shm, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	fill(&shm);
	make_records_valid(&shm);
	(void)snprintf(number, sizeof number, "%d", shm.fd);
	(void)execl(peer, peer, program, number, NULL);
	perror(peer);
	return 1;
}

static int open_memory(int fd, struct shm *ret_shm)
{
	struct error err = {0};
	const int r = shm_attach(fd, ret_shm, &err);

	if (r < 0) {
		print_error("%s\n", err.text);
	}
	return r;
}

static void the_other_program_could_prove_the_same_records(void **state)
{
	uint32_t expected = 0;

	(void)state;
	for (uint32_t i = 0; i < RECORDS; i++) {
		expected += !is_damaged(i);
	}
	assert_int_not_equal(passed.version_of_peer, RECORD_VERSION);
	assert_int_equal(passed.valid_for_peer, expected);
}

struct comparison {
	const uint8_t *original;
	const uint8_t *returned;
};

static void compare_element(uint64_t offset, const struct layout_field *field, void *context)
{
	const struct comparison *both = context;

	if (memcmp(both->original + offset, both->returned + offset, looked_at(field)) != 0) {
		fail_msg("part %u: field %u differs at %llu", field->part, field->id,
			(unsigned long long)offset);
	}
}

/* All elements that both programs know, but those of parts whose entries may not count. */
static void expect_equal(const struct shm *original, const struct shm *returned)
{
	static struct layout layout;
	struct comparison both = {
		(const uint8_t *)original->header, (const uint8_t *)returned->header};

	shm_layout(WORKERS, RECORDS, &layout);
	for (uint32_t i = 0; i < layout.head.field_count; i++) {
		const struct layout_field *field = &layout.fields[i];

		if (layout_part(&layout, field->part)->guard_part == 0 && field->id != FIELD_MARK) {
			for_each_element(&layout, field, compare_element, &both);
		}
	}
}

static void what_comes_back_is_what_was_given(void **state)
{
	struct shm original;
	struct shm returned;
	struct error err = {0};

	(void)state;
	assert_int_equal(open_memory(passed.original_fd, &original), 0);
	assert_int_equal(shm_attach(passed.returned_fd, &returned, &err), -EPROTO);
	assert_true(shm_understands(passed.returned_fd, &err));
	if (shm_convert(passed.returned_fd, &returned, &err) < 0) {
		fail_msg("%s", err.text);
	}
	expect_equal(&original, &returned);

	assert_memory_equal(
		original.receive_buffers, returned.receive_buffers, RECEIVE_BUFFER_BYTES);
	assert_int_equal(returned.receive_buffers[RECEIVE_BUFFER_BYTES], 0);
	assert_memory_equal(original.lane_bytes, returned.lane_bytes, LANE_BYTES);
	assert_int_equal(returned.lane_bytes[LANE_BYTES], 0);
	for (uint32_t worker = 0; worker < WORKERS; worker++) {
		const uint8_t *chunk = shm_chunk_bytes(&original, worker, 0);

		assert_memory_equal(chunk, shm_chunk_bytes(&returned, worker, 0), CHUNK_BYTES);
	}
	for (uint32_t i = 0; i < RECORDS; i++) {
		const struct session_record *record = shm_record(&returned, 1, i);

		assert_int_equal(record->check == session_record_check(record, i), !is_damaged(i));
	}
	shm_destroy(&returned);
	shm_destroy(&original);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_other_program_could_prove_the_same_records),
		cmocka_unit_test(what_comes_back_is_what_was_given),
	};

	if (argc == 2) {
		return hand_over(argv[0], argv[1]);
	}
	if (argc != 5) {
		(void)fputs("usage: shm_version_test PEER\n", stderr);
		return 64;
	}
	passed = (struct passed){
		.original_fd = (int)strtol(argv[1], NULL, 10),
		.returned_fd = (int)strtol(argv[2], NULL, 10),
		.valid_for_peer = (uint32_t)strtoul(argv[3], NULL, 10),
		.version_of_peer = (uint32_t)strtoul(argv[4], NULL, 10),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
