#include "bench/pattern.h"

#include <string.h>

/* Neighbouring streams start far apart, and the two directions of one stream too. */
enum { STREAM_STEP = 40503, DOWN_STEP = 32749 };

static uint8_t table[PATTERN_PERIOD + PATTERN_SPAN];

void pattern_init(void)
{
	uint64_t x = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < PATTERN_PERIOD; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		table[i] = (uint8_t)(x >> 32);
	}
	for (size_t i = PATTERN_PERIOD; i < sizeof table; i++) {
		table[i] = table[i - PATTERN_PERIOD];
	}
}

const uint8_t *pattern_at(uint32_t stream, enum pattern_direction direction, uint64_t position)
{
	const uint64_t start =
		(uint64_t)stream * STREAM_STEP + (direction == PATTERN_DOWN ? DOWN_STEP : 0);

	return table + (start % PATTERN_PERIOD + position) % PATTERN_PERIOD;
}

static size_t first_difference(const uint8_t *a, const uint8_t *b, size_t length)
{
	size_t i = 0;

	while (i < length && a[i] == b[i]) {
		i++;
	}
	return i;
}

size_t pattern_match(uint32_t stream, enum pattern_direction direction, uint64_t position,
	const uint8_t *bytes, size_t length)
{
	size_t done = 0;

	while (done < length) {
		const uint8_t *expected = pattern_at(stream, direction, position + done);
		size_t part = length - done;
		if (part > PATTERN_SPAN) {
			part = PATTERN_SPAN;
		}
		if (memcmp(expected, bytes + done, part) != 0) {
			return done + first_difference(expected, bytes + done, part);
		}
		done += part;
	}
	return done;
}
