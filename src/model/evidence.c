#include "model/evidence.h"

bool evidence_push(struct evidence_ring *ring, const struct evidence *evidence)
{
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	if (tail - head == EVIDENCE_RING_SIZE) {
		atomic_store_explicit(&ring->overflowed, 1, memory_order_release);
		return false;
	}
	ring->entries[tail % EVIDENCE_RING_SIZE] = *evidence;
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

bool evidence_pop(struct evidence_ring *ring, struct evidence *ret_evidence)
{
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	if (head == tail) {
		return false;
	}
	*ret_evidence = ring->entries[head % EVIDENCE_RING_SIZE];
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}

bool evidence_overflowed(struct evidence_ring *ring)
{
	return atomic_exchange_explicit(&ring->overflowed, 0, memory_order_acq_rel) != 0;
}

bool command_push(struct command_ring *ring, const struct command *command)
{
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_acquire);

	if (tail - head == COMMAND_RING_SIZE) {
		return false;
	}
	ring->entries[tail % COMMAND_RING_SIZE] = *command;
	atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
	return true;
}

bool command_pop(struct command_ring *ring, struct command *ret_command)
{
	const uint32_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	const uint32_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	if (head == tail) {
		return false;
	}
	*ret_command = ring->entries[head % COMMAND_RING_SIZE];
	atomic_store_explicit(&ring->head, head + 1, memory_order_release);
	return true;
}
