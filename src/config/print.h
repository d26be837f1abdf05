/*
 * What a configuration says, as text again, and what can be said at all.
 *
 * Threads: any.
 */
#pragma once

#include <stdio.h>

#include "config/config.h"

/* The configuration as a file in the full form, every option written out. */
void config_print(const struct config *config, FILE *file);

struct field;

/* One value as it is written in a file; "unset" where there is none. */
void config_print_value(const struct field *field, const void *member, FILE *file);

/* A short configuration with comments, to start from. */
void config_sample(FILE *file);

/* All tables and options with type, default, range and meaning, for people. */
void config_reference(FILE *file);

/* The same as a JSON Schema (draft 4), for editors. */
void config_schema(FILE *file);
