#include "pattern.h"

#include <string.h>

static const uint32_t MAGIC = 0x706c6f62;

enum { BLOCK_LINES = 128 };

struct line {
	uint32_t key;
	uint32_t magic;
	uint64_t number;
	uint64_t sum;
	uint64_t more;
};

/* The finalizer of splitmix64. */
uint64_t pattern_mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15;
	value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
	value = (value ^ value >> 27) * 0x94d049bb133111eb;
	return value ^ value >> 31;
}

static uint64_t sum_of(uint32_t key, uint64_t number)
{
	return ((uint64_t)key << 32 ^ number) * 0x9e3779b97f4a7c15 + key;
}

static struct line line_of(uint32_t key, uint64_t number)
{
	const uint64_t sum = sum_of(key, number);

	return (struct line){
		.key = key,
		.magic = MAGIC,
		.number = number,
		.sum = sum,
		.more = ~(sum << 23 | sum >> 41),
	};
}

void pattern_fill(uint32_t key, uint64_t position, uint8_t *bytes, size_t length)
{
	uint64_t number = position / PATTERN_LINE_BYTES;
	size_t skip = position % PATTERN_LINE_BYTES;

	while (length > 0) {
		const struct line line = line_of(key, number++);
		const size_t left = PATTERN_LINE_BYTES - skip;
		const size_t part = left < length ? left : length;

		memcpy(bytes, (const uint8_t *)&line + skip, part);
		bytes += part;
		length -= part;
		skip = 0;
	}
}

size_t pattern_match(uint32_t key, uint64_t position, const uint8_t *bytes, size_t length)
{
	uint8_t expected[BLOCK_LINES * PATTERN_LINE_BYTES];
	size_t done = 0;

	while (done < length) {
		const size_t left = length - done;
		const size_t part = left < sizeof expected ? left : sizeof expected;
		size_t i = 0;

		pattern_fill(key, position + done, expected, part);
		if (memcmp(expected, bytes + done, part) == 0) {
			done += part;
			continue;
		}
		while (expected[i] == bytes[done + i]) {
			i++;
		}
		return done + i;
	}
	return done;
}

struct finding pattern_diagnose(
	uint32_t key, uint64_t position, const uint8_t *bytes, size_t length)
{
	struct line line;

	for (size_t at = 0; at + sizeof line <= length; at++) {
		memcpy(&line, bytes + at, sizeof line);
		if (line.magic != MAGIC || line.sum != sum_of(line.key, line.number)) {
			continue;
		}
		if (line.key != key) {
			return (struct finding){
				FAULT_STRANGER, line.key, line.number * PATTERN_LINE_BYTES - at};
		}
		if (line.number * PATTERN_LINE_BYTES != position + at) {
			return (struct finding){
				FAULT_DISPLACED, line.key, line.number * PATTERN_LINE_BYTES - at};
		}
	}
	return (struct finding){.fault = FAULT_DAMAGED};
}
