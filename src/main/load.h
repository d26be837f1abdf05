/*
 * Gets a configuration for a command, and says what is wrong with it.
 *
 * Threads: the first thread.
 */
#pragma once

#include <stdio.h>

#include "main/options.h"

struct config;
struct diag;

#define LOAD_DEFAULT_PATH "/etc/loble/loble.toml"

/* The path that was given, or the default one. */
const char *load_path(const char *given);

/*
 * Reads the file. Errors and warnings go to standard error, as JSON to standard output. Returns
 * NULL with *ret_code, an enum exit_code, when it cannot be used.
 */
struct config *load_file(const char *path, enum message_format format, int *ret_code);

/*
 * What is to run: the file of the command line, or what its addresses stand for. The same, but
 * warnings about what can be used are for the log: *ret_warnings is to be freed, one line each;
 * NULL: there are none.
 */
struct config *load_to_run(const struct options *options, char **ret_warnings, int *ret_code);

/* What is wrong, as text to be freed; NULL when there is no memory. */
char *load_text_of(const struct diag *diag, void (*print)(const struct diag *, FILE *));
