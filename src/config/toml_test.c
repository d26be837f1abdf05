#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/testing.h"
#include "config/diag.h"
#include "config/source.h"
#include "config/toml.h"

static const struct toml_table *parse(const char *text, struct arena *arena)
{
	struct toml_failure failure = {0};
	const struct toml_table *root = toml_parse(text, strlen(text), arena, &failure);

	if (root == NULL) {
		fail_msg("%s: %s", text, failure.text);
	}
	return root;
}

static void every_type_arrives(void **state)
{
	struct arena *arena = arena_create();
	const struct toml_table *root =
		parse("a = \"x\\u0000y\"\nb = -7\nc = 1.5\nd = true\n"
		      "e = 1979-05-27\nf = [1, \"two\"]\ng = {h = 07:32:00}\n"
		      "i = 1979-05-27T07:32:00Z\n",
			arena);

	(void)state;
	assert_int_equal(root->entry_count, 8);
	assert_int_equal(toml_find(root, "a")->value.type, TOML_STRING);
	assert_int_equal(toml_find(root, "a")->value.string.length, 3);
	assert_memory_equal(toml_find(root, "a")->value.string.data, "x\0y", 4);
	assert_int_equal(toml_find(root, "b")->value.type, TOML_INTEGER);
	assert_true(toml_find(root, "b")->value.integer == -7);
	assert_int_equal(toml_find(root, "c")->value.type, TOML_FLOAT);
	assert_true(toml_find(root, "c")->value.number == 1.5);
	assert_int_equal(toml_find(root, "d")->value.type, TOML_BOOLEAN);
	assert_true(toml_find(root, "d")->value.boolean);
	assert_int_equal(toml_find(root, "e")->value.type, TOML_DATE);
	assert_int_equal(toml_find(root, "f")->value.type, TOML_ARRAY);
	assert_int_equal(toml_find(root, "f")->value.array->value_count, 2);
	assert_int_equal(toml_find(root, "f")->value.array->values[1].type, TOML_STRING);
	assert_int_equal(toml_find(root, "g")->value.type, TOML_TABLE);
	assert_int_equal(toml_find(root, "g")->value.table->entries[0].value.type, TOML_DATE);
	assert_int_equal(toml_find(root, "i")->value.type, TOML_DATE);
	assert_null(toml_find(root, "j"));
	arena_free(arena);
}

static void an_empty_text_is_an_empty_table(void **state)
{
	struct arena *arena = arena_create();

	(void)state;
	assert_int_equal(parse("", arena)->entry_count, 0);
	assert_int_equal(parse("# nothing\n", arena)->entry_count, 0);
	arena_free(arena);
}

static void keys_keep_the_order_of_the_text(void **state)
{
	static const char *const keys[] = {"zebra", "alpha", "mid", "beta"};
	struct arena *arena = arena_create();
	const struct toml_table *root =
		parse("zebra = 1\nalpha = 2\n[mid]\nx = 1\n[beta]\n[mid.more]\n", arena);

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_string_equal(root->entries[i].key.data, keys[i]);
	}
	arena_free(arena);
}

static void assert_at(struct toml_position position, unsigned line, unsigned column)
{
	assert_int_equal(position.line, line);
	assert_int_equal(position.column, column);
}

static void positions_count_characters(void **state)
{
	struct arena *arena = arena_create();
	const struct toml_table *root = parse("[pools.db]\n  name  =  1\n"
					      "\"\xc3\xa9\xc3\xa9\" = { b = 5 }\n"
					      "[[pools.db.backends]]\n[[pools.db.backends]]\n",
		arena);
	const struct toml_entry *pools = toml_find(root, "pools");
	const struct toml_entry *db = toml_find(pools->value.table, "db");
	const struct toml_table *table = db->value.table;
	const struct toml_entry *accents = toml_find(table, "\xc3\xa9\xc3\xa9");
	const struct toml_entry *backends = toml_find(table, "backends");

	(void)state;
	assert_at(pools->position, 1, 2);
	assert_at(db->position, 1, 8);
	assert_at(toml_find(table, "name")->position, 2, 3);
	assert_at(toml_find(table, "name")->value.position, 2, 12);
	assert_at(accents->position, 3, 1);
	assert_at(accents->value.table->entries[0].value.position, 3, 14);
	assert_at(backends->position, 4, 12);
	assert_at(backends->value.array->values[0].position, 4, 1);
	assert_at(backends->value.array->values[1].position, 5, 1);
	arena_free(arena);
}

static void a_syntax_error_has_its_place(void **state)
{
	struct arena *arena = arena_create();
	struct toml_failure failure = {0};
	static const char text[] = "a = 1\nb = = 2\n";

	(void)state;
	assert_null(toml_parse(text, strlen(text), arena, &failure));
	assert_false(failure.out_of_memory);
	assert_at(failure.position, 2, 5);
	assert_true(strlen(failure.text) > 0);
	arena_free(arena);
}

/* A lone "[" once ended the process: an assertion of the library as a header. */
static void odd_brackets_are_only_errors(void **state)
{
	static const char *const texts[] = {"[", "[.]", "[[", "]", "[]", "[a", "[[a]", "{", "=",
		"a.", ".a = 1", "a..b = 1", "a = [", "a = {", "a = \"", "a = '''", "\"",
		"a = \"\\u12\"", "a = \"\\ud800\"", "a = 1__0", "a = 0x", "a = 1e", "a = +-1",
		"a = 1979-13-01"};
	struct arena *arena = arena_create();

	(void)state;
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		struct toml_failure failure = {0};

		assert_null(toml_parse(texts[i], strlen(texts[i]), arena, &failure));
		assert_true(strlen(failure.text) > 0);
	}
	arena_free(arena);
}

/* As deep as source_check() lets a text be: 250 nested arrays, a long dotted key in each. */
static void the_deepest_text_does_not_overflow_the_stack(void **state)
{
	struct arena *arena = arena_create();
	struct diag *diag = diag_create();
	struct toml_failure failure = {0};
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	(void)fputs("x = [", file);
	for (int level = 0; level < 120; level++) {
		(void)fputs("\n{", file);
		for (int part = 1; part < SOURCE_KEY_PARTS_MAX; part++) {
			(void)fputs("a.", file);
		}
		(void)fputs("a = [", file);
	}
	for (int level = 0; level < 120; level++) {
		(void)fputs("]}", file);
	}
	(void)fputs("]\n", file);
	assert_int_equal(fclose(file), 0);
	assert_true(source_check((struct span){text, length}, diag));
	if (toml_parse(text, length, arena, &failure) == NULL) {
		fail_msg("%u:%u: %s", failure.position.line, failure.position.column, failure.text);
	}
	free(text);
	diag_free(diag);
	arena_free(arena);
}

static void deeper_arrays_are_refused(void **state)
{
	struct arena *arena = arena_create();
	struct toml_failure failure = {0};
	char text[20000];

	(void)state;
	memset(text, '[', sizeof text);
	memcpy(text, "x = ", 4);
	assert_null(toml_parse(text, sizeof text, arena, &failure));
	assert_false(failure.out_of_memory);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_arrives),
		cmocka_unit_test(an_empty_text_is_an_empty_table),
		cmocka_unit_test(keys_keep_the_order_of_the_text),
		cmocka_unit_test(positions_count_characters),
		cmocka_unit_test(a_syntax_error_has_its_place),
		cmocka_unit_test(odd_brackets_are_only_errors),
		cmocka_unit_test(the_deepest_text_does_not_overflow_the_stack),
		cmocka_unit_test(deeper_arrays_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
