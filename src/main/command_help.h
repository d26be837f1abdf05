/*
 * What the program says about itself, made from the tables of options.h.
 *
 * Threads: any; everything is constant.
 */
#pragma once

#include <stdio.h>

#include "main/options.h"

/* The help of one command; that of COMMAND_RUN is the overview, of at most 24 lines. */
void help_print(enum command_id command, FILE *file);

/* Name and version, and a line of what this build can do. */
void version_print(FILE *file);

/* `loble help [COMMAND]`: returns an enum exit_code. */
int command_help(const struct options *options);
