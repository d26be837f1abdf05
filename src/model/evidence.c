#include "model/evidence.h"

static struct ring_entries evidence_entries(struct evidence_ring *ring)
{
	return (struct ring_entries){
		.first = ring->entries,
		.count = EVIDENCE_RING_SIZE,
		.bytes = sizeof ring->entries[0],
	};
}

static struct ring_entries command_entries(struct command_ring *ring)
{
	return (struct ring_entries){
		.first = ring->entries,
		.count = COMMAND_RING_SIZE,
		.bytes = sizeof ring->entries[0],
	};
}

bool evidence_push(struct evidence_ring *ring, const struct evidence *evidence)
{
	return ring_push(&ring->ring, evidence_entries(ring), evidence);
}

bool evidence_pop(struct evidence_ring *ring, struct evidence *ret_evidence)
{
	return ring_pop(&ring->ring, evidence_entries(ring), ret_evidence);
}

bool evidence_overflowed(struct evidence_ring *ring)
{
	return ring_lost(&ring->ring) > 0;
}

bool command_push(struct command_ring *ring, const struct command *command)
{
	return ring_push(&ring->ring, command_entries(ring), command);
}

bool command_pop(struct command_ring *ring, struct command *ret_command)
{
	return ring_pop(&ring->ring, command_entries(ring), ret_command);
}
