#include "base/array.h"
#include "config/hint.h"
#include "config/testing.h"

static const struct {
	const char *text;
	const char *place;
	const char *help; /* "" when none is given */
} cases[] = {
	/* strings without quotes */
	{"address = 0.0.0.0:9000", ":1:14:", "strings need quotes: write \"0.0.0.0:9000\"\n"},
	{"address = 10.0.0.1:80 # c", ":1:13:", "strings need quotes: write \"10.0.0.1:80\"\n"},
	{"address = :80", ":1:11:", "strings need quotes: write \":80\"\n"},
	{"address = [::]:80", ":1:12:", "strings need quotes: write \"[::]:80\"\n"},
	{"address = a.b:80", ":1:11:", "strings need quotes: write \"a.b:80\"\n"},
	{"name = hello", ":1:8:", "strings need quotes: write \"hello\"\n"},
	{"idle = off", ":1:8:", "strings need quotes: write \"off\"\n"},
	{"idle = 5s", ":1:9:", "durations are strings: write \"5s\"\n"},
	{"\tidle = 250ms\r", ":1:12:", "durations are strings: write \"250ms\"\n"},
	{"size = 64KiB", ":1:10:", "sizes are strings: write \"64KiB\"\n"},
	{"size = 64k", ":1:10:", "sizes are strings: write \"64KiB\"\n"},
	{"size = 64 KiB", ":1:11:", "sizes are strings: write \"64KiB\"\n"},
	{"idle = 1h30m", ":1:9:", "durations are strings: write \"90m\"\n"},
	{"busy_poll = 30us", ":1:15:",
		"the unit is always microseconds and is left out: write busy_poll = 30\n"},
	{"connect = 500us", ":1:14:", "durations are strings such as \"250ms\", in whole milli"},
	{"pool = 500us", ":1:11:", "strings need quotes: write \"500us\"\n"},
	{"mode = 0660", ":1:12:", "write \"0660\" in quotes"},
	/* other formats */
	{"address: \"x\"", ":1:8:", "TOML uses '=': write address = \"x\"\n"},
	{"listener:", ":1:9:", "a table is written [listener]\n"},
	{"a b: 1", ":1:3:", ""},
	{"enabled = True", ":1:11:", "write true, in small letters and without quotes\n"},
	{"enabled = yes", ":1:11:", "write true,"},
	{"enabled = FALSE", ":1:11:", "write false,"},
	{"enabled = no", ":1:12:", "write false,"},
	/* unfinished */
	{"name = \"abc", ":1:12:", "is the closing quote missing?\n"},
	{"name = 'abc", ":1:12:", "is the closing quote missing?\n"},
	{"name = \"\\q\"", ":1:10:", ""},
	{"name =", ":1:7:", "a value is expected after the '='\n"},
	{"name = # nothing", ":1:8:", "a value is expected after the '='\n"},
	{"[listener", ":1:10:", ""},
	{"name", ":1:5:", ""},
	{"x = [1, 2", ":", ""},
	{"x = \"a\" \"b\"", ":1:9:", ""},
	{"= 1", ":1:1:", ""},
	/* twice */
	{"\na = 1\nb = 2\na = 3", ":4:5:", "first defined here: line 2\n"},
	{"a = 1\n[t]\na = 1\n [t.b]\n[u]\na = 1\na = 2", ":7:5:", "first defined here: line 6\n"},
	{"[a]\nx = 1\n[b]\n[ a ]\n", ":4:1:", "first defined here: line 1\n"},
	{"[[a]]\n[a]\n", ":2:1:", "first defined here: line 1\n"},
	{"a = 1\na = 2\na = 3", ":2:5:", "first defined here: line 1\n"},
	{"\"a\" = 1\n'a' = 2", ":2:7:", ""},
	{"a.b = 1\na = 2", ":2:5:", ""},
};

static void mistakes_of_syntax_get_a_hint(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char text[256];
		char *messages;

		(void)snprintf(text, sizeof text, "%s\n", cases[i].text);
		messages = complaints_about(text, strlen(text));
		assert_contains(messages, cases[i].place);
		assert_contains(messages, "\n1 error, 0 warnings\n");
		if (cases[i].help[0] != '\0') {
			assert_contains(messages, "help: ");
			assert_contains(messages, cases[i].help);
		} else if (strstr(messages, "help: ") != NULL) {
			fail_msg("an unexpected help:\n%s", messages);
		}
		free(messages);
	}
}

static void the_words_of_the_parser_are_kept(void **state)
{
	(void)state;
	assert_complains("a = 1 1\n", ": error: invalid TOML: in key-value pair: expected");
	assert_complains("a = 1\na = 2\n", ": error: 'a' is defined twice\n");
}

static void long_values_are_cut(void **state)
{
	char text[4000];
	char *messages;

	(void)state;
	memset(text, 'x', sizeof text);
	memcpy(text, "key = ", 6);
	messages = complaints_about(text, sizeof text);
	assert_contains(messages, "strings need quotes");
	assert_true(strlen(messages) < 600);
	free(messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mistakes_of_syntax_get_a_hint),
		cmocka_unit_test(the_words_of_the_parser_are_kept),
		cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
