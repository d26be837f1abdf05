/*
 * Turns the tree of a configuration file into a configuration: which form it has, which tables,
 * and all that one option alone does not show, such as names that are used twice.
 *
 * Threads: any.
 */
#pragma once

#include "config/config.h"
#include "config/toml.h"

struct arena;
struct diag;

/*
 * Returns the configuration in `arena`, or NULL when there is no memory. It is complete only when
 * `diag` has no error. The tree may go afterwards; drafts live in `scratch`.
 */
struct config *config_build(const struct toml_table *root, struct arena *arena,
	struct arena *scratch, struct diag *diag);
