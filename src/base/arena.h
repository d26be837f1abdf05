/*
 * A bump allocator: many small pieces that live and die together, such as one configuration or
 * one snapshot. Pieces are never freed singly.
 *
 * Threads: an arena belongs to one thread at a time.
 */
#pragma once

#include <stddef.h>

struct arena;

/* NULL when there is no memory. */
struct arena *arena_create(void);

/* Frees every piece. NULL is allowed. */
void arena_free(struct arena *arena);

/*
 * `size` zeroed bytes, aligned to 16, owned by the arena; NULL when there is no memory. A size of
 * 0 gives a pointer that must not be read.
 */
void *arena_alloc(struct arena *arena, size_t size);

/* The same for `count` elements of `size` bytes; NULL also when the product overflows. */
void *arena_alloc_array(struct arena *arena, size_t count, size_t size);

/* A NUL-terminated copy of `text`, or of the `length` bytes at `text`. */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);

/* Bytes taken from the system, for those who want to know what a snapshot costs. */
size_t arena_size(const struct arena *arena);
