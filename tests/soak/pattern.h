/*
 * What the sessions of the torture carry: bytes that say whose they are and where they belong.
 *
 * A stream is a function of its key (session and direction) and the position. It consists of lines
 * of 32 bytes, each with the key, its number and a sum of both, so that a byte in the wrong place
 * can be told: damaged, of another place of the same stream (lost or repeated bytes), or of
 * another session altogether. Pure functions.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { PATTERN_LINE_BYTES = 32, PATTERN_EVIDENCE_BYTES = 3 * PATTERN_LINE_BYTES };

enum direction { DIRECTION_UP = 0, DIRECTION_DOWN = 1 }; /* from the client; from the backend */

enum fault { FAULT_DAMAGED, FAULT_DISPLACED, FAULT_STRANGER };

struct finding {
	enum fault fault;
	uint32_t key;      /* of the line that was found; FAULT_DAMAGED: none was */
	uint64_t position; /* that it belongs to */
};

static inline uint32_t pattern_key(uint32_t session, enum direction direction)
{
	return session << 1 | (uint32_t)direction;
}

uint64_t pattern_mix(uint64_t value);

/* The bytes of the stream from `position` on. */
void pattern_fill(uint32_t key, uint64_t position, uint8_t *bytes, size_t length);

/* How many bytes from the first on are right. */
size_t pattern_match(uint32_t key, uint64_t position, const uint8_t *bytes, size_t length);

/* What the bytes are that came where `position` was to come. */
struct finding pattern_diagnose(
	uint32_t key, uint64_t position, const uint8_t *bytes, size_t length);
