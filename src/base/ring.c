#include "base/ring.h"

#include <string.h>

static void *place_of(struct ring_entries entries, uint32_t number)
{
	return (uint8_t *)entries.first + (size_t)(number % entries.count) * entries.bytes;
}

bool ring_push(struct ring *ring, struct ring_entries entries, const void *entry)
{
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	if (tail - head >= entries.count) {
		atomic_store_explicit(&ring->dropped, ring_dropped(ring) + 1, memory_order_release);
		return false;
	}
	memcpy(place_of(entries, tail), entry, entries.bytes);
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

bool ring_pop(struct ring *ring, struct ring_entries entries, void *ret_entry)
{
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	if (head == tail) {
		return false;
	}
	memcpy(ret_entry, place_of(entries, head), entries.bytes);
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}

uint64_t ring_lost(struct ring *ring)
{
	const uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_acquire);
	const uint64_t lost = dropped - ring->noticed;

	ring->noticed = dropped;
	return lost;
}

uint64_t ring_dropped(const struct ring *ring)
{
	return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
