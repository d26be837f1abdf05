/*
 * Which keys a table may have: finds them, reports those that it does not know or that it lacks.
 *
 * Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>

#include "config/bind.h"

/* The row of this key, or NULL. */
const struct field *keys_find(const struct field *fields, struct span key);

/* Whether the key is a table that the caller of bind_table() looks at itself. */
bool keys_is_table(const struct binding *binding, struct span key);

/*
 * Reports a key that the table does not know, with the nearest that it does, or the table where
 * there is such a key.
 */
void keys_report_unknown(
	const struct binding *binding, const struct toml_entry *entry, struct diag *diag);
