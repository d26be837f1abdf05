#include <string.h>

#include "base/arena.h"
#include "base/testing.h"

static void pieces_are_aligned_zeroed_and_apart(void **state)
{
	struct arena *arena = arena_create();
	unsigned char *previous = NULL;
	size_t previous_size = 0;

	(void)state;
	assert_non_null(arena);
	for (size_t size = 0; size < 3000; size += 7) {
		unsigned char *piece = arena_alloc(arena, size);

		assert_non_null(piece);
		assert_int_equal((uintptr_t)piece % 16, 0);
		for (size_t i = 0; i < size; i++) {
			assert_int_equal(piece[i], 0);
		}
		memset(piece, 0xff, size);
		if (previous != NULL) {
			for (size_t i = 0; i < previous_size; i++) {
				assert_int_equal(previous[i], 0xee);
			}
		}
		memset(piece, 0xee, size);
		previous = piece;
		previous_size = size;
	}
	arena_free(arena);
}

static void a_piece_may_be_larger_than_a_block(void **state)
{
	struct arena *arena = arena_create();
	char *small = arena_strdup(arena, "small");
	char *large = arena_alloc(arena, 8u << 20);

	(void)state;
	assert_non_null(large);
	large[(8u << 20) - 1] = 'x';
	assert_string_equal(small, "small");
	assert_true(arena_size(arena) > (8u << 20));
	arena_free(arena);
}

static void sizes_that_overflow_are_refused(void **state)
{
	struct arena *arena = arena_create();

	(void)state;
	assert_null(arena_alloc(arena, SIZE_MAX));
	assert_null(arena_alloc(arena, SIZE_MAX - 15));
	assert_null(arena_alloc_array(arena, SIZE_MAX / 2, 3));
	assert_null(arena_strndup(arena, "x", SIZE_MAX));
	assert_non_null(arena_alloc_array(arena, 10, 3));
	arena_free(arena);
}

static void strings_are_copied_and_terminated(void **state)
{
	struct arena *arena = arena_create();
	char text[] = "abcdef";
	char *part = arena_strndup(arena, text, 3);
	char *none = arena_strndup(arena, NULL, 0);

	(void)state;
	text[0] = 'z';
	assert_string_equal(part, "abc");
	assert_string_equal(none, "");
	arena_free(arena);
	arena_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_aligned_zeroed_and_apart),
		cmocka_unit_test(a_piece_may_be_larger_than_a_block),
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(strings_are_copied_and_terminated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
