#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "bench/pattern.h"

enum { LENGTH = 3 * PATTERN_SPAN };

static uint8_t *stream_of(uint32_t stream, enum pattern_direction direction, uint64_t position)
{
	uint8_t *bytes = malloc(LENGTH);

	assert_non_null(bytes);
	for (size_t i = 0; i < LENGTH; i++) {
		bytes[i] = *pattern_at(stream, direction, position + i);
	}
	return bytes;
}

static void what_was_sent_matches_at_any_position(void **state)
{
	static const uint64_t positions[] = {0, 1, PATTERN_PERIOD - 1, 1ULL << 40};

	(void)state;
	for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
		uint8_t *bytes = stream_of(7, PATTERN_DOWN, positions[i]);
		assert_memory_equal(bytes, pattern_at(7, PATTERN_DOWN, positions[i]), PATTERN_SPAN);
		assert_int_equal(
			LENGTH, pattern_match(7, PATTERN_DOWN, positions[i], bytes, LENGTH));
		free(bytes);
	}
}

static void a_changed_byte_is_found_where_it_is(void **state)
{
	static const size_t places[] = {0, 1, PATTERN_SPAN - 1, PATTERN_SPAN, LENGTH - 1};
	uint8_t *bytes = stream_of(3, PATTERN_UP, 5);

	(void)state;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		bytes[places[i]] ^= 1;
		assert_int_equal(places[i], pattern_match(3, PATTERN_UP, 5, bytes, LENGTH));
		bytes[places[i]] ^= 1;
	}
	free(bytes);
}

/* What proxies would lose or repeat: single bytes, pages, buffers, pipes. */
static void a_shift_is_found_at_once(void **state)
{
	static const uint64_t shifts[] = {1, 2, 64, 4096, 16384, 65536, 262144, 1048576};

	(void)state;
	for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
		uint8_t *bytes = stream_of(9, PATTERN_UP, shifts[i]);
		assert_true(pattern_match(9, PATTERN_UP, 0, bytes, LENGTH) < 16);
		free(bytes);
	}
}

static void streams_and_directions_differ(void **state)
{
	(void)state;
	for (uint32_t stream = 0; stream < 2000; stream++) {
		const uint8_t *up = pattern_at(stream, PATTERN_UP, 0);
		assert_true(memcmp(up, pattern_at(stream, PATTERN_DOWN, 0), 16) != 0);
		assert_true(memcmp(up, pattern_at(stream + 1, PATTERN_UP, 0), 16) != 0);
	}
}

static int setup(void **state)
{
	(void)state;
	pattern_init();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_sent_matches_at_any_position),
		cmocka_unit_test(a_changed_byte_is_found_where_it_is),
		cmocka_unit_test(a_shift_is_found_at_once),
		cmocka_unit_test(streams_and_directions_differ),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
