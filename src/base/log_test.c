#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "base/testing.h"

enum { JULY_2023 = 1688169600 }; /* 2023-07-01T00:00:00Z */

static const uint64_t moment = JULY_2023 * 1000000000ULL + 1234567;

/* What the sink was given last. */
static struct {
	unsigned lines;
	enum log_level level;
	char text[LOG_LINE_MAX + 1];
} seen;

static void remember(enum log_level level, const char *text, size_t length, void *context)
{
	assert_ptr_equal(context, &seen);
	assert_true(length <= LOG_LINE_MAX);
	memcpy(seen.text, text, length);
	seen.text[length] = '\0';
	seen.level = level;
	seen.lines++;
}

static int forget(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof seen);
	log_set_up(LOG_INFO, LOG_FORMAT_TEXT, remember, &seen);
	return 0;
}

/* One line with all kinds of fields. */
static const char *write_all_kinds(enum log_format format)
{
	static struct log_line line;

	log_begin_as(&line, format, LOG_WARN, "backend_health", moment);
	log_text(&line, "backend", "10.0.0.1:8080");
	log_text(&line, "absent", NULL);
	log_text(&line, "reason", "it was refused");
	log_number(&line, "failures", UINT64_MAX);
	log_decimal(&line, "seconds", 1.5);
	log_flag(&line, "held", true);
	log_flag(&line, "last", false);
	log_finish(&line);
	line.text[line.length] = '\0';
	return line.text;
}

static const char *write_value(enum log_format format, const char *value)
{
	static struct log_line line;
	const char *start;

	log_begin_as(&line, format, LOG_INFO, "e", moment);
	log_text(&line, "v", value);
	log_finish(&line);
	line.text[line.length] = '\0';
	start = strstr(line.text, format == LOG_FORMAT_JSON ? ",\"v\":" : " v=");
	assert_non_null(start);
	return start;
}

static void text_has_keys_and_values(void **state)
{
	(void)state;
	assert_string_equal(write_all_kinds(LOG_FORMAT_TEXT),
		"time=2023-07-01T00:00:00.001234Z level=warn event=backend_health "
		"backend=10.0.0.1:8080 reason=\"it was refused\" failures=18446744073709551615 "
		"seconds=1.500 held=true last=false\n");
}

static void json_has_types(void **state)
{
	(void)state;
	assert_string_equal(write_all_kinds(LOG_FORMAT_JSON),
		"{\"time\":\"2023-07-01T00:00:00.001234Z\",\"level\":\"warn\","
		"\"event\":\"backend_health\",\"backend\":\"10.0.0.1:8080\","
		"\"reason\":\"it was refused\",\"failures\":18446744073709551615,"
		"\"seconds\":1.500,\"held\":true,\"last\":false}\n");
}

static void text_is_quoted_where_it_must_be(void **state)
{
	static const struct {
		const char *value;
		const char *expected;
	} cases[] = {
		{"plain", " v=plain\n"}, {"", " v=\"\"\n"}, {"a b", " v=\"a b\"\n"},
		{"a=b", " v=\"a=b\"\n"}, {"say \"x\"", " v=\"say \\\"x\\\"\"\n"},
		{"back\\slash", " v=\"back\\\\slash\"\n"},
		{"a\nlevel=error", " v=\"a\\nlevel=error\"\n"},
		{"tab\tand\rreturn", " v=\"tab\\tand\\rreturn\"\n"},
		{"\x1b[31mred", " v=\"\\u001b[31mred\"\n"}, {"\x7f", " v=\"\\u007f\"\n"},
		{"b\xc3\xbc\x63her", " v=\"b\xc3\xbc\x63her\"\n"},
		{"\xc2\x9b", " v=\"\\u009b\"\n"}, /* a control sequence in one character */
		/* NOLINTNEXTLINE(misc-misleading-bidirectional): that it does not get through */
		{"\xe2\x80\xae", " v=\"\\u202e\"\n"}, /* turns the direction of writing */
		{"\xe2\x80\xa8", " v=\"\\u2028\"\n"}, /* a line separator */
		{"\xf0\x9f\x90\x98", " v=\"\xf0\x9f\x90\x98\"\n"}, {"\xff", " v=\"\\xff\"\n"},
		{"\xc3", " v=\"\\xc3\"\n"},                   /* cut through */
		{"\xc0\xaf", " v=\"\\xc0\\xaf\"\n"},          /* overlong */
		{"\xed\xa0\x80", " v=\"\\xed\\xa0\\x80\"\n"}, /* a surrogate */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_string_equal(
			write_value(LOG_FORMAT_TEXT, cases[i].value), cases[i].expected);
	}
}

static void json_is_always_valid(void **state)
{
	static const struct {
		const char *value;
		const char *expected;
	} cases[] = {
		{"", ",\"v\":\"\"}\n"},
		{"a\"b\\c/d", ",\"v\":\"a\\\"b\\\\c/d\"}\n"},
		{"\n\r\t\b", ",\"v\":\"\\n\\r\\t\\u0008\"}\n"},
		{"\xff\xfe", ",\"v\":\"\\ufffd\\ufffd\"}\n"},
		{"\xe2\x82", ",\"v\":\"\\ufffd\\ufffd\"}\n"},
		{"\xe2\x82\xac", ",\"v\":\"\xe2\x82\xac\"}\n"},
		{"\xe2\x80\xa9", ",\"v\":\"\\u2029\"}\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_string_equal(
			write_value(LOG_FORMAT_JSON, cases[i].value), cases[i].expected);
	}
}

static void numbers_that_are_none_are_said_so(void **state)
{
	struct log_line line;

	(void)state;
	log_begin_as(&line, LOG_FORMAT_JSON, LOG_INFO, "e", moment);
	log_decimal(&line, "v", NAN);
	log_decimal(&line, "w", INFINITY);
	log_decimal(&line, "x", 1e308);
	log_finish(&line);
	line.text[line.length] = '\0';
	assert_non_null(strstr(line.text, ",\"v\":null,\"w\":null,\"x\":1"));
}

/* A field that does not fit is left out whole, with all that follow, and the line says so. */
static void a_long_line_is_cut_at_a_field(void **state)
{
	char value[LOG_LINE_MAX + 1];

	(void)state;
	memset(value, 'x', sizeof value - 1);
	value[sizeof value - 1] = '\0';
	for (int format = LOG_FORMAT_TEXT; format <= LOG_FORMAT_JSON; format++) {
		const bool json = format == LOG_FORMAT_JSON;
		struct log_line line;

		log_begin_as(&line, (enum log_format)format, LOG_INFO, "e", moment);
		log_number(&line, "before", 1);
		log_text(&line, "long", value);
		log_number(&line, "after", 2);
		log_finish(&line);
		line.text[line.length] = '\0';
		assert_string_equal(strstr(line.text, "before"),
			json ? "before\":1,\"truncated\":true}\n" : "before=1 truncated=true\n");
	}
}

static void every_length_of_value_makes_a_whole_line(void **state)
{
	(void)state;
	for (size_t length = LOG_LINE_MAX - 200; length < LOG_LINE_MAX; length++) {
		char value[LOG_LINE_MAX];
		struct log_line line;

		memset(value, '\xff', length);
		memset(value, 'y', LOG_LINE_MAX - 600);
		value[length] = '\0';
		log_begin_as(&line, LOG_FORMAT_JSON, LOG_INFO, "e", moment);
		log_text(&line, "v", value);
		log_finish(&line);
		assert_true(line.length <= LOG_LINE_MAX);
		assert_memory_equal(line.text + line.length - 2, "}\n", 2);
	}
}

static void the_level_decides(void **state)
{
	struct log_line line;

	(void)state;
	log_message(LOG_DEBUG, "quiet", "unheard");
	assert_int_equal(seen.lines, 0);
	assert_false(log_enabled(LOG_DEBUG));
	log_message(LOG_INFO, "said", "heard %d", 1);
	assert_int_equal(seen.lines, 1);
	assert_int_equal(seen.level, LOG_INFO);
	assert_non_null(strstr(seen.text, " level=info event=said message=\"heard 1\"\n"));

	log_set_level(LOG_ERROR);
	log_message(LOG_WARN, "quiet", "unheard");
	log_begin(&line, LOG_WARN, "quiet");
	log_number(&line, "n", 1);
	log_end(&line);
	assert_int_equal(seen.lines, 1);
	log_begin_at(&line, LOG_DEBUG, "session", moment);
	log_end(&line);
	assert_string_equal(
		seen.text, "time=2023-07-01T00:00:00.001234Z level=debug event=session\n");
	assert_int_equal(seen.level, LOG_DEBUG);
}

static void a_long_message_is_cut_at_a_character(void **state)
{
	char text[3001];

	(void)state;
	for (size_t i = 0; i < 3000; i += 3) {
		memcpy(text + i, "\xe2\x82\xac", 3);
	}
	text[3000] = '\0';
	/* 1,023 bytes are 341 whole ones; with an x in front the cut goes through one. */
	log_message(LOG_INFO, "e", "x%s", text);
	assert_int_equal(seen.lines, 1);
	assert_null(strstr(seen.text, "\\x"));
	assert_non_null(strstr(seen.text, "\xe2\x82\xac\" truncated=true\n"));
	log_message(LOG_INFO, "e", "%s", text);
	assert_null(strstr(seen.text, "\\x"));
	assert_non_null(strstr(seen.text, "\xe2\x82\xac\" truncated=true\n"));
}

static void without_a_sink_nothing_happens(void **state)
{
	(void)state;
	log_set_up(LOG_DEBUG, LOG_FORMAT_JSON, NULL, NULL);
	log_message(LOG_ERROR, "lost", "nobody listens");
	assert_int_equal(seen.lines, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(text_has_keys_and_values, forget),
		cmocka_unit_test_setup(json_has_types, forget),
		cmocka_unit_test_setup(text_is_quoted_where_it_must_be, forget),
		cmocka_unit_test_setup(json_is_always_valid, forget),
		cmocka_unit_test_setup(numbers_that_are_none_are_said_so, forget),
		cmocka_unit_test_setup(a_long_line_is_cut_at_a_field, forget),
		cmocka_unit_test_setup(every_length_of_value_makes_a_whole_line, forget),
		cmocka_unit_test_setup(the_level_decides, forget),
		cmocka_unit_test_setup(a_long_message_is_cut_at_a_character, forget),
		cmocka_unit_test_setup(without_a_sink_nothing_happens, forget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
