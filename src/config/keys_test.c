#include "base/arena.h"
#include "base/array.h"
#include "config/keys.h"
#include "config/testing.h"

struct thing {
	uint32_t number;
	uint32_t wanted;
};

static const struct field fields[] = {
	{.key = "number", .type = FIELD_UINT, MEMBER(struct thing, number)},
	{.key = "wanted", .type = FIELD_UINT, MEMBER(struct thing, wanted), .required = true},
	{.key = NULL},
};

static const char *const tables[] = {"inner", NULL};

static const struct binding binding = {.fields = fields, .tables = tables, .title = "[thing]"};

/* What is said about the keys of a text, to be freed. */
static char *judge(const struct binding *of, const char *text)
{
	struct arena *arena = arena_create();
	struct diag *diag = diag_create();
	struct toml_failure failure;
	const struct toml_table *table = toml_parse(text, strlen(text), arena, &failure);
	char *messages;

	assert_non_null(table);
	diag_begin(diag, "f", span_of(text));
	for (size_t i = 0; i < table->entry_count; i++) {
		const struct toml_entry *entry = &table->entries[i];

		if (keys_find(of->fields, entry->key) == NULL && !keys_is_table(of, entry->key)) {
			keys_report_unknown(of, entry, diag);
		}
	}
	bind_missing(of, table, (struct toml_position){1, 1}, diag);
	diag_end(diag);
	messages = messages_of(diag);
	diag_free(diag);
	arena_free(arena);
	return messages;
}

static void unknown_keys_get_the_nearest_or_a_place(void **state)
{
	static const struct {
		const char *line;
		const char *message;
		const char *help; /* NULL: none */
	} cases[] = {
		{"nmber = 1", "unknown key 'nmber' in [thing]\n", "did you mean 'number'?\n"},
		{"iner = 1", "unknown key 'iner' in [thing]\n", "did you mean 'inner'?\n"},
		{"[inne.r]", "unknown key 'inne' in [thing]\n", "did you mean 'inner'?\n"},
		{"weight = 1", "unknown key 'weight'", "'weight' is an option of [[backends]]\n"},
		{"idle = 1", "unknown key 'idle'", "'idle' is an option of [listener]\n"},
		{"metrics = 1", "unknown key 'metrics'", "[metrics] stands at the top level\n"},
		{"listeners = 1", "unknown key 'listeners'",
			"[[listeners]] stands at the top level\n"},
		{"zzzzzz = 1", "unknown key 'zzzzzz' in [thing]\n", NULL},
		{"\"\" = 1", "unknown key '' in [thing]\n", NULL},
		{"\"a\\nb\" = 1", "unknown key 'a\\x0ab' in [thing]\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char text[128];
		char *messages;

		(void)snprintf(text, sizeof text, "wanted = 1\n%s\n", cases[i].line);
		messages = judge(&binding, text);
		assert_contains(messages, "f:2:");
		assert_contains(messages, cases[i].message);
		assert_contains(messages, "\n1 error, 0 warnings\n");
		if (cases[i].help != NULL) {
			assert_contains(messages, "\nhelp: ");
			assert_contains(messages, cases[i].help);
		} else {
			assert_null(strstr(messages, "\nhelp: "));
		}
		free(messages);
	}
}

static void long_keys_are_cut(void **state)
{
	char text[512];
	char *messages;

	(void)state;
	(void)snprintf(text, sizeof text, "wanted = 1\n%0400d = 1\n", 0);
	messages = judge(&binding, text);
	assert_contains(messages, "unknown key '0000");
	assert_true(strcspn(messages, "\n") < 120);
	free(messages);
}

static void at_the_top_there_is_no_table_to_name(void **state)
{
	const struct binding top = {.fields = &fields[2], .tables = tables};
	char *messages = judge(&top, "a = 1\n[innr]\n");

	(void)state;
	assert_contains(messages, "f:1:1: error: unknown key 'a'\n");
	assert_contains(messages, "f:2:2: error: unknown table 'innr'\n");
	free(messages);
}

static void a_required_key_is_missed(void **state)
{
	char *messages = judge(&binding, "number = 1\n");

	(void)state;
	assert_contains(messages, "f:1:1: error: [thing] has no 'wanted'\n");
	free(messages);
	messages = judge(&binding, "wanted = 1\n");
	assert_string_equal(messages, "");
	free(messages);
}

static void a_misspelt_required_key_is_said_once(void **state)
{
	char *messages = judge(&binding, "wantd = 1\n");

	(void)state;
	assert_contains(messages, "did you mean 'wanted'?");
	assert_contains(messages, "\n1 error, 0 warnings\n");
	free(messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_keys_get_the_nearest_or_a_place),
		cmocka_unit_test(long_keys_are_cut),
		cmocka_unit_test(at_the_top_there_is_no_table_to_name),
		cmocka_unit_test(a_required_key_is_missed),
		cmocka_unit_test(a_misspelt_required_key_is_said_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
