#include "model/session_record.h"

#include "base/bare.h"

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

uint64_t session_record_check_client(const struct session_record *record, uint32_t index)
{
	uint64_t hash;

	if (BARE) {
		return 0;
	}
	hash = mix(0x6c6f626c65U, pair(index, record->generation));

	hash = mix(hash, (uint32_t)record->fd[SIDE_CLIENT]);
	hash = mix(hash, pair(record->listener, record->pool));
	return mix(hash, record->started_ns);
}

static uint64_t check_with(const struct session_record *record, uint32_t index,
	uint64_t client_cookie, uint64_t backend_cookie)
{
	uint64_t hash;

	if (BARE) {
		return 0;
	}
	hash = session_record_check_client(record, index);

	hash = mix(hash, pair((uint32_t)record->fd[SIDE_BACKEND], record->slot));
	hash = mix(hash, client_cookie);
	return mix(hash, backend_cookie);
}

uint64_t session_record_check(const struct session_record *record, uint32_t index)
{
	return check_with(record, index, record->cookie[SIDE_CLIENT], record->cookie[SIDE_BACKEND]);
}

uint64_t session_record_check_try(const struct session_record *record, uint32_t index)
{
	return ~check_with(record, index, 0, 0);
}

static bool has_open_check(const struct session_record *record, uint32_t index)
{
	return record->check == session_record_check(record, index) ||
		record->check == check_with(record, index, 0, 0);
}

void session_record_settle(struct session_record *record, uint32_t index)
{
	if (atomic_load_explicit(&record->state, memory_order_relaxed) == RECORD_CONNECTING &&
		has_open_check(record, index)) {
		atomic_store_explicit(&record->state, RECORD_OPEN, memory_order_relaxed);
	}
}

uint16_t session_record_flags(unsigned flags)
{
	/* No two alike, and none with one bit: any one or two bits that flip are noticed. */
	static const uint8_t codes[RECORD_FLAG_COUNT] = {3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15};
	unsigned guard = 0x15; /* nor are all bits 0 right */

	flags &= (1U << RECORD_FLAG_COUNT) - 1;
	if (BARE) {
		return (uint16_t)flags;
	}
	for (unsigned i = 0; i < RECORD_FLAG_COUNT; i++) {
		guard ^= (flags & 1U << i) != 0 ? codes[i] : 0U;
	}
	return (uint16_t)(flags | guard << RECORD_FLAG_COUNT);
}

bool session_record_valid(const struct session_record *record, uint32_t index)
{
	if (record->flags != session_record_flags(record->flags)) {
		return false;
	}
	switch (atomic_load_explicit(&record->state, memory_order_relaxed)) {
	case RECORD_CONNECTING:
		return record->check == session_record_check_client(record, index) ||
			record->check == session_record_check_try(record, index);
	case RECORD_OPEN:
		return has_open_check(record, index);
	case RECORD_CLOSING:
		return session_record_fd(record, SIDE_CLIENT) < 0 ||
			record->check == session_record_check_client(record, index) ||
			record->check == session_record_check_try(record, index) ||
			has_open_check(record, index);
	default:
		return false;
	}
}

bool session_record_has_backend(const struct session_record *record, uint32_t index)
{
	switch (atomic_load_explicit(&record->state, memory_order_relaxed)) {
	case RECORD_CONNECTING:
		return session_record_fd(record, SIDE_BACKEND) >= 0 &&
			record->slot != RECORD_NONE &&
			record->check == session_record_check_try(record, index);
	case RECORD_OPEN:
		return true;
	default:
		return false;
	}
}

uint64_t journal_key(uint32_t index, enum side from)
{
	return (uint64_t)index << 2 | (uint64_t)from << 1 | 1;
}

uint64_t journal_check(uint64_t key, uint64_t position, uint32_t place)
{
	return mix(mix(0x6a6f75726e616cU ^ (uint64_t)place << 56, key), position);
}

uint32_t pipe_record_identity(const struct pipe_record *pipe, uint32_t number, uint64_t inode)
{
	const uint64_t ends = pair((uint32_t)pipe->fd[0], (uint32_t)pipe->fd[1]);

	return (uint32_t)mix(mix(mix(0x70697065U, number), ends), inode);
}

uint32_t pipe_record_check(const struct pipe_record *pipe)
{
	return (uint32_t)mix(0x6f776e6572U, pair(pipe->identity, pipe->owner));
}
