/*
 * The command line, as two tables: commands and options. Parser, help, completions and the check
 * of the man page read them; a row is the only declaration.
 *
 * Options are those of getopt_long(3). One addition: exactly `-config` and `-config=FILE` stand
 * for `--config`. A word with one dash that looks like a misspelt long option is an error and
 * never read as a bundle of letters.
 *
 * Threads: the first thread, before there is any other (getopt_long(3) has global state).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct error;

enum {
	OPTIONS_BACKEND_MAX = 1024, /* --backend, on one command line */
	OPTION_COUNT = 17,
	DEMO_SECONDS_MIN = 8,
	DEMO_SECONDS_MAX = 3600,
	DEMO_SECONDS_DEFAULT = 12,
};

enum command_id {
	COMMAND_RUN, /* no command word */
	COMMAND_CHECK,
	COMMAND_INIT,
	COMMAND_CONFIG,
	COMMAND_CTL,
	COMMAND_DEMO,
	COMMAND_DOCTOR,
	COMMAND_HELP,
	COMMAND_COUNT,
};

enum message_format { MESSAGE_TEXT, MESSAGE_JSON };

/* What was asked for. All text is borrowed from the argument vector. */
struct options {
	enum command_id command;
	bool help;    /* about `command`, instead of doing it */
	bool version; /* instead of doing it */
	bool check;   /* -t: COMMAND_CHECK in other words; `command` says so after parsing */
	bool print_config;
	bool keep;
	bool format_given;
	enum message_format format;
	unsigned seconds;
	const char *config_path; /* NULL: not given */
	const char *listen;      /* NULL: not given */
	size_t backend_count;
	const char *backends[OPTIONS_BACKEND_MAX];
	const char *operand; /* NULL: not given */
	/* Of `ctl`. */
	bool json;
	bool wait;
	const char *socket; /* NULL: not given, as those below */
	const char *pool;
	const char *listener;
	const char *limit;
};

struct command_row {
	const char *name;               /* "": no command word */
	const char *operand;            /* as in a usage line; NULL: takes none */
	const char *summary;            /* for the list of commands */
	const char *details;            /* for its own help: whole lines */
	void (*print_list)(FILE *file); /* more of them; NULL: none */
	const char *example;
};

struct option_row {
	const char *name;     /* the long form, without dashes */
	char letter;          /* 0: none */
	const char *argument; /* as in a usage line; NULL: takes none */
	unsigned commands;    /* which take it: bit 1 << command_id of each */
	const char *words;    /* what the argument may be, separated by spaces; NULL: free */
	const char *help;
	/* Takes the value. Returns NULL, else a constant sentence that says what is wrong. */
	const char *(*set)(struct options *options, const char *value);
};

extern const struct command_row command_table[COMMAND_COUNT];
extern const struct option_row option_table[OPTION_COUNT];

/*
 * Reads the arguments (argv[0] is skipped). Returns 0, or -EINVAL with a sentence for the user in
 * `err` ("unknown option '--confg'; did you mean '--config'?"), or -ENOMEM.
 *
 * `ret_options` is written on failure too: its command tells whose help fits.
 */
int options_parse(int argc, char **argv, struct options *ret_options, struct error *err);

/* The row of the command with this name, or COMMAND_COUNT. */
enum command_id command_find(const char *name);
