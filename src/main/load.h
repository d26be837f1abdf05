/*
 * Gets a configuration for a command, and says what is wrong with it.
 *
 * Threads: the first thread.
 */
#pragma once

#include "main/options.h"

struct config;

#define LOAD_DEFAULT_PATH "/etc/loble/loble.toml"

/* The path that was given, or the default one. */
const char *load_path(const char *given);

/*
 * Reads the file. Errors and warnings go to standard error, as JSON to standard output. Returns
 * NULL with *ret_code, an enum exit_code, when it cannot be used.
 */
struct config *load_file(const char *path, enum message_format format, int *ret_code);

/* The same for what the command line says. */
struct config *load_arguments(const struct options *options, int *ret_code);
