#include "heap.h"

#include <stdlib.h>

bool heap_init(struct heap *heap, uint32_t capacity)
{
	*heap = (struct heap){.capacity = capacity};
	heap->order = calloc(capacity, sizeof heap->order[0]);
	heap->place = calloc(capacity, sizeof heap->place[0]);
	heap->when = calloc(capacity, sizeof heap->when[0]);
	if (heap->order == NULL || heap->place == NULL || heap->when == NULL) {
		heap_free(heap);
		return false;
	}
	for (uint32_t i = 0; i < capacity; i++) {
		heap->place[i] = UINT32_MAX;
	}
	return true;
}

void heap_free(struct heap *heap)
{
	free(heap->order);
	free(heap->place);
	free(heap->when);
	*heap = (struct heap){0};
}

static void put(struct heap *heap, uint32_t place, uint32_t index)
{
	heap->order[place] = index;
	heap->place[index] = place;
}

static void rise(struct heap *heap, uint32_t place)
{
	const uint32_t index = heap->order[place];

	while (place > 0) {
		const uint32_t above = (place - 1) / 2;

		if (heap->when[heap->order[above]] <= heap->when[index]) {
			break;
		}
		put(heap, place, heap->order[above]);
		place = above;
	}
	put(heap, place, index);
}

static void sink(struct heap *heap, uint32_t place)
{
	const uint32_t index = heap->order[place];

	for (;;) {
		uint32_t below = 2 * place + 1;

		if (below >= heap->count) {
			break;
		}
		if (below + 1 < heap->count &&
			heap->when[heap->order[below + 1]] < heap->when[heap->order[below]]) {
			below++;
		}
		if (heap->when[index] <= heap->when[heap->order[below]]) {
			break;
		}
		put(heap, place, heap->order[below]);
		place = below;
	}
	put(heap, place, index);
}

static void remove_at(struct heap *heap, uint32_t place)
{
	const uint32_t last = heap->order[--heap->count];

	heap->place[heap->order[place]] = UINT32_MAX;
	if (place < heap->count) {
		put(heap, place, last);
		rise(heap, place);
		sink(heap, heap->place[last]);
	}
}

void heap_set(struct heap *heap, uint32_t index, uint64_t when)
{
	if (heap->place[index] == UINT32_MAX) {
		if (when == UINT64_MAX) {
			return;
		}
		heap->when[index] = when;
		put(heap, heap->count++, index);
		rise(heap, heap->count - 1);
	} else if (when == UINT64_MAX) {
		remove_at(heap, heap->place[index]);
	} else {
		heap->when[index] = when;
		rise(heap, heap->place[index]);
		sink(heap, heap->place[index]);
	}
}

uint64_t heap_earliest(const struct heap *heap)
{
	return heap->count == 0 ? UINT64_MAX : heap->when[heap->order[0]];
}

uint32_t heap_take(struct heap *heap)
{
	const uint32_t index = heap->order[0];

	remove_at(heap, 0);
	return index;
}
