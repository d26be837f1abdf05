#include "config/json_checker.h"
#include "config/print.h"
#include "config/sections.h"
#include "config/testing.h"

static void the_checker_of_json_can_say_no(void **state)
{
	(void)state;
	assert_true(json_is_valid(" {\"a\": [1, true, null, \"x\\u00e9\\n\"], \"b\": {}} \n"));
	assert_false(json_is_valid("{\"a\": }"));
	assert_false(json_is_valid("{\"a\": 1,}"));
	assert_false(json_is_valid("[1 2]"));
	assert_false(json_is_valid("[\"a\nb\"]"));
	assert_false(json_is_valid("[\"\\q\"]"));
	assert_false(json_is_valid("[1]]"));
	assert_false(json_is_valid("{a: 1}"));
	assert_false(json_is_valid("[\"a"));
}

static void the_reference_has_every_option_of_every_table(void **state)
{
	char *text = written_by(config_reference);
	const char *at = text;

	(void)state;
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		char title[80];

		(void)snprintf(title, sizeof title,
			section->kind == SECTION_LIST ? "[[%s]]\n  %s\n" : "[%s]\n  ",
			section->path, section->doc);
		assert_contains(at, title);
		at = strstr(at, title);
		for (const struct field *field = section->fields; field->key != NULL; field++) {
			char line[80];

			(void)snprintf(line, sizeof line, "\n  %s\n      ", field->key);
			assert_contains(at, line);
			at = strstr(at, line) + 1;
			assert_contains(at, field->doc);
		}
	}
	free(text);
}

static void the_reference_tells_ranges_and_defaults(void **state)
{
	char *text = written_by(config_reference);

	(void)state;
	assert_contains(text, "  failure_threshold\n      1 to 1000; default: 3\n");
	assert_contains(
		text, "  max_ejected\n      0 to 100; default: that of health.max_ejected\n");
	assert_contains(text, "  probe_interval\n      \"100ms\" to \"365d\"; default: \"1s\"\n");
	assert_contains(text,
		"  idle\n      \"1ms\" to \"365d\", or \"off\"; default: that of timeouts.idle\n");
	assert_contains(text, "  idle\n      \"1ms\" to \"365d\", or \"off\"; default: \"1h\"\n");
	assert_contains(
		text, "  backend_drain\n      \"1ms\" to \"365d\", or \"off\"; default: \"off\"\n");
	assert_contains(text, "  lame_duck\n      \"0s\" to \"365d\"; default: \"0s\"\n");
	assert_contains(
		text, "  algorithm\n      \"round_robin\", \"random\"; default: \"round_robin\"\n");
	assert_contains(text, "  address\n      an address; default: required\n");
	assert_contains(text, "  address\n      an address; default: \"127.0.0.1:9090\"");
	assert_contains(text, "  mode\n      \"0000\" to \"0777\"; default: \"0660\"\n");
	assert_contains(text,
		"  supervise\n      true or false; default: true; a change takes a restart\n");
	assert_contains(text, "  sample\n      a number from 0 to 1; default: 1\n");
	assert_contains(text, "  user\n      a string; default: ");
	free(text);
}

static void the_schema_is_json_and_has_every_option(void **state)
{
	char *text = written_by(config_schema);

	(void)state;
	assert_true(json_is_valid(text));
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		char key[80];

		(void)snprintf(key, sizeof key, "\"%s\": {\"type\": \"%s\"",
			strncmp(section->path, "pools.NAME.", 11) == 0 ? section->path + 11
				: section->kind == SECTION_NAMED       ? "pools"
								       : section->path,
			section->kind == SECTION_LIST ? "array" : "object");
		assert_contains(text, key);
		for (const struct field *field = section->fields; field->key != NULL; field++) {
			(void)snprintf(key, sizeof key, "\"%s\": {\"", field->key);
			assert_contains(text, key);
		}
	}
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_checker_of_json_can_say_no),
		cmocka_unit_test(the_reference_has_every_option_of_every_table),
		cmocka_unit_test(the_reference_tells_ranges_and_defaults),
		cmocka_unit_test(the_schema_is_json_and_has_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
