#include "model/config_text.h"

#include <errno.h>
#include <string.h>

/* FNV-1a (Fowler, Noll, Vo; public domain algorithm): against damage, not against an enemy. */
static uint64_t check_of(const char *bytes, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325U ^ length;

	for (size_t i = 0; i < length; i++) {
		hash = (hash ^ (unsigned char)bytes[i]) * 0x100000001b3U;
	}
	return hash;
}

int config_text_store(struct config_text *text, const char *bytes, size_t length)
{
	const uint32_t current = atomic_load_explicit(&text->current, memory_order_relaxed);
	const uint32_t next = current == 1 ? 1 : 0;
	struct config_text_copy *copy = &text->copies[next];

	if (length > CONFIG_TEXT_MAX) {
		return -E2BIG;
	}
	memcpy(copy->bytes, bytes, length);
	copy->length = length;
	copy->check = check_of(bytes, length);
	atomic_store_explicit(&text->current, next + 1, memory_order_release);
	return 0;
}

const char *config_text_load(const struct config_text *text, size_t *ret_length)
{
	const uint32_t current = atomic_load_explicit(&text->current, memory_order_acquire);
	const struct config_text_copy *copy;

	if (current < 1 || current > 2) {
		return NULL;
	}
	copy = &text->copies[current - 1];
	if (copy->length > CONFIG_TEXT_MAX || check_of(copy->bytes, copy->length) != copy->check) {
		return NULL;
	}
	*ret_length = copy->length;
	return copy->bytes;
}
