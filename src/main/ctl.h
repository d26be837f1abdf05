/*
 * The commands of `loble ctl`, as a table: one row each. Parser of words, help and request are
 * made from it.
 *
 * Threads: the first thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct options;

/* Options that not every command takes. */
enum ctl_option {
	CTL_POOL = 1 << 0,
	CTL_BACKEND = 1 << 1,
	CTL_LISTENER = 1 << 2,
	CTL_LIMIT = 1 << 3,
	CTL_WAIT = 1 << 4,
};

struct ctl_row {
	const char *name;
	const char *usage; /* what follows the name, as in a usage line */
	const char *summary;
	unsigned options; /* enum ctl_option */
	const char *method;
	const char *path;
	int timeout_ms; /* without a byte of the answer */
	/* Shows the answer to people. Returns false when there was no memory for it. */
	bool (*print)(const json_t *answer, FILE *file);
	int wait_timeout_ms; /* with --wait: of the answer */
	/*
	 * With --wait: goes on once the request was accepted, and says how it went, with `json`
	 * as JSON. Returns an enum exit_code. NULL: the answer itself waits.
	 */
	int (*follow)(const char *socket, const json_t *answer, bool json);
};

extern const struct ctl_row ctl_table[];
extern const size_t ctl_row_count;

/* NULL when there is none of that name. */
const struct ctl_row *ctl_find(const char *name);

/* The list of the commands, for --help. */
void ctl_print_commands(FILE *file);

/* The printers of the rows. */
bool ctl_print_status(const json_t *answer, FILE *file);
bool ctl_print_backends(const json_t *answer, FILE *file);
bool ctl_print_sessions(const json_t *answer, FILE *file);
bool ctl_print_accepted(const json_t *answer, FILE *file);

/*
 * Says what went wrong: as a sentence on standard error, or with `json` as {"error": ...} on
 * standard output, and then nowhere else. `text` may be from elsewhere: it is made harmless.
 */
void ctl_complain(bool json, const char *before, const char *text, const char *after);

/* Looks at the status until the attempt is over, while one process takes the other's place. */
int ctl_follow_upgrade(const char *socket, const json_t *answer, bool json);
