/*
 * Deadlines of many things by index: a binary heap. The heap knows where each one is, so that its
 * deadline can be moved. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct heap {
	uint32_t capacity;
	uint32_t count;
	uint32_t *order; /* owned: indexes, the earliest first */
	uint32_t *place; /* owned: of each index in `order`, or UINT32_MAX */
	uint64_t *when;  /* owned: of each index, ns */
};

/* False when there is no memory. */
bool heap_init(struct heap *heap, uint32_t capacity);
void heap_free(struct heap *heap);

/* Sets or moves the deadline of `index`; UINT64_MAX is none. */
void heap_set(struct heap *heap, uint32_t index, uint64_t when);

/* The earliest deadline; UINT64_MAX when there is none. */
uint64_t heap_earliest(const struct heap *heap);

/* Takes the earliest out; there must be one. */
uint32_t heap_take(struct heap *heap);
