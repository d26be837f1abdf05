#include "main/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/suggest.h"
#include "main/ctl.h"

/* Values that getopt_long() gives back for a row: above all letters. */
enum { LONG_BASE = 256 };

enum { LETTERS_MAX = 3 + 2 * OPTION_COUNT };

static bool takes(enum command_id command, const struct option_row *row)
{
	return (row->commands & 1U << command) != 0;
}

/* The row of `--name`, with or without a value behind it; NULL when there is none. */
static const struct option_row *row_of_word(const char *word, size_t length)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (strlen(option_table[i].name) == length &&
			memcmp(option_table[i].name, word, length) == 0) {
			return &option_table[i];
		}
	}
	return NULL;
}

/* The long option that `word` (without its dashes) may have meant, for this command. */
static const char *nearest_option(enum command_id command, const char *word)
{
	struct suggest suggest = {.word = word, .length = strcspn(word, "=")};

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (takes(command, &option_table[i])) {
			suggest_consider(&suggest, option_table[i].name);
		}
	}
	return suggest.nearest;
}

/* The first command that takes the option. */
static const char *home_of(const struct option_row *row)
{
	for (unsigned id = 0; id < COMMAND_COUNT; id++) {
		if (takes(id, row)) {
			return command_table[id].name;
		}
	}
	return "";
}

/* `word` as it was written, with its dashes, and not known to the command. */
static int refuse_option(enum command_id command, const char *word, struct error *err)
{
	const char *name = word + strspn(word, "-");
	const size_t length = strcspn(name, "=");
	const struct option_row *elsewhere = row_of_word(name, length);
	const char *nearest = nearest_option(command, name);
	const int shown = (int)(length + (size_t)(name - word));

	if (elsewhere != NULL && !takes(command, elsewhere)) {
		const char *home = home_of(elsewhere);

		return error_say(err, EINVAL, "option '%.*s' belongs to 'loble%s%s', not to '%s'",
			shown, word, *home != '\0' ? " " : "", home,
			command == COMMAND_RUN ? "loble" : command_table[command].name);
	}
	if (nearest != NULL) {
		return error_say(err, EINVAL, "unknown option '%.*s'; did you mean '--%s'?", shown,
			word, nearest);
	}
	return error_say(err, EINVAL, "unknown option '%.*s'", shown, word);
}

/* No command is near to it, so all are named. */
static int refuse_far_command(const char *word, struct error *err)
{
	char names[128] = "";
	size_t length = 0;

	for (unsigned id = COMMAND_RUN + 1; id < COMMAND_COUNT && length < sizeof names; id++) {
		length += (size_t)snprintf(names + length, sizeof names - length, "%s%s",
			length > 0 ? ", " : "", command_table[id].name);
	}
	return error_say(err, EINVAL, "unknown command '%s'; there are %s", word, names);
}

static int refuse_command(const char *word, struct error *err)
{
	struct suggest suggest = {.word = word, .length = strlen(word)};
	const char *option;

	for (unsigned id = COMMAND_RUN + 1; id < COMMAND_COUNT; id++) {
		suggest_consider(&suggest, command_table[id].name);
	}
	if (strlen(word) > 5 && strcmp(word + strlen(word) - 5, ".toml") == 0) {
		return error_say(err, EINVAL,
			"unknown command '%s'; to run with a file: --config FILE", word);
	}
	option = nearest_option(COMMAND_RUN, word);
	if (suggest.nearest == NULL && option != NULL) {
		return error_say(
			err, EINVAL, "unknown command '%s'; did you mean '--%s'?", word, option);
	}
	if (suggest.nearest != NULL) {
		return error_say(err, EINVAL, "unknown command '%s'; did you mean '%s'?", word,
			suggest.nearest);
	}
	return refuse_far_command(word, err);
}

/* Whether the word after this one is its value. */
static bool wants_next(const char *word)
{
	const bool is_long = word[0] == '-' && word[1] == '-';

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_table[i];

		if (row->argument != NULL &&
			(is_long ? strcmp(word + 2, row->name) == 0
				 : word[0] == '-' && word[1] == row->letter && word[2] == '\0')) {
			return true;
		}
	}
	return false;
}

/*
 * Copies the arguments; `-config` becomes "--config", and `-config=FILE` becomes two words.
 * `to` has room for twice as many and a NULL. Returns how many there are. A word with one dash
 * that is near to a long option
 * is refused: getopt_long() would read `-confg x` as `-c onfg`.
 */
static int normalize(enum command_id command, char **from, char **to, struct error *err)
{
	static char long_config[] = "--config";
	int count = 0;

	for (; *from != NULL; from++) {
		char *word = *from;

		if (strcmp(word, "--") == 0) {
			while (*from != NULL) {
				to[count++] = *from++;
			}
			break;
		}
		if (strcmp(word, "-config") == 0 || strncmp(word, "-config=", 8) == 0) {
			to[count++] = long_config;
			if (word[7] == '=') {
				to[count++] = word + 8;
			} else if (from[1] != NULL) {
				to[count++] = *++from;
			}
			continue;
		}
		if (word[0] == '-' && word[1] != '-' && strlen(word) > 2 &&
			nearest_option(command, word + 1) != NULL) {
			return refuse_option(command, word, err);
		}
		to[count++] = word;
		if (wants_next(word) && from[1] != NULL) {
			to[count++] = *++from;
		}
	}
	to[count] = NULL;
	return count;
}

static int take_operand(struct options *options, const char *word, struct error *err)
{
	const struct command_row *command = &command_table[options->command];
	const enum command_id named = command_find(word);

	if (options->command == COMMAND_CTL && options->operand != NULL &&
		ctl_find(options->operand) == NULL) {
		return 0; /* the mistake is the first word: command_ctl() says what it may mean */
	}
	if (options->command == COMMAND_RUN && named != COMMAND_RUN && named != COMMAND_COUNT) {
		return error_say(err, EINVAL,
			"the command '%s' comes first, as in 'loble %s'; options come after it",
			word, word);
	}
	if (command->operand == NULL || options->operand != NULL) {
		if (options->command == COMMAND_RUN && !options->check) {
			return refuse_command(word, err);
		}
		if (options->command != COMMAND_RUN || options->operand != NULL) {
			return error_say(err, EINVAL, "unexpected argument '%s'", word);
		}
	}
	options->operand = word;
	return 0;
}

/* The tables that getopt_long() wants, for one command. */
static void fill_tables(
	enum command_id command, struct option *ret_longs, char letters[static LETTERS_MAX])
{
	size_t at = 2;

	/* Operands in their place, errors left to us, a missing value told apart. */
	memcpy(letters, "-:", at);
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_table[i];

		if (!takes(command, row)) {
			continue;
		}
		*ret_longs++ = (struct option){
			.name = row->name,
			.has_arg = row->argument != NULL ? required_argument : no_argument,
			.val = LONG_BASE + (int)i,
		};
		if (row->letter != 0) {
			letters[at++] = row->letter;
			if (row->argument != NULL) {
				letters[at++] = ':';
			}
		}
	}
	letters[at] = '\0';
	*ret_longs = (struct option){0};
}

static const struct option_row *row_of_value(int value)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (value == LONG_BASE + (int)i ||
			(value != 0 && value == option_table[i].letter)) {
			return &option_table[i];
		}
	}
	return NULL;
}

/* What getopt_long() did not like: '?' or ':'. */
static int refuse(enum command_id command, int what, const char *word, struct error *err)
{
	const struct option_row *row = row_of_value(optopt);
	const char letter[] = {'-', (char)optopt, '\0'};

	if (what == ':' && row != NULL) {
		return error_say(
			err, EINVAL, "option '--%s' needs a value: %s", row->name, row->argument);
	}
	if (optopt >= LONG_BASE && row != NULL) {
		return error_say(err, EINVAL, "option '--%s' takes no value", row->name);
	}
	return refuse_option(command, optopt != 0 ? letter : word, err);
}

static int parse_words(int count, char **words, struct options *options, struct error *err)
{
	struct option longs[OPTION_COUNT + 1];
	char letters[LETTERS_MAX];
	int r = 0;

	fill_tables(options->command, longs, letters);
	optind = 0; /* starts anew, also in the C library */
	opterr = 0;
	while (r == 0) {
		/* The only thread: options.h. */
		const int value = // NOLINTNEXTLINE(concurrency-mt-unsafe)
			getopt_long(count, words, letters, longs, NULL);
		const struct option_row *row = row_of_value(value);
		const char *mistake;

		if (value == -1) {
			break;
		}
		if (value == 1) {
			r = take_operand(options, optarg, err);
			continue;
		}
		if (value == '?' || value == ':' || row == NULL) {
			return refuse(options->command, value, words[optind - 1], err);
		}
		mistake = row->set(options, optarg);
		if (mistake != NULL) {
			return error_say(err, EINVAL, "option '--%s%s%s': %s", row->name,
				optarg != NULL ? " " : "", optarg != NULL ? optarg : "", mistake);
		}
	}
	while (r == 0 && optind < count) {
		r = take_operand(options, words[optind++], err);
	}
	return r;
}

/* Rules between options. */
static int validate(struct options *options, struct error *err)
{
	const bool without_file = options->command != COMMAND_CTL &&
		(options->listen != NULL || options->backend_count > 0);

	if (options->help || options->version) {
		return 0;
	}
	if (options->command == COMMAND_RUN && options->check) {
		options->command = COMMAND_CHECK;
	}
	if (options->command == COMMAND_CHECK && options->config_path != NULL) {
		if (options->operand != NULL) {
			return error_say(err, EINVAL, "two files were given; one can be checked");
		}
		options->operand = options->config_path;
	}
	if (options->command == COMMAND_RUN && options->format_given) {
		return error_say(err, EINVAL, "option '--format' belongs to 'loble check'");
	}
	if (without_file && (options->config_path != NULL || options->command == COMMAND_CHECK)) {
		return error_say(err, EINVAL,
			"--listen and --backend stand for a file; give them or a file, not both");
	}
	if (options->listen != NULL && options->backend_count == 0) {
		return error_say(err, EINVAL, "--listen needs a --backend");
	}
	if (without_file && options->listen == NULL) {
		return error_say(err, EINVAL, "--backend needs a --listen");
	}
	if (options->command == COMMAND_CONFIG && options->operand == NULL) {
		return error_say(err, EINVAL, "'loble config' needs a word: reference or schema");
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options, struct error *err)
{
	/* argv[0] may be missing altogether: execve() permits it. */
	const int first = argc > 0 ? 1 : 0;
	static char nothing[] = "loble";
	char **words;
	int r;

	*ret_options = (struct options){.seconds = DEMO_SECONDS_DEFAULT};
	words = calloc(2 * (size_t)argc + 2, sizeof *words);
	if (words == NULL) {
		return error_set(err, ENOMEM, "cannot read the command line");
	}
	words[0] = nothing;
	argv += first;
	if (*argv != NULL && **argv != '-') {
		ret_options->command = command_find(*argv);
		if (ret_options->command == COMMAND_COUNT || **argv == '\0') {
			ret_options->command = COMMAND_RUN;
			r = refuse_command(*argv, err);
			goto done;
		}
		argv++;
	}
	r = normalize(ret_options->command, argv, words + 1, err);
	if (r >= 0) {
		r = parse_words(r + 1, words, ret_options, err);
	}
	if (r == 0) {
		r = validate(ret_options, err);
	}
done:
	free(words);
	return r;
}
