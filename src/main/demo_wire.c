#include "main/demo_wire.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(struct demo_header) == DEMO_HEADER_SIZE, "the header has no holes");

void demo_header_write(const struct demo_header *header, char to[static DEMO_HEADER_SIZE])
{
	memcpy(to, header, DEMO_HEADER_SIZE);
}

bool demo_header_read(const char from[static DEMO_HEADER_SIZE], struct demo_header *ret_header)
{
	struct demo_header header;

	memcpy(&header, from, DEMO_HEADER_SIZE);
	if (header.magic != DEMO_WIRE_MAGIC || header.length > DEMO_BODY_MAX) {
		return false;
	}
	*ret_header = header;
	return true;
}

uint64_t demo_answer_seed(uint64_t request_seed)
{
	return ~request_seed;
}

/* The finalizer of splitmix64: eight bytes of the body, found without those before them. */
static uint64_t word_at(uint64_t seed, uint64_t index)
{
	uint64_t word = seed + (index + 1) * 0x9e3779b97f4a7c15;

	word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
	word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
	return word ^ (word >> 31);
}

void demo_body_fill(uint64_t seed, size_t offset, char *to, size_t length)
{
	while (length > 0) {
		const uint64_t word = word_at(seed, offset / sizeof word);
		const size_t skip = offset % sizeof word;
		const size_t left = sizeof word - skip;
		const size_t count = length < left ? length : left;

		memcpy(to, (const char *)&word + skip, count);
		to += count;
		offset += count;
		length -= count;
	}
}

bool demo_body_check(uint64_t seed, size_t offset, const char *from, size_t length)
{
	while (length > 0) {
		const uint64_t word = word_at(seed, offset / sizeof word);
		const size_t skip = offset % sizeof word;
		const size_t left = sizeof word - skip;
		const size_t count = length < left ? length : left;

		if (memcmp(from, (const char *)&word + skip, count) != 0) {
			return false;
		}
		from += count;
		offset += count;
		length -= count;
	}
	return true;
}
