/*
 * Turns what the TOML parser says about a syntax error into what helps the operator, from the line
 * where it happened.
 *
 * Pure functions, any thread.
 */
#pragma once

#include "base/span.h"

struct diag;
struct toml_failure;

/* Reports the syntax error, with a help where one is known. `text` is the whole source. */
void hint_syntax_error(struct span text, const struct toml_failure *failure, struct diag *diag);
