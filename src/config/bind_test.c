#include "base/arena.h"
#include "base/array.h"
#include "base/sockaddr.h"
#include "config/bind.h"
#include "config/testing.h"

struct all {
	bool flag;
	uint32_t number;
	uint32_t poll;
	uint32_t share;
	uint64_t wait;
	uint64_t maybe;
	uint64_t size;
	uint32_t word;
	const char *text;
	struct address address;
	struct address backend;
	double ratio;
	uint32_t mode;
};

static const char *const words[] = {"red", "green", NULL};
static const char *const later[] = {"blue", NULL};

static const struct field fields[] = {
	{.key = "flag", .type = FIELD_BOOL, MEMBER(struct all, flag), .fallback = true},
	{.key = "number",
		.type = FIELD_UINT,
		MEMBER(struct all, number),
		.min = 1,
		.max = 1000,
		.fallback = 7},
	{.key = "poll",
		.type = FIELD_UINT,
		MEMBER(struct all, poll),
		.max = 10000,
		.unit = "microseconds"},
	{.key = "share",
		.type = FIELD_UINT,
		MEMBER(struct all, share),
		.max = 100,
		.unit = "percent"},
	{.key = "wait",
		.type = FIELD_DURATION,
		MEMBER(struct all, wait),
		.min = 100,
		.fallback = 5000},
	{.key = "maybe",
		.type = FIELD_DURATION,
		MEMBER(struct all, maybe),
		.min = 1,
		.off = true,
		.inherits = "other.maybe"},
	{.key = "size", .type = FIELD_SIZE, MEMBER(struct all, size), .max = 1 << 20},
	{.key = "word",
		.type = FIELD_CHOICE,
		MEMBER(struct all, word),
		.choices = words,
		.later = later,
		.max = 1,
		.fallback = 1},
	{.key = "text",
		.type = FIELD_STRING,
		MEMBER(struct all, text),
		.min = 1,
		.max = 8,
		.required = true},
	{.key = "address",
		.type = FIELD_ADDRESS,
		MEMBER(struct all, address),
		.fallback_address = "127.0.0.1:1",
		.kinds = ADDRESS_USE_ANY},
	{.key = "backend",
		.type = FIELD_ADDRESS,
		MEMBER(struct all, backend),
		.kinds = ADDRESS_USE_NAME | ADDRESS_USE_LOCAL},
	{.key = "ratio", .type = FIELD_RATIO, MEMBER(struct all, ratio), .max = 1, .fallback = 1},
	{.key = "mode",
		.type = FIELD_MODE,
		MEMBER(struct all, mode),
		.max = 0777,
		.fallback = 0660},
	{.key = NULL},
};

static const char *const tables[] = {"inner", NULL};

/* Binds a text; returns the messages, to be freed. */
static char *bind_text(const char *text, struct all *all, struct arena *arena)
{
	const struct binding binding = {
		.fields = fields,
		.tables = tables,
		.title = "[all]",
		.target = all,
	};
	struct diag *diag = diag_create();
	struct toml_failure failure;
	const struct toml_table *table = toml_parse(text, strlen(text), arena, &failure);
	char *messages;

	assert_non_null(table);
	diag_begin(diag, "f", span_of(text));
	bind_table(&binding, table, arena, diag);
	bind_missing(&binding, table, (struct toml_position){1, 1}, diag);
	diag_end(diag);
	messages = messages_of(diag);
	diag_free(diag);
	return messages;
}

static void absent_keys_have_their_defaults(void **state)
{
	struct arena *arena = arena_create();
	struct all all = {.maybe = 4711, .text = "x"};
	char *messages;

	(void)state;
	bind_defaults(fields, &all);
	messages = bind_text("text = 'x'", &all, arena);
	assert_string_equal(messages, "");
	assert_true(all.flag);
	assert_int_equal(all.number, 7);
	assert_int_equal(all.wait, 5000);
	assert_int_equal(all.maybe, 4711); /* inherited: the business of the caller */
	assert_int_equal(all.size, 0);
	assert_int_equal(all.word, 1);
	assert_int_equal(all.address.port, 1);
	assert_int_equal(all.backend.kind, ADDRESS_UNSET);
	assert_true(all.ratio == 1.0);
	assert_int_equal(all.mode, 0660);
	free(messages);
	arena_free(arena);
}

static void values_arrive_in_their_members(void **state)
{
	struct arena *arena = arena_create();
	struct all all = {0};
	char *messages;
	char text[ADDRESS_HOST_MAX + 8];

	(void)state;
	bind_defaults(fields, &all);
	messages = bind_text(
		"flag = false\nnumber = 1000\nwait = \"365d\"\nmaybe = \"off\"\n"
		"size = \"1MiB\"\nword = \"red\"\ntext = \"12345678\"\naddress = \":80\"\n"
		"backend = \"unix:/x\"\nratio = 0.25\nmode = \"700\"\ninner = 5\n",
		&all, arena);
	assert_string_equal(messages, "");
	assert_false(all.flag);
	assert_int_equal(all.number, 1000);
	assert_true(all.wait == UINT64_C(31536000000));
	assert_int_equal(all.maybe, 0);
	assert_int_equal(all.size, 1 << 20);
	assert_int_equal(all.word, 0);
	assert_string_equal(all.text, "12345678");
	assert_string_equal(address_text(&all.address, text), ":80");
	assert_string_equal(address_text(&all.backend, text), "unix:/x");
	assert_true(all.ratio == 0.25);
	assert_int_equal(all.mode, 0700);
	free(messages);
	messages = bind_text("text = 'x'\nsize = 0\nratio = 1\nmaybe = '2s'\n", &all, arena);
	assert_string_equal(messages, "");
	assert_int_equal(all.size, 0);
	assert_true(all.ratio == 1.0);
	assert_int_equal(all.maybe, 2000);
	free(messages);
	arena_free(arena);
}

static const struct {
	const char *line;
	const char *message;
	const char *help; /* NULL: none */
} mistakes[] = {
	{"flag = 1", "'flag' in [all]: true or false is expected", NULL},
	{"flag = \"true\"", "true or false is expected", "remove the quotes: write flag = true"},
	{"flag = \"yes\"", "true or false is expected", "write flag = true"},
	{"flag = \"off\"", "true or false is expected", "write flag = false"},
	{"flag = \"1\"", "true or false is expected", NULL},
	{"number = \"many\"", "a whole number is expected", NULL},
	{"size = 65536", "a size such as", "write \"64KiB\""},
	{"size = -1", "a size such as", "write \"0B\""},
	{"number = 0", "'number' in [all] is out of range: 1 to 1000 is expected", NULL},
	{"number = 1001", "1 to 1000 is expected", NULL},
	{"number = -1", "1 to 1000 is expected", NULL},
	{"number = 4294967297", "1 to 1000 is expected", NULL},
	{"number = 1.0", "a whole number is expected", NULL},
	{"number = \"5\"", "a whole number", "remove the quotes: write number = 5"},
	{"poll = \"30us\"", "a whole number is expected",
		"the unit is always microseconds and is left out: write poll = 30"},
	{"poll = \"2 ms\"", "a whole number", "write poll = 2000"},
	{"poll = \"30 \u00b5s\"", "a whole number", "write poll = 30"},
	{"poll = \"1s\"", "a whole number",
		"write a number from 0 to 10000, without its unit (microseconds)"},
	{"poll = \"99999999999999999999us\"", "a whole number", "write a number from 0 to"},
	{"poll = \"off\"", "a whole number", "write a number from 0 to 10000"},
	{"poll = \"us\"", "a whole number", "write a number from 0 to 10000"},
	{"share = \" % \"", "a whole number",
		"write a number from 0 to 100, without its unit (percent)"},
	{"poll = \"30\"", "a whole number", "remove the quotes: write poll = 30"},
	{"share = \"50%\"", "a whole number",
		"the unit is always percent and is left out: write share = 50"},
	{"number = \"5 threads\"", "a whole number", NULL},
	{"number = [1]", "a whole number", NULL},
	{"number = 1979-05-27", "a whole number", NULL},
	{"wait = \"99ms\"", "is out of range: \"100ms\" to \"365d\" is expected", NULL},
	{"wait = \"366d\"", "\"100ms\" to \"365d\" is expected", NULL},
	{"wait = \"off\"", "'wait' in [all]: \"off\" is not allowed here", NULL},
	{"wait = \"0s\"", "out of range", NULL},
	{"wait = \"\"", "a duration is a whole number and a unit", NULL},
	{"wait = \"5\"", "the unit is missing", NULL},
	{"wait = 5", "a duration such as", "durations are strings with a unit: write \"5s\""},
	{"wait = 5.0", "a duration such as", NULL},
	{"wait = {}", "a duration such as", NULL},
	{"maybe = \"0s\"", "\"1ms\" to \"365d\", or \"off\" is expected", NULL},
	{"maybe = false", "a duration such as", "write maybe = \"off\""},
	{"maybe = true", "a duration such as", "missing quotes: write \"true\""},
	{"size = 64", "a size such as", "sizes are strings with a unit: write \"64B\""},
	{"size = \"2MiB\"", "is out of range: \"0B\" to \"1MiB\" is expected", NULL},
	{"size = \"64K\"", "the unit of a size is B, KiB,", "did you mean \"64KiB\"?"},
	{"size = \"64 KiB\"", "the unit of a size", "did you mean \"64KiB\"?"},
	{"size = \"64x\"", "the unit of a size", NULL},
	{"wait = \"2 minutes\"", "the unit of a duration", "did you mean \"2m\"?"},
	{"wait = \"400d\"", "is out of range", NULL},
	{"wait = \"400 d\"", "the unit of a duration", NULL},
	{"word = \"gren\"", "there is no 'gren'", "did you mean 'green'?"},
	{"word = \"xyz\"", "there is no 'xyz'", "one of: red, green"},
	{"word = \"blue\"", "'blue' is not available in this version", "available: red, green"},
	{"word = 1", "a word in quotes is expected", "missing quotes: write \"1\""},
	{"text = \"\"", "it is empty", NULL},
	{"text = \"123456789\"", "is too long: at most 8 bytes are possible", NULL},
	{"text = \"a\\u0000b\"", "it has a control character", NULL},
	{"text = \"a\\nb\"", "it has a control character", NULL},
	{"text = 5", "a string in quotes is expected", "missing quotes: write \"5\""},
	{"text = true", "a string in quotes", "missing quotes: write \"true\""},
	{"address = \"localhost:80\"", "a name is not possible here", "or \":80\" for all"},
	{"address = \"unix:/x\"", "a UNIX socket is not possible here", NULL},
	{"address = \"1.2.3.4\"", "'1.2.3.4' is no address: the port is missing", NULL},
	{"address = 80", "an address such as", "write \"host:80\""},
	{"backend = \":80\"", "the host is missing", "write \"127.0.0.1:80\" for this machine"},
	{"ratio = 1.5", "is out of range: 0 to 1 is expected", NULL},
	{"ratio = -0.1", "is out of range", NULL},
	{"ratio = nan", "is out of range", NULL},
	{"ratio = inf", "is out of range", NULL},
	{"ratio = 2", "is out of range", NULL},
	{"ratio = \"1\"", "a number is expected", "remove the quotes: write ratio = 1"},
	{"mode = \"0888\"", "permissions from \"0000\" to \"0777\" are expected", NULL},
	{"mode = \"07777\"", "permissions from", NULL},
	{"mode = \"1777\"", "permissions from", NULL},
	{"mode = \"66\"", "permissions from", NULL},
	{"mode = 660", "permissions such as", "write the octal number in quotes: \"0660\""},
};

static void every_mistake_is_named(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
		struct arena *arena = arena_create();
		struct all before;
		struct all all;
		char text[256];
		char *messages;

		memset(&before, 0, sizeof before);
		bind_defaults(fields, &before);
		memcpy(&all, &before, sizeof all);
		(void)snprintf(text, sizeof text, "%s%s\n", mistakes[i].line,
			strncmp(mistakes[i].line, "text", 4) == 0 ? "" : "\ntext = \"t\"");
		messages = bind_text(text, &all, arena);
		assert_contains(messages, "f:1:");
		assert_contains(messages, mistakes[i].message);
		assert_contains(messages, "\n1 error, 0 warnings\n");
		if (mistakes[i].help != NULL) {
			assert_contains(messages, "\nhelp: ");
			assert_contains(messages, mistakes[i].help);
		} else {
			assert_null(strstr(messages, "\nhelp: "));
		}
		all.text = before.text;
		assert_memory_equal(&all, &before, sizeof all);
		free(messages);
		arena_free(arena);
	}
}

static void all_mistakes_of_a_table_are_found(void **state)
{
	struct arena *arena = arena_create();
	struct all all = {0};
	char *messages = bind_text("flag = 1\nnumber = 0\nnothing = 1\nwait = 1\n", &all, arena);

	(void)state;
	assert_contains(messages, "f:1:1: error: [all] has no 'text'");
	assert_contains(messages, "f:1:8: ");
	assert_contains(messages, "f:2:10: ");
	assert_contains(messages, "f:3:1: ");
	assert_contains(messages, "f:4:8: ");
	assert_contains(messages, "\n5 errors, 0 warnings\n");
	free(messages);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_keys_have_their_defaults),
		cmocka_unit_test(values_arrive_in_their_members),
		cmocka_unit_test(every_mistake_is_named),
		cmocka_unit_test(all_mistakes_of_a_table_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
