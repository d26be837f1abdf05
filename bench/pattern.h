/*
 * The bytes that every stream of the benchmark carries.
 *
 * A byte is a function of its stream, direction and position, so both ends check all of what they
 * receive without keeping what was sent: a proxy that loses, repeats, swaps or changes a byte is
 * caught at that byte. The period is a prime: no loss of a whole number of pages or buffers can
 * line up with it.
 *
 * Threads: constant after pattern_init(), which the only thread calls once.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
	PATTERN_PERIOD = 65521,
	PATTERN_SPAN = 256 * 1024, /* at least so many bytes can be read at pattern_at() */
};

enum pattern_direction { PATTERN_UP, PATTERN_DOWN }; /* from the client, to the client */

void pattern_init(void);

/* PATTERN_SPAN bytes of the stream from this position on; lasts for ever. */
const uint8_t *pattern_at(uint32_t stream, enum pattern_direction direction, uint64_t position);

/* How many of the bytes are right before the first wrong one: `length` when all are. */
size_t pattern_match(uint32_t stream, enum pattern_direction direction, uint64_t position,
	const uint8_t *bytes, size_t length);
