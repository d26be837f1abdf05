/*
 * A configuration while it is built: each part beside the place in the text that it came from, so
 * that the rules across options can point at it.
 *
 * Everything here lives in a scratch arena. Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/sections.h"

struct diag;

struct draft_backend {
	struct config_backend backend;
	const struct toml_table *table;
	struct toml_position position;
};

struct draft_pool {
	struct config_pool pool;
	struct toml_position position;
	uint32_t backend_count;
	struct draft_backend *backends;
	bool used; /* by a listener */
};

struct draft_listener {
	struct config_listener_draft bound;
	const struct toml_table *table;
	struct toml_position position;
};

struct draft {
	const struct toml_table *tree;
	struct config_root *root;
	bool named; /* whether it is the full form */
	uint32_t listener_count;
	struct draft_listener *listeners;
	uint32_t pool_count;
	struct draft_pool *pools;
	struct arena *scratch;
	struct diag *diag;
};

/*
 * Checks the rules across options: names and addresses that are used twice, pools that do not
 * exist. Sets the pool of each listener. Warns of what is likely a mistake.
 */
void draft_validate(struct draft *draft);
