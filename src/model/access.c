#include "model/access.h"

static struct ring_entries entries_of(struct access_ring *ring)
{
	return (struct ring_entries){
		.first = ring->entries,
		.count = ACCESS_RING_SIZE,
		.bytes = sizeof ring->entries[0],
	};
}

void access_init(struct access_ring *ring)
{
	ring->ring = (struct ring){.tail = 0};
}

bool access_push(struct access_ring *ring, const struct access_record *record)
{
	return ring_push(&ring->ring, entries_of(ring), record);
}

bool access_pop(struct access_ring *ring, struct access_record *ret_record)
{
	return ring_pop(&ring->ring, entries_of(ring), ret_record);
}

uint64_t access_dropped(const struct access_ring *ring)
{
	return ring_dropped(&ring->ring);
}
