/*
 * The text of a configuration: read from a file without being held up by it, and checked for what
 * the TOML parser must never see.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

struct diag;

enum {
	SOURCE_BYTES_MAX = 4 * 1024 * 1024,
	SOURCE_LINE_MAX = 16 * 1024,
	SOURCE_KEY_PARTS_MAX = 64, /* of one dotted key; no option needs more than four */
};

/*
 * Reads the whole file. Only a regular one: a FIFO or a device could block or never end. Returns
 * its bytes, to be freed by the caller, or NULL with the reason in `diag`.
 */
char *source_read(const char *path, size_t *ret_length, struct diag *diag);

/* Whether the text is short enough for a file; else that goes to `diag`. */
bool source_check_size(struct span text, struct diag *diag);

/*
 * Whether the text is UTF-8, free of NUL bytes and shallow enough for the parser,
 * which recurses over the parts of a dotted key; the first mistake goes to `diag`.
 */
bool source_check(struct span text, struct diag *diag);
