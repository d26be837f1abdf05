#include "model/access.h"

void access_init(struct access_ring *ring)
{
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
	atomic_init(&ring->dropped, 0);
}

bool access_push(struct access_ring *ring, const struct access_record *record)
{
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	if (tail - head == ACCESS_RING_SIZE) {
		counter_add(&ring->dropped, 1);
		return false;
	}
	ring->entries[tail % ACCESS_RING_SIZE] = *record;
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

bool access_pop(struct access_ring *ring, struct access_record *ret_record)
{
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	if (head == tail) {
		return false;
	}
	*ret_record = ring->entries[head % ACCESS_RING_SIZE];
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}
