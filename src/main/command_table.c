#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "main/ctl.h"
#include "main/options.h"

enum {
	FOR_RUN = 1U << COMMAND_RUN,
	FOR_CHECK = 1U << COMMAND_CHECK,
	FOR_CTL = 1U << COMMAND_CTL,
	FOR_DEMO = 1U << COMMAND_DEMO,
	FOR_DOCTOR = 1U << COMMAND_DOCTOR,
	FOR_ALL = (1U << COMMAND_COUNT) - 1,
};

const struct command_row command_table[COMMAND_COUNT] = {
	[COMMAND_RUN] =
		{
			.name = "",
			.summary = "run the balancer in the foreground",
			.details = "Without an argument it runs with /etc/loble/loble.toml.\n",
			.example = "loble --listen :9000 --backend 10.0.0.1:80 --backend "
				   "10.0.0.2:80",
		},
	[COMMAND_CHECK] =
		{
			.name = "check",
			.operand = "[FILE]",
			.summary = "find every mistake in a configuration file",
			.details =
				"Says file, line and column of every mistake, shows the line and "
				"gives a hint.\n"
				"Without FILE it checks /etc/loble/loble.toml. Exit status: 0 when "
				"the file is\n"
				"valid, 65 when it is not, 66 when there is no such file.\n",
			.example = "loble check --format json loble.toml",
		},
	[COMMAND_INIT] =
		{
			.name = "init",
			.operand = "[FILE]",
			.summary = "write a sample configuration with comments",
			.details = "Without FILE it is printed. A file that exists is never "
				   "touched.\n",
			.example = "loble init loble.toml",
		},
	[COMMAND_CONFIG] =
		{
			.name = "config",
			.operand = "reference|schema",
			.summary = "print all keys of the file, or a JSON Schema of it",
			.details =
				"reference: every key with its type, range, default and meaning.\n"
				"schema: the same as a JSON Schema, for editors and linters.\n",
			.example = "loble config schema > loble.schema.json",
		},
	[COMMAND_CTL] =
		{
			.name = "ctl",
			.operand = "COMMAND",
			.summary = "talk to a running balancer",
			.details = "Commands:\n",
			.print_list = ctl_print_commands,
			.example = "loble ctl sessions --backend db/10.0.0.5:5432 --limit 20",
		},
	[COMMAND_DEMO] =
		{
			.name = "demo",
			.summary = "real traffic through a balancer; a backend fails",
			.details =
				"Three backends, a balancer and clients on loopback, at free "
				"ports. In the middle\n"
				"one backend fails, and comes back. Exit status: 0 only if no "
				"client "
				"saw an error\n"
				"and the balancer did what it should; else 1, and a sentence says "
				"what did not hold.\n",
			.example = "loble demo --seconds 30",
		},
	[COMMAND_DOCTOR] =
		{
			.name = "doctor",
			.summary = "what of this machine stands in the way, and what mends it",
			.details =
				"Limits, kernel features and rights, of this machine and of a "
				"process with the\n"
				"rights of this one: OK, or WARN with the command that mends it. "
				"It changes\n"
				"nothing. Exit status: 0, also with warnings.\n",
			.example = "loble doctor --json",
		},
	[COMMAND_HELP] =
		{
			.name = "help",
			.operand = "[COMMAND]",
			.summary = "this text, or that of a command",
			.details = "The same as --help.\n",
			.example = "loble help check",
		},
};

static const char *set_config(struct options *options, const char *value)
{
	if (*value == '\0') {
		return "a file name is expected";
	}
	if (options->config_path != NULL) {
		return "there is one configuration file, and it was given already";
	}
	options->config_path = value;
	return NULL;
}

static const char *set_listen(struct options *options, const char *value)
{
	if (*value == '\0') {
		return "an address is expected, such as \":9000\"";
	}
	if (options->listen != NULL) {
		return "one listener is possible here; use a configuration file for more";
	}
	options->listen = value;
	return NULL;
}

static const char *set_backend(struct options *options, const char *value)
{
	if (*value == '\0') {
		return "an address is expected, such as \"10.0.0.1:80\"";
	}
	if (options->backend_count == OPTIONS_BACKEND_MAX) {
		return "1024 backends are possible here; use a configuration file for more";
	}
	options->backends[options->backend_count] = value;
	options->backend_count++;
	return NULL;
}

static const char *set_print_config(struct options *options, const char *value)
{
	(void)value;
	options->print_config = true;
	return NULL;
}

static const char *set_check(struct options *options, const char *value)
{
	(void)value;
	options->check = true;
	return NULL;
}

static const char *set_format(struct options *options, const char *value)
{
	if (strcmp(value, "text") != 0 && strcmp(value, "json") != 0) {
		return "it is text or json";
	}
	options->format = strcmp(value, "json") == 0 ? MESSAGE_JSON : MESSAGE_TEXT;
	options->format_given = true;
	return NULL;
}

static const char *set_keep(struct options *options, const char *value)
{
	(void)value;
	options->keep = true;
	return NULL;
}

static const char *set_seconds(struct options *options, const char *value)
{
	char *end;
	unsigned long seconds;

	errno = 0;
	seconds = strtoul(value, &end, 10);
	if (*value < '0' || *value > '9' || *end != '\0' || errno != 0 ||
		seconds < DEMO_SECONDS_MIN || seconds > DEMO_SECONDS_MAX) {
		return "a number from 8 to 3600 is expected";
	}
	options->seconds = (unsigned)seconds;
	return NULL;
}

/* A word that may be given once. */
static const char *set_word(const char **word, const char *value)
{
	if (*value == '\0') {
		return "it must not be empty";
	}
	if (*word != NULL) {
		return "it was given already";
	}
	*word = value;
	return NULL;
}

static const char *set_socket(struct options *options, const char *value)
{
	return set_word(&options->socket, value);
}

static const char *set_json(struct options *options, const char *value)
{
	(void)value;
	options->json = true;
	return NULL;
}

static const char *set_wait(struct options *options, const char *value)
{
	(void)value;
	options->wait = true;
	return NULL;
}

static const char *set_pool(struct options *options, const char *value)
{
	return set_word(&options->pool, value);
}

static const char *set_wanted_backend(struct options *options, const char *value)
{
	const char *mistake = set_word(&options->backends[0], value);

	options->backend_count = 1;
	return mistake;
}

static const char *set_listener(struct options *options, const char *value)
{
	return set_word(&options->listener, value);
}

static const char *set_limit(struct options *options, const char *value)
{
	if (*value < '1' || *value > '9' || value[strspn(value, "0123456789")] != '\0' ||
		strlen(value) > 9) {
		return "a number from 1 is expected";
	}
	return set_word(&options->limit, value);
}

static const char *set_help(struct options *options, const char *value)
{
	(void)value;
	options->help = true;
	return NULL;
}

static const char *set_version(struct options *options, const char *value)
{
	(void)value;
	options->version = true;
	return NULL;
}

const struct option_row option_table[OPTION_COUNT] = {
	{"config", 'c', "FILE", FOR_RUN | FOR_CHECK, NULL,
		"the configuration file; -config FILE is the same", set_config},
	{"listen", 0, "ADDRESS", FOR_RUN, NULL, "run without a file: where clients connect",
		set_listen},
	{"backend", 0, "ADDRESS", FOR_RUN, NULL, "and where they are sent; may be repeated",
		set_backend},
	{"print-config", 0, NULL, FOR_RUN, NULL, "print the configuration and do not run",
		set_print_config},
	{"check", 't', NULL, FOR_RUN | FOR_CHECK, NULL, "the same as the command check", set_check},
	{"format", 0, "text|json", FOR_RUN | FOR_CHECK, "text json",
		"how check shows what it found", set_format},
	{"keep", 0, NULL, FOR_DEMO, NULL, "go on until Ctrl-C", set_keep},
	{"seconds", 0, "N", FOR_DEMO, NULL, "how long it takes, from 8 to 3600 (12)", set_seconds},
	{"socket", 0, "PATH", FOR_CTL, NULL, "the admin socket; needed where several are live",
		set_socket},
	{"json", 0, NULL, FOR_CTL | FOR_DOCTOR, NULL, "the answer as JSON", set_json},
	{"wait", 0, NULL, FOR_CTL, NULL, "until it is done; the exit status says how it went",
		set_wait},
	{"pool", 0, "NAME", FOR_CTL, NULL, "only of this pool", set_pool},
	{"backend", 0, "NAME", FOR_CTL, NULL, "only of this backend, NAME or POOL/NAME",
		set_wanted_backend},
	{"listener", 0, "NAME", FOR_CTL, NULL, "only of this listener", set_listener},
	{"limit", 0, "N", FOR_CTL, NULL, "at most so many", set_limit},
	{"help", 'h', NULL, FOR_ALL, NULL, "this text, or that of the command before it", set_help},
	{"version", 'V', NULL, FOR_ALL, NULL, "name, version and features", set_version},
};

enum command_id command_find(const char *name)
{
	for (unsigned id = 0; id < COMMAND_COUNT; id++) {
		if (strcmp(command_table[id].name, name) == 0) {
			return id;
		}
	}
	return COMMAND_COUNT;
}
