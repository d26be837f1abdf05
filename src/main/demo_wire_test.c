#include <string.h>

#include "base/testing.h"
#include "main/demo_wire.h"

static void a_header_survives_the_way(void **state)
{
	const struct demo_header header = {
		.magic = DEMO_WIRE_MAGIC,
		.length = DEMO_BODY_MAX,
		.seed = 0x0123456789abcdef,
		.backend = 2,
		.intact = 1,
	};
	char bytes[DEMO_HEADER_SIZE];
	struct demo_header back;

	(void)state;
	demo_header_write(&header, bytes);
	assert_true(demo_header_read(bytes, &back));
	assert_memory_equal(&back, &header, sizeof header);
}

static void what_is_no_header_is_refused(void **state)
{
	struct demo_header header = {.magic = DEMO_WIRE_MAGIC + 1, .length = 1};
	char bytes[DEMO_HEADER_SIZE];
	struct demo_header back;

	(void)state;
	demo_header_write(&header, bytes);
	assert_false(demo_header_read(bytes, &back));
	header = (struct demo_header){.magic = DEMO_WIRE_MAGIC, .length = DEMO_BODY_MAX + 1};
	demo_header_write(&header, bytes);
	assert_false(demo_header_read(bytes, &back));
}

static void a_body_is_the_same_in_pieces(void **state)
{
	enum { LENGTH = 1000 };
	char whole[LENGTH];
	char pieces[LENGTH];

	(void)state;
	demo_body_fill(7, 0, whole, LENGTH);
	for (size_t size = 1; size < 30; size++) {
		for (size_t at = 0; at < LENGTH; at += size) {
			const size_t count = LENGTH - at < size ? LENGTH - at : size;

			demo_body_fill(7, at, pieces + at, count);
			assert_true(demo_body_check(7, at, whole + at, count));
		}
		assert_memory_equal(pieces, whole, LENGTH);
	}
}

static void every_changed_byte_is_noticed(void **state)
{
	enum { LENGTH = 100 };
	char body[LENGTH];

	(void)state;
	demo_body_fill(3, 5, body, LENGTH);
	assert_true(demo_body_check(3, 5, body, LENGTH));
	assert_false(demo_body_check(4, 5, body, LENGTH));
	assert_false(demo_body_check(3, 6, body, LENGTH));
	for (size_t i = 0; i < LENGTH; i++) {
		body[i] ^= 1;
		assert_false(demo_body_check(3, 5, body, LENGTH));
		body[i] ^= 1;
	}
}

static void an_answer_is_no_echo(void **state)
{
	char body[64];

	(void)state;
	demo_body_fill(9, 0, body, sizeof body);
	assert_false(demo_body_check(demo_answer_seed(9), 0, body, sizeof body));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_header_survives_the_way),
		cmocka_unit_test(what_is_no_header_is_refused),
		cmocka_unit_test(a_body_is_the_same_in_pieces),
		cmocka_unit_test(every_changed_byte_is_noticed),
		cmocka_unit_test(an_answer_is_no_echo),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
