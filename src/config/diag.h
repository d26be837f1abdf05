/*
 * Collects what is wrong with a configuration, and shows it: file:line:column, the line, a caret,
 * what helps. All mistakes of a file at once, sorted by position.
 *
 * Text of the operator goes into messages as it is; what would be no plain text on a terminal is
 * escaped here.
 *
 * Threads: belongs to one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/span.h"
#include "config/toml.h"

struct diag;

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

/* The mistakes past this number are counted but not kept. */
enum { DIAG_KEPT_MAX = 1000 };

/* NULL when there is no memory; every function here takes that for a diag that keeps nothing. */
struct diag *diag_create(void);
void diag_free(struct diag *diag);

/*
 * Between begin and end, what is added belongs to the source called `name` (copied) with this
 * text (borrowed until the end, may be empty). The end sorts and takes the lines that are shown.
 */
void diag_begin(struct diag *diag, const char *name, struct span text);
void diag_end(struct diag *diag);

/* Adds one message, and a help to the message last added. A line of 0 means the whole source. */
void diag_add(struct diag *diag, enum diag_severity severity, struct toml_position position,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
void diag_help(struct diag *diag, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * The source could not be read: `code` is an errno value. The last one stays readable, so that a
 * missing file can be told from an invalid one. Lack of memory is ENOMEM, since nothing can be said
 * about a text then that was not looked at to its end.
 */
void diag_unreadable(struct diag *diag, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int diag_read_error(const struct diag *diag);

/* The same by what somebody can do about it. */
enum diag_failure {
	DIAG_CONTENT, /* it was read: what it says is wrong; or it is nothing that can be read */
	DIAG_NO_FILE,
	DIAG_NOT_PERMITTED,
	DIAG_IO,
	DIAG_LIMIT, /* of the system: memory, descriptors */
};

enum diag_failure diag_failure(const struct diag *diag);

/* There was no memory, for the configuration or for a message. */
void diag_out_of_memory(struct diag *diag);

unsigned diag_errors(const struct diag *diag);
unsigned diag_warnings(const struct diag *diag);

/* For people: all messages, and "1 error, 0 warnings" as the last line; or nothing. */
void diag_print(const struct diag *diag, FILE *file);

/* The same in one line each, without excerpts and sum: for a log. */
void diag_print_lines(const struct diag *diag, FILE *file);

/* For programs: a list of {file, line, column, severity, message, help}; or null. */
void diag_print_json(const struct diag *diag, FILE *file);

/* Writes `length` bytes at `text` as a JSON string, quotes included; what is no UTF-8 as U+FFFD. */
void json_write_string(FILE *file, const char *text, size_t length);
