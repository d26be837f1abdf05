#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * The first block is small, since most configurations are; each further one is twice as large,
 * up to BLOCK_MAX, so that the number of blocks stays small as well.
 */
enum {
	ALIGNMENT = 16,
	BLOCK_MIN = 4096,
	BLOCK_MAX = 1024 * 1024,
};

struct block {
	struct block *next; /* owned: the block before this one */
	size_t size;        /* bytes at `data` */
	alignas(ALIGNMENT) unsigned char data[];
};

struct arena {
	struct block *blocks; /* owned; the newest first, and only that one has room */
	size_t used;          /* bytes of the newest block */
	size_t next_size;     /* of the next block */
	size_t total;         /* taken from the system, headers included */
};

struct arena *arena_create(void)
{
	struct arena *arena = calloc(1, sizeof *arena);

	if (arena != NULL) {
		arena->next_size = BLOCK_MIN;
		arena->total = sizeof *arena;
	}
	return arena;
}

void arena_free(struct arena *arena)
{
	if (arena == NULL) {
		return;
	}
	while (arena->blocks != NULL) {
		struct block *next = arena->blocks->next;

		free(arena->blocks);
		arena->blocks = next;
	}
	free(arena);
}

static struct block *add_block(struct arena *arena, size_t size)
{
	struct block *block;

	if (size < arena->next_size) {
		size = arena->next_size;
	}
	block = calloc(1, sizeof *block + size);
	if (block == NULL) {
		return NULL;
	}
	block->size = size;
	block->next = arena->blocks;
	arena->blocks = block;
	arena->used = 0;
	arena->total += sizeof *block + size;
	if (arena->next_size < BLOCK_MAX) {
		arena->next_size *= 2;
	}
	return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct block *block = arena->blocks;
	void *piece;

	if (size > SIZE_MAX / 2) {
		return NULL;
	}
	size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
	if (block == NULL || size > block->size - arena->used) {
		block = add_block(arena, size);
		if (block == NULL) {
			return NULL;
		}
	}
	piece = block->data + arena->used;
	arena->used += size;
	return piece;
}

void *arena_alloc_array(struct arena *arena, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		return NULL;
	}
	return arena_alloc(arena, bytes);
}

char *arena_strndup(struct arena *arena, const char *text, size_t length)
{
	char *copy;

	if (length == SIZE_MAX) {
		return NULL;
	}
	copy = arena_alloc(arena, length + 1);
	if (copy != NULL && length > 0) {
		memcpy(copy, text, length);
	}
	return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
	return arena_strndup(arena, text, strlen(text));
}

size_t arena_size(const struct arena *arena)
{
	return arena->total;
}
