#include <errno.h>

#include "base/array.h"
#include "config/diag.h"
#include "config/testing.h"

static const struct toml_position nowhere;

static struct toml_position at(uint32_t line, uint32_t column)
{
	return (struct toml_position){line, column};
}

/* What is printed about one place of a text. */
static void assert_shown(const char *text, struct toml_position position, const char *expected)
{
	struct diag *diag = diag_create();
	char *messages;

	diag_begin(diag, "f", span_of(text));
	diag_add(diag, DIAG_ERROR, position, "bad");
	diag_end(diag);
	messages = messages_of(diag);
	assert_string_equal(messages, expected);
	free(messages);
	diag_free(diag);
}

static char *json_of(const struct diag *diag)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	diag_print_json(diag, file);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void a_message_shows_the_line_and_the_place(void **state)
{
	(void)state;
	assert_shown("one = 1\ntwo = 2\n", at(2, 7),
		"f:2:7: error: bad\n    2 | two = 2\n      |       ^\n1 error, 0 warnings\n");
	assert_shown("one", at(1, 1),
		"f:1:1: error: bad\n    1 | one\n      | ^\n1 error, 0 warnings\n");
	assert_shown("one", nowhere, "f: error: bad\n1 error, 0 warnings\n");
}

static void tabs_and_accents_do_not_shift_the_caret(void **state)
{
	(void)state;
	assert_shown("\ta\t= 1", at(1, 4),
		"f:1:4: error: bad\n    1 | \ta\t= 1\n      | \t \t^\n1 error, 0 warnings\n");
	assert_shown("\xc3\xa9\xe2\x82\xac = 1", at(1, 4),
		"f:1:4: error: bad\n    1 | \xc3\xa9\xe2\x82\xac = 1\n      |    ^\n"
		"1 error, 0 warnings\n");
}

static void the_end_of_a_line_is_a_place(void **state)
{
	(void)state;
	assert_shown("[a\r\nb", at(1, 3),
		"f:1:3: error: bad\n    1 | [a\n      |   ^\n1 error, 0 warnings\n");
	assert_shown("a = \nb", at(1, 5),
		"f:1:5: error: bad\n    1 | a =\n      |     ^\n1 error, 0 warnings\n");
	assert_shown(
		"a\n", at(2, 1), "f:2:1: error: bad\n    2 |\n      | ^\n1 error, 0 warnings\n");
	assert_shown(
		"a\n", at(9, 9), "f:9:9: error: bad\n    9 |\n      |  ^\n1 error, 0 warnings\n");
}

static void what_a_terminal_would_obey_is_not_printed(void **state)
{
	struct diag *diag = diag_create();
	char *messages;

	(void)state;
	/* NOLINTNEXTLINE(misc-misleading-bidirectional): it must not reach a terminal. */
	assert_shown("a\x1b[31m\x7f\xc2\x9b\xe2\x80\xae\xff"
		     "b",
		at(1, 10),
		"f:1:10: error: bad\n    1 | a?[31m????b\n      |          ^\n"
		"1 error, 0 warnings\n");
	diag_begin(diag, "f", (struct span){0});
	/* NOLINTNEXTLINE(misc-misleading-bidirectional): as above. */
	diag_add(diag, DIAG_ERROR, nowhere, "%s", "a\n\x1b\x7f\xc2\x9b\xe2\x80\xae\xff\xc3\xa9");
	diag_help(diag, "%s", "\rb");
	diag_end(diag);
	messages = messages_of(diag);
	assert_string_equal(messages,
		"f: error: a\\x0a\\x1b\\x7f\\u009b\\u202e\\xff\xc3\xa9\n"
		"help: \\x0db\n1 error, 0 warnings\n");
	free(messages);
	diag_free(diag);
}

static void long_lines_are_cut_around_the_place(void **state)
{
	char line[1000];
	struct diag *diag = diag_create();
	char *messages;
	const char *excerpt;
	const char *caret;

	(void)state;
	memset(line, '.', sizeof line);
	line[499] = '!';
	diag_begin(diag, "f", (struct span){line, sizeof line});
	diag_add(diag, DIAG_ERROR, at(1, 500), "bad");
	diag_add(diag, DIAG_ERROR, at(1, 5), "bad");
	diag_end(diag);
	messages = messages_of(diag);
	excerpt = strchr(strstr(messages, "f:1:500"), '|');
	caret = strchr(strchr(excerpt, '\n'), '|');
	assert_true(strcspn(excerpt, "\n") < 120);
	assert_int_equal(excerpt[strcspn(caret, "^")], '!');
	assert_memory_equal(excerpt, "| ...", 5);
	assert_memory_equal(strchr(excerpt, '\n') - 3, "...", 3);
	free(messages);
	diag_free(diag);
}

static void messages_are_sorted_by_position(void **state)
{
	struct diag *diag = diag_create();
	char *messages;

	(void)state;
	diag_begin(diag, "f", (struct span){0});
	diag_add(diag, DIAG_WARNING, at(3, 1), "D");
	diag_add(diag, DIAG_ERROR, at(2, 9), "C");
	diag_help(diag, "of %c", 'C');
	diag_add(diag, DIAG_ERROR, at(2, 1), "A");
	diag_add(diag, DIAG_ERROR, at(2, 1), "B");
	diag_end(diag);
	messages = messages_of(diag);
	assert_true(strstr(messages, ": A\n") < strstr(messages, ": B\n"));
	assert_true(strstr(messages, ": B\n") < strstr(messages, ": C\n"));
	assert_true(strstr(messages, ": C\n") < strstr(messages, "help: of C\n"));
	assert_true(strstr(messages, "help: of C\n") < strstr(messages, ": D\n"));
	assert_contains(messages, "f:3:1: warning: D\n");
	assert_contains(messages, "\n3 errors, 1 warning\n");
	assert_int_equal(diag_errors(diag), 3);
	assert_int_equal(diag_warnings(diag), 1);
	free(messages);
	diag_free(diag);
}

static void nothing_to_say_prints_nothing(void **state)
{
	struct diag *diag = diag_create();
	char *messages = messages_of(diag);
	char *json = json_of(diag);

	(void)state;
	assert_string_equal(messages, "");
	assert_string_equal(json, "[]\n");
	free(messages);
	free(json);
	diag_begin(diag, "f", (struct span){0});
	diag_help(diag, "for nothing");
	diag_end(diag);
	messages = messages_of(diag);
	assert_string_equal(messages, "");
	free(messages);
	diag_free(diag);
	diag_free(NULL);
}

static void json_has_the_six_members(void **state)
{
	struct diag *diag = diag_create();
	char *json;

	(void)state;
	diag_begin(diag, "a\"b\xff.toml", span_of("x\n"));
	diag_add(diag, DIAG_ERROR, at(1, 2), "the \"key\" \\ %s", "\xc3\xa9");
	diag_help(diag, "help");
	diag_add(diag, DIAG_WARNING, nowhere, "all");
	diag_end(diag);
	json = json_of(diag);
	assert_string_equal(json,
		"[\n"
		"  {\"file\": \"a\\\"b\\ufffd.toml\", \"line\": null, \"column\": null, "
		"\"severity\": \"warning\", \"message\": \"all\", \"help\": null},\n"
		"  {\"file\": \"a\\\"b\\ufffd.toml\", \"line\": 1, \"column\": 2, "
		"\"severity\": \"error\", \"message\": \"the \\\"key\\\" \\\\ \xc3\xa9\", "
		"\"help\": \"help\"}\n"
		"]\n");
	free(json);
	diag_free(diag);
}

static void write_controls(FILE *file)
{
	json_write_string(file, "\x01\t\n\x7f/\"\\\xf0\x9f\x98\x80\x80z", 13);
}

static void json_strings_are_escaped(void **state)
{
	char *text = written_by(write_controls);

	(void)state;
	assert_string_equal(
		text, "\"\\u0001\\u0009\\u000a\\u007f/\\\"\\\\\xf0\x9f\x98\x80\\ufffdz\"");
	free(text);
}

static void too_many_messages_are_counted(void **state)
{
	struct diag *diag = diag_create();
	char *messages;

	(void)state;
	diag_begin(diag, "f", (struct span){0});
	for (int i = 0; i < DIAG_KEPT_MAX + 5; i++) {
		diag_add(diag, DIAG_ERROR, at(1, 1), "message %d", i);
		diag_help(diag, "help %d", i);
	}
	diag_end(diag);
	messages = messages_of(diag);
	assert_contains(messages, "help 999\n");
	assert_null(strstr(messages, "message 1000"));
	assert_null(strstr(messages, "help 1000"));
	assert_contains(
		messages, "(only the first 1000 messages are shown)\n1005 errors, 0 warnings\n");
	free(messages);
	diag_free(diag);
}

static void a_lack_of_memory_is_an_error(void **state)
{
	struct diag *diag = diag_create();
	char *messages;
	char *json;

	(void)state;
	diag_out_of_memory(diag);
	diag_out_of_memory(NULL);
	assert_int_equal(diag_errors(diag), 1);
	assert_int_equal(diag_errors(NULL), 1);
	assert_int_equal(diag_warnings(NULL), 0);
	assert_int_equal(diag_read_error(NULL), ENOMEM);
	assert_int_equal(diag_read_error(diag), ENOMEM);
	messages = messages_of(diag);
	assert_string_equal(messages, "error: out of memory\n1 error, 0 warnings\n");
	free(messages);
	json = json_of(diag);
	assert_contains(json, "\"message\": \"out of memory\", \"help\": null}\n]");
	free(json);
	messages = messages_of(NULL);
	assert_string_equal(messages, "error: out of memory\n");
	free(messages);
	json = json_of(NULL);
	assert_contains(json, "out of memory");
	free(json);
	diag_free(diag);
}

static void what_cannot_be_read_is_told_by_what_can_be_done(void **state)
{
	static const struct {
		int code;
		enum diag_failure failure;
	} rows[] = {
		{EISDIR, DIAG_CONTENT},
		{ENOENT, DIAG_NO_FILE},
		{ENOTDIR, DIAG_NO_FILE},
		{EACCES, DIAG_NOT_PERMITTED},
		{EIO, DIAG_IO},
		{EMFILE, DIAG_LIMIT},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct diag *diag = diag_create();

		diag_begin(diag, "f", span_of(""));
		diag_unreadable(diag, rows[i].code, "cannot read it");
		diag_end(diag);
		assert_int_equal(diag_failure(diag), rows[i].failure);
		diag_free(diag);
	}
	assert_int_equal(diag_failure(NULL), DIAG_LIMIT);
}

static void without_a_diag_nothing_happens(void **state)
{
	(void)state;
	diag_begin(NULL, "f", (struct span){0});
	diag_add(NULL, DIAG_ERROR, nowhere, "unheard");
	diag_help(NULL, "unheard");
	diag_unreadable(NULL, 5, "unheard");
	diag_end(NULL);
	assert_null(config_load_text("", 0, "f", NULL));
	assert_null(config_load_file("/nonexistent", NULL));
}

static void a_long_message_is_cut(void **state)
{
	struct diag *diag = diag_create();
	char text[5000];
	char *messages;

	(void)state;
	memset(text, '\x01', sizeof text);
	text[sizeof text - 1] = '\0';
	diag_begin(diag, "f", (struct span){0});
	diag_add(diag, DIAG_ERROR, nowhere, "%s", text);
	diag_end(diag);
	messages = messages_of(diag);
	assert_true(strlen(messages) < 3000);
	free(messages);
	diag_free(diag);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_shows_the_line_and_the_place),
		cmocka_unit_test(tabs_and_accents_do_not_shift_the_caret),
		cmocka_unit_test(the_end_of_a_line_is_a_place),
		cmocka_unit_test(what_a_terminal_would_obey_is_not_printed),
		cmocka_unit_test(long_lines_are_cut_around_the_place),
		cmocka_unit_test(messages_are_sorted_by_position),
		cmocka_unit_test(nothing_to_say_prints_nothing),
		cmocka_unit_test(json_has_the_six_members),
		cmocka_unit_test(json_strings_are_escaped),
		cmocka_unit_test(too_many_messages_are_counted),
		cmocka_unit_test(a_lack_of_memory_is_an_error),
		cmocka_unit_test(what_cannot_be_read_is_told_by_what_can_be_done),
		cmocka_unit_test(without_a_diag_nothing_happens),
		cmocka_unit_test(a_long_message_is_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
