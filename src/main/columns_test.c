#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "main/columns.h"

/* To be freed by the caller. */
static char *print(struct columns *columns)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	assert_true(columns_end(columns, file));
	assert_int_equal(fclose(file), 0);
	return text;
}

static void columns_are_as_wide_as_what_is_in_them(void **state)
{
	static const char *const titles[] = {"NAME", ">COUNT", "REASON"};
	struct columns columns;
	char *text;

	(void)state;
	columns_begin(&columns, 3, titles);
	columns_add(&columns, "a");
	columns_format(&columns, "%d", 1234567);
	columns_add(&columns, "refused");
	columns_add(&columns, "longer name");
	columns_format(&columns, "%d", 8);
	columns_add(&columns, NULL);
	text = print(&columns);
	assert_string_equal(text,
		"NAME           COUNT  REASON\n"
		"a            1234567  refused\n"
		"longer name        8  -\n");
	free(text);
}

static void width_is_counted_in_characters(void **state)
{
	struct columns columns;
	char *text;

	(void)state;
	columns_begin(&columns, 2, NULL);
	columns_add(&columns, "caf\xc3\xa9");
	columns_add(&columns, "x");
	columns_add(&columns, "cafe");
	columns_add(&columns, "y");
	text = print(&columns);
	assert_string_equal(text, "caf\xc3\xa9  x\ncafe  y\n");
	free(text);
}

static void nothing_from_outside_controls_the_terminal(void **state)
{
	char *text = columns_escape("a\x1b[2Jb\n\xff\x7f\xc2\x9b"
				    "c\xc3\xa9");

	(void)state;
	assert_string_equal(text, "a\\x1b[2Jb\\x0a\\xff\\x7f\\xc2\\x9bc\xc3\xa9");
	free(text);
}

static void lines_stay_lines(void **state)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	assert_non_null(file);
	assert_true(columns_print_lines("a:1: error\n  x\x1b\n\n  ^", file));
	assert_int_equal(fclose(file), 0);
	assert_string_equal(text, "a:1: error\n  x\\x1b\n\n  ^\n");
	free(text);
}

static void a_row_that_is_not_whole_is_not_printed(void **state)
{
	struct columns columns;
	char *text;

	(void)state;
	columns_begin(&columns, 2, NULL);
	for (int i = 0; i < 201; i++) {
		columns_format(&columns, "%d", i);
	}
	text = print(&columns);
	assert_non_null(strstr(text, "\n198  199\n"));
	assert_null(strstr(text, "200"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(columns_are_as_wide_as_what_is_in_them),
		cmocka_unit_test(width_is_counted_in_characters),
		cmocka_unit_test(nothing_from_outside_controls_the_terminal),
		cmocka_unit_test(lines_stay_lines),
		cmocka_unit_test(a_row_that_is_not_whole_is_not_printed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
