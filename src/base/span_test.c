#include "base/span.h"
#include "base/testing.h"

static void spans_compare_by_bytes(void **state)
{
	const struct span none = {0};

	(void)state;
	assert_true(span_is(span_of("abc"), "abc"));
	assert_false(span_is(span_of("abc"), "abcd"));
	assert_false(span_is(span_of("abcd"), "abc"));
	assert_true(span_equal((struct span){"a\0b", 3}, (struct span){"a\0b", 3}));
	assert_false(span_equal((struct span){"a\0b", 3}, (struct span){"a\0c", 3}));
	assert_true(span_is(none, ""));
	assert_true(span_starts_with(span_of("unix:/x"), "unix:"));
	assert_true(span_starts_with(none, ""));
	assert_false(span_starts_with(span_of("uni"), "unix:"));
}

static void parts_are_cut_at_the_end(void **state)
{
	const struct span text = span_of("hello");

	(void)state;
	assert_true(span_is(span_first(text, 2), "he"));
	assert_true(span_is(span_first(text, 99), "hello"));
	assert_true(span_is(span_skip(text, 2), "llo"));
	assert_true(span_is(span_skip(text, 5), ""));
	assert_true(span_is(span_skip(text, 99), ""));
}

static void a_byte_is_found_or_not(void **state)
{
	(void)state;
	assert_int_equal(span_find(span_of("a:b:c"), ':'), 1);
	assert_int_equal(span_find(span_of("abc"), ':'), 3);
	assert_int_equal(span_find((struct span){0}, ':'), 0);
}

static void blanks_go_at_both_ends(void **state)
{
	(void)state;
	assert_true(span_is(span_trim(span_of(" \t a b\r\n")), "a b"));
	assert_true(span_is(span_trim(span_of(" \r\n\t")), ""));
	assert_true(span_is(span_trim((struct span){0}), ""));
}

static void lines_come_one_by_one(void **state)
{
	struct span rest = span_of("one\n\nthree");
	struct span line;

	(void)state;
	assert_true(span_next_line(&rest, &line));
	assert_true(span_is(line, "one"));
	assert_true(span_next_line(&rest, &line));
	assert_true(span_is(line, ""));
	assert_true(span_next_line(&rest, &line));
	assert_true(span_is(line, "three"));
	assert_false(span_next_line(&rest, &line));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_compare_by_bytes),
		cmocka_unit_test(parts_are_cut_at_the_end),
		cmocka_unit_test(a_byte_is_found_or_not),
		cmocka_unit_test(blanks_go_at_both_ends),
		cmocka_unit_test(lines_come_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
