/*
 * What differs between two configurations: for a reload, which applies some of it, refuses the
 * rest, and says how much it was.
 *
 * It reads the tables of options, so a new option needs nothing here. Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct difference_count {
	uint32_t added;
	uint32_t removed;
	uint32_t changed;
};

enum { DIFFERENCE_REFUSED_MAX = 512, DIFFERENCE_CHANGES_MAX = 2048 };

struct config_difference {
	struct difference_count listeners; /* by name */
	struct difference_count pools;     /* by name; changed by an option of their own */
	struct difference_count backends;  /* by name and pool */
	uint32_t options;                  /* of the process */
	bool reordered;                    /* the same things stand in another order */
	/* Options that take a restart, "server.workers, server.user": empty when there is none. */
	char refused[DIFFERENCE_REFUSED_MAX];
	/* The same with their values, "server.workers (2 -> 4)"; cut where it gets too long. */
	char changes[DIFFERENCE_CHANGES_MAX];
};

void config_compare(
	const struct config *old, const struct config *new, struct config_difference *ret);

/* Whether there is any difference. */
bool difference_is_any(const struct config_difference *difference);

/* "listeners +1 -0 ~2, backends +0 -1 ~0, 2 options": only what differs. Returns `text`. */
const char *difference_text(const struct config_difference *difference, char *text, size_t size);
