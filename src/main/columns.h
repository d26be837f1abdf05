/*
 * Tables for people: columns as wide as what is in them, two spaces between.
 *
 * What comes from outside is escaped: nothing that it holds reaches the terminal as a control
 * character. Width is counted in characters.
 *
 * Owner and threads: the caller; one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { COLUMNS_MAX = 16 };

struct columns {
	size_t count;
	bool failed; /* there was no memory: nothing can be printed */
	bool right[COLUMNS_MAX];
	size_t width[COLUMNS_MAX];
	size_t cell_count;
	size_t room;
	char **cells; /* owned, and each of them; row by row */
};

/* `titles` is the first row; one that begins with '>' is that of a column of numbers. */
void columns_begin(struct columns *columns, size_t count, const char *const *titles);

/* The next cell; NULL and an empty text are shown as "-". */
void columns_add(struct columns *columns, const char *text);
void columns_format(struct columns *columns, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* Prints all whole rows and frees everything. Returns false when there was no memory for it. */
bool columns_end(struct columns *columns, FILE *file);

/* Prints text of several lines, escaped. Returns false when there was no memory for it. */
bool columns_print_lines(const char *text, FILE *file);

/* A copy with control characters and what is no UTF-8 as \xNN, to be freed; NULL: no memory. */
char *columns_escape(const char *text);
