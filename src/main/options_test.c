#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"
#include "base/testing.h"
#include "main/options.h"

enum { WORDS_MAX = 12 };

/* Splits at spaces; an empty line has no words, and "''" is an empty word. */
static int parse(const char *line, struct options *ret_options, struct error *err)
{
	static char text[256];
	static char name[] = "loble";
	static char empty[] = "";
	char *words[WORDS_MAX] = {name};
	char *rest = text;
	int count = 1;

	assert_true(strlen(line) < sizeof text);
	memcpy(text, line, strlen(line) + 1);
	*err = (struct error){0};
	while (*rest != '\0') {
		assert_true(count + 1 < WORDS_MAX);
		words[count++] = strcmp(rest, "''") == 0 ? empty : rest;
		rest += strcspn(rest, " ");
		if (*rest != '\0') {
			*rest++ = '\0';
		}
	}
	return options_parse(count, words, ret_options, err);
}

static void every_form_of_config_names_the_same_file(void **state)
{
	static const char *const lines[] = {
		"-config a.toml",
		"-config=a.toml",
		"--config a.toml",
		"--config=a.toml",
		"-c a.toml",
		"-ca.toml",
	};
	struct options options;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		assert_int_equal(parse(lines[i], &options, &err), 0);
		assert_int_equal(options.command, COMMAND_RUN);
		assert_string_equal(options.config_path, "a.toml");
	}
}

static void commands_take_their_options_in_any_place(void **state)
{
	struct options options;
	struct error err;

	(void)state;
	assert_int_equal(parse("check --format json a.toml", &options, &err), 0);
	assert_int_equal(options.command, COMMAND_CHECK);
	assert_int_equal(options.format, MESSAGE_JSON);
	assert_string_equal(options.operand, "a.toml");

	assert_int_equal(parse("check a.toml --format=json", &options, &err), 0);
	assert_int_equal(options.format, MESSAGE_JSON);
	assert_string_equal(options.operand, "a.toml");

	assert_int_equal(parse("check -- -config", &options, &err), 0);
	assert_string_equal(options.operand, "-config");

	assert_int_equal(parse("demo --keep --seconds 20", &options, &err), 0);
	assert_int_equal(options.command, COMMAND_DEMO);
	assert_true(options.keep);
	assert_int_equal(options.seconds, 20);

	assert_int_equal(parse("demo", &options, &err), 0);
	assert_int_equal(options.seconds, DEMO_SECONDS_DEFAULT);

	assert_int_equal(parse("init", &options, &err), 0);
	assert_int_equal(options.command, COMMAND_INIT);
	assert_null(options.operand);
}

static void ctl_takes_filters_for_what_it_lists(void **state)
{
	struct options options;
	struct error err;

	(void)state;
	assert_int_equal(
		parse("ctl --socket /s sessions --backend web/a --limit 20 --json", &options, &err),
		0);
	assert_int_equal(options.command, COMMAND_CTL);
	assert_string_equal(options.operand, "sessions");
	assert_string_equal(options.socket, "/s");
	assert_string_equal(options.backends[0], "web/a");
	assert_string_equal(options.limit, "20");
	assert_true(options.json);
	assert_null(options.pool);
}

static void a_letter_turns_running_into_checking(void **state)
{
	static const char *const lines[] = {
		"-t a.toml",
		"-t -c a.toml",
		"-c a.toml -t",
		"-t -config a.toml",
		"--check --config=a.toml",
		"check -c a.toml",
	};
	struct options options;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
		assert_int_equal(parse(lines[i], &options, &err), 0);
		assert_int_equal(options.command, COMMAND_CHECK);
		assert_string_equal(options.operand, "a.toml");
	}
}

static void backends_keep_their_order(void **state)
{
	struct options options;
	struct error err;

	(void)state;
	assert_int_equal(parse("--listen :9000 --backend a:80 --backend=b:80 --print-config",
				 &options, &err),
		0);
	assert_int_equal(options.command, COMMAND_RUN);
	assert_string_equal(options.listen, ":9000");
	assert_int_equal(options.backend_count, 2);
	assert_string_equal(options.backends[0], "a:80");
	assert_string_equal(options.backends[1], "b:80");
	assert_true(options.print_config);
}

static void a_thousand_backends_are_the_limit(void **state)
{
	static char option[] = "--backend=a:80";
	static char listen[] = "--listen=:1";
	static char *words[OPTIONS_BACKEND_MAX + 5];
	struct options options;
	struct error err = {0};
	int count = 0;

	(void)state;
	words[count++] = listen; /* stands for the name */
	words[count++] = listen;
	for (int i = 0; i < OPTIONS_BACKEND_MAX; i++) {
		words[count++] = option;
	}
	assert_int_equal(options_parse(count, words, &options, &err), 0);
	assert_int_equal(options.backend_count, OPTIONS_BACKEND_MAX);
	words[count++] = option;
	assert_int_equal(options_parse(count, words, &options, &err), -EINVAL);
	assert_non_null(strstr(err.text, "1024 backends"));
}

static void nothing_at_all_is_a_wish_to_run(void **state)
{
	char *none[] = {NULL};
	struct options options;
	struct error err;

	(void)state;
	assert_int_equal(parse("", &options, &err), 0);
	assert_int_equal(options.command, COMMAND_RUN);
	assert_null(options.config_path);
	assert_int_equal(options_parse(0, none, &options, &err), 0);
	assert_int_equal(options.command, COMMAND_RUN);
}

static void help_belongs_to_the_command_before_it(void **state)
{
	struct options options;
	struct error err;

	(void)state;
	assert_int_equal(parse("check --help", &options, &err), 0);
	assert_true(options.help);
	assert_int_equal(options.command, COMMAND_CHECK);
	assert_int_equal(parse("-h", &options, &err), 0);
	assert_true(options.help);
	assert_int_equal(options.command, COMMAND_RUN);
	assert_int_equal(parse("config --help", &options, &err), 0);
	assert_true(options.help);
	assert_int_equal(parse("--version", &options, &err), 0);
	assert_true(options.version);
}

static const struct {
	const char *line;
	const char *text;
} mistakes[] = {
	{"--confg a", "unknown option '--confg'; did you mean '--config'?"},
	{"--confg=a", "unknown option '--confg'; did you mean '--config'?"},
	{"-confg a", "unknown option '-confg'; did you mean '--config'?"},
	{"-confi=a", "unknown option '-confi'; did you mean '--config'?"},
	{"-lisen :1", "unknown option '-lisen'; did you mean '--listen'?"},
	{"--zzzzzz", "unknown option '--zzzzzz'"},
	{"-x", "unknown option '-x'"},
	{"chek", "unknown command 'chek'; did you mean 'check'?"},
	{"dmeo", "unknown command 'dmeo'; did you mean 'demo'?"},
	{"version", "unknown command 'version'; did you mean '--version'?"},
	{"xyzzy",
		"unknown command 'xyzzy'; there are check, init, config, ctl, demo, "
		"doctor, help"},
	{"''",
		"unknown command ''; there are check, init, config, ctl, demo, doctor, "
		"help"},
	{"--format json check a.toml",
		"the command 'check' comes first, as in 'loble check'; options come after "
		"it"},
	{"-c a.toml demo",
		"the command 'demo' comes first, as in 'loble demo'; options come after "
		"it"},
	{"clt", "unknown command 'clt'; did you mean 'ctl'?"},
	{"ctl status status", "unexpected argument 'status'"},
	{"ctl sessions --limit 0", "option '--limit 0': a number from 1 is expected"},
	{"ctl sessions --limit 1x", "option '--limit 1x': a number from 1 is expected"},
	{"ctl sessions --pool a --pool b", "option '--pool b': it was given already"},
	{"ctl --print-config", "option '--print-config' belongs to 'loble', not to 'ctl'"},
	{"--json", "option '--json' belongs to 'loble ctl', not to 'loble'"},
	{"a.toml", "unknown command 'a.toml'; to run with a file: --config FILE"},
	{"-c a.toml b.toml", "unknown command 'b.toml'; to run with a file: --config FILE"},
	{"demo --config a", "option '--config' belongs to 'loble', not to 'demo'"},
	{"--keep", "option '--keep' belongs to 'loble demo', not to 'loble'"},
	{"-c", "option '--config' needs a value: FILE"},
	{"-config", "option '--config' needs a value: FILE"},
	{"--backend", "option '--backend' needs a value: ADDRESS"},
	{"-config=", "option '--config ': a file name is expected"},
	{"demo --keep=yes", "option '--keep' takes no value"},
	{"demo --seconds 7", "option '--seconds 7': a number from 8 to 3600 is expected"},
	{"demo --seconds 3601", "option '--seconds 3601': a number from 8 to 3600 is expected"},
	{"demo --seconds -9", "option '--seconds -9': a number from 8 to 3600 is expected"},
	{"demo --seconds 9x", "option '--seconds 9x': a number from 8 to 3600 is expected"},
	{"demo --seconds 99999999999999999999",
		"option '--seconds 99999999999999999999': a number from 8 to 3600 is "
		"expected"},
	{"demo now", "unexpected argument 'now'"},
	{"check a b", "unexpected argument 'b'"},
	{"check -c a b", "two files were given; one can be checked"},
	{"check --format xml", "option '--format xml': it is text or json"},
	{"--format json", "option '--format' belongs to 'loble check'"},
	{"-c a -c b",
		"option '--config b': there is one configuration file, and it was given "
		"already"},
	{"--listen :1", "--listen needs a --backend"},
	{"--backend a:1", "--backend needs a --listen"},
	{"-c a --listen :1 --backend a:1",
		"--listen and --backend stand for a file; give them or a file, not both"},
	{"--listen :1 --listen :2",
		"option '--listen :2': one listener is possible here; use a configuration "
		"file for more"},
	{"config", "'loble config' needs a word: reference or schema"},
};

static void mistakes_are_told_with_what_was_meant(void **state)
{
	struct options options;
	struct error err;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(mistakes); i++) {
		assert_int_equal(parse(mistakes[i].line, &options, &err), -EINVAL);
		assert_string_equal(err.text, mistakes[i].text);
	}
}

static void a_value_is_never_taken_for_an_option(void **state)
{
	struct options options;
	struct error err;

	(void)state;
	assert_int_equal(parse("--config -config", &options, &err), 0);
	assert_string_equal(options.config_path, "-config");
	assert_int_equal(parse("-config -confg", &options, &err), 0);
	assert_string_equal(options.config_path, "-confg");
}

static void every_row_is_whole(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		assert_non_null(option_table[i].set);
		assert_non_null(option_table[i].help);
		assert_int_not_equal(option_table[i].commands, 0);
		for (size_t k = 0; k < i; k++) {
			/* One name may mean two things, to two commands. */
			assert_true(strcmp(option_table[i].name, option_table[k].name) != 0 ||
				(option_table[i].commands & option_table[k].commands) == 0);
			assert_true(option_table[i].letter == 0 ||
				option_table[i].letter != option_table[k].letter);
		}
	}
	for (unsigned id = 0; id < COMMAND_COUNT; id++) {
		assert_non_null(command_table[id].summary);
		assert_non_null(command_table[id].details);
		assert_non_null(command_table[id].example);
		assert_int_equal(command_find(command_table[id].name), id);
	}
	assert_int_equal(command_find("nothing"), COMMAND_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_of_config_names_the_same_file),
		cmocka_unit_test(commands_take_their_options_in_any_place),
		cmocka_unit_test(ctl_takes_filters_for_what_it_lists),
		cmocka_unit_test(a_letter_turns_running_into_checking),
		cmocka_unit_test(backends_keep_their_order),
		cmocka_unit_test(a_thousand_backends_are_the_limit),
		cmocka_unit_test(nothing_at_all_is_a_wish_to_run),
		cmocka_unit_test(help_belongs_to_the_command_before_it),
		cmocka_unit_test(mistakes_are_told_with_what_was_meant),
		cmocka_unit_test(a_value_is_never_taken_for_an_option),
		cmocka_unit_test(every_row_is_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
