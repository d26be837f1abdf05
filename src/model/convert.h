/*
 * Copies what one shared memory holds into another one of a different layout.
 *
 * Entry by entry and field by field, by id. A number that does not fit refuses the whole; a
 * field that only the old memory has is left behind, one that only the new memory has gets its
 * initial value. Holes of the old memory stay holes.
 *
 * Check words are functions of values, not of the arrangement, so they are carried over as they
 * are: a record that was valid is valid, one that was damaged stays damaged.
 *
 * Owner:   the memories belong to the caller. Threads: any one, while nobody writes to `from`.
 */
#pragma once

#include <stdint.h>

#include "model/layout.h"

struct error;

struct convert_source {
	const struct layout *layout; /* has passed layout_read() */
	const uint8_t *memory;       /* head.bytes of it */
	int fd;                      /* of that memory, to find its holes; -1: take it as dense */
};

/*
 * `memory` is zeroed memory of the layout `to`, or NULL: then nothing is copied, and the answer
 * is whether it could be. Returns 0 or a negative errno (-EPROTO: the two do not go together,
 * -ERANGE: a value does not fit) with the reason in *err; `memory` is of no use then.
 */
int convert_memory(const struct convert_source *from, const struct layout *to, uint8_t *memory,
	struct error *err);
