#include "model/session_record.h"

/* One round of the finalizer of MurmurHash3 (Appleby, public domain algorithm). */
static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash ^= value;
	hash ^= hash >> 33;
	hash *= 0xff51afd7ed558ccdU;
	hash ^= hash >> 33;
	hash *= 0xc4ceb9fe1a85ec53U;
	hash ^= hash >> 33;
	return hash;
}

static uint64_t pair(uint32_t high, uint32_t low)
{
	return (uint64_t)high << 32 | low;
}

uint64_t session_record_check(const struct session_record *record, uint32_t index)
{
	uint64_t hash = mix(0x6c6f626c65U, pair(index, record->generation));

	hash = mix(hash, pair((uint32_t)record->fd[0], (uint32_t)record->fd[1]));
	hash = mix(hash, record->cookie[0]);
	hash = mix(hash, record->cookie[1]);
	hash = mix(hash, pair(record->listener, record->pool));
	hash = mix(hash, record->slot);
	return mix(hash, record->started_ns);
}

uint64_t journal_key(uint32_t index, enum side from)
{
	return (uint64_t)index << 2 | (uint64_t)from << 1 | 1;
}

uint64_t journal_check(uint64_t key, uint64_t position)
{
	return mix(mix(0x6a6f75726e616cU, key), position);
}
