#include "model/shm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"

enum { SHM_MAGIC = 0x4c4f424c, PART_ALIGNMENT = 4096 };

/* One part of the mapping: where its pointer is kept in struct shm, and how large it is. */
struct part {
	size_t member; /* offset of the pointer in struct shm */
	size_t bytes;
};

enum { PART_COUNT = 19 };

static void list_parts(const struct shm *shm, struct part parts[static PART_COUNT])
{
	const size_t workers = shm->workers;
	const size_t records = workers * shm->sessions_per_worker;
	const struct part all[PART_COUNT] = {
		{offsetof(struct shm, header), sizeof *shm->header},
		{offsetof(struct shm, config_text), sizeof *shm->config_text},
		{offsetof(struct shm, listeners), sizeof *shm->listeners * LISTENERS_MAX},
		{offsetof(struct shm, pools), sizeof *shm->pools * POOLS_MAX},
		{offsetof(struct shm, slots), sizeof *shm->slots * SLOTS_MAX},
		{offsetof(struct shm, events), sizeof *shm->events},
		{offsetof(struct shm, worker_states), sizeof *shm->worker_states * workers},
		{offsetof(struct shm, evidence), sizeof *shm->evidence * workers},
		{offsetof(struct shm, commands), sizeof *shm->commands * workers},
		{offsetof(struct shm, listener_counters),
			sizeof *shm->listener_counters * LISTENERS_MAX * workers},
		{offsetof(struct shm, pool_counters),
			sizeof *shm->pool_counters * POOLS_MAX * workers},
		{offsetof(struct shm, slot_counters),
			sizeof *shm->slot_counters * SLOTS_MAX * workers},
		{offsetof(struct shm, listen_records),
			sizeof *shm->listen_records * LISTEN_SOCKETS_MAX * workers},
		{offsetof(struct shm, records), sizeof *shm->records * records},
		{offsetof(struct shm, journals), sizeof *shm->journals * workers},
		{offsetof(struct shm, pipes), sizeof *shm->pipes * PIPES_PER_WORKER * workers},
		{offsetof(struct shm, chunks), sizeof *shm->chunks * CHUNKS_PER_WORKER * workers},
		{offsetof(struct shm, receive_buffers), (size_t)RECEIVE_BUFFER_BYTES * workers},
		{offsetof(struct shm, chunk_bytes),
			(size_t)CHUNK_BYTES * CHUNKS_PER_WORKER * workers},
	};

	memcpy(parts, all, sizeof all);
}

static size_t round_up(size_t bytes)
{
	return (bytes + PART_ALIGNMENT - 1) / PART_ALIGNMENT * PART_ALIGNMENT;
}

static size_t total_bytes(const struct part parts[static PART_COUNT])
{
	size_t bytes = 0;

	for (size_t i = 0; i < PART_COUNT; i++) {
		bytes += round_up(parts[i].bytes);
	}
	return bytes;
}

static void place_parts(struct shm *shm, uint8_t *base, const struct part parts[static PART_COUNT])
{
	for (size_t i = 0; i < PART_COUNT; i++) {
		memcpy((uint8_t *)shm + parts[i].member, &base, sizeof base);
		base += round_up(parts[i].bytes);
	}
}

int shm_create(uint32_t workers, uint32_t sessions, struct shm *ret_shm, struct error *err)
{
	struct shm shm = {.workers = workers, .sessions_per_worker = sessions};
	struct part parts[PART_COUNT];
	void *base;
	int r;

	assert(workers >= 1 && workers <= WORKERS_MAX);
	assert(sessions >= 1 && sessions <= SESSIONS_MAX);

	list_parts(&shm, parts);
	shm.bytes = total_bytes(parts);
	shm.fd = memfd_create("loble", MFD_ALLOW_SEALING);
	if (shm.fd < 0) {
		return error_set(err, errno, "cannot make shared memory");
	}
	if (ftruncate(shm.fd, (off_t)shm.bytes) < 0) {
		r = error_set(err, errno, "cannot size %zu bytes of shared memory", shm.bytes);
		goto fail_close;
	}
	if (fcntl(shm.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = error_set(err, errno, "cannot seal the shared memory");
		goto fail_close;
	}
	base = mmap(NULL, shm.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, shm.fd, 0);
	if (base == MAP_FAILED) {
		r = error_set(err, errno, "cannot map %zu bytes of shared memory", shm.bytes);
		goto fail_close;
	}
	(void)madvise(base, shm.bytes, MADV_DONTDUMP); /* a core of it would only take time */

	place_parts(&shm, base, parts);
	shm.header->magic = SHM_MAGIC;
	shm.header->version = RECORD_VERSION;
	shm.header->bytes = shm.bytes;
	shm.header->workers = workers;
	shm.header->sessions_per_worker = sessions;
	*ret_shm = shm;
	return 0;

fail_close:
	(void)close(shm.fd);
	return r;
}

void shm_destroy(struct shm *shm)
{
	(void)munmap(shm->header, shm->bytes);
	(void)close(shm->fd);
	*shm = (struct shm){.fd = -1};
}

uint64_t shm_slot_sessions(const struct shm *shm, uint32_t slot)
{
	uint64_t sessions = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		const struct slot_counters *counters = shm_slot_counters(shm, worker, slot);

		/* In this order, so that a session that ends meanwhile is not counted twice. */
		const uint64_t finished = counter_get(&counters->finished);

		sessions += counter_get(&counters->started) - finished;
	}
	return sessions;
}

uint64_t shm_listener_claims(const struct shm *shm, uint32_t listener)
{
	uint64_t claims = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		const struct listener_counters *counters =
			shm_listener_counters(shm, worker, listener);
		const uint64_t released = counter_get(&counters->released);

		claims += counter_get(&counters->claimed) - released;
	}
	return claims;
}

uint64_t shm_sessions(const struct shm *shm)
{
	uint64_t sessions = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		sessions += counter_get(&shm->worker_states[worker].sessions);
	}
	return sessions;
}

static bool is_free_number(const struct shm *shm, uint32_t number)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		if (listen_record_state(shm_listen_record(shm, worker, number)) != LISTEN_FREE) {
			return false;
		}
	}
	return true;
}

int shm_listen_number(struct shm *shm)
{
	for (uint32_t number = 0; number < LISTEN_SOCKETS_MAX; number++) {
		if (is_free_number(shm, number)) {
			if (number >= shm_listen_limit(shm)) {
				atomic_store_explicit(&shm->header->listen_limit, number + 1,
					memory_order_release);
			}
			return (int)number;
		}
	}
	return -1;
}

const char *continued_from_name(enum continued_from from)
{
	static const char *const names[CONTINUED_COUNT] = {
		[CONTINUED_WHOLE] = "whole",
		[CONTINUED_BUFFER] = "buffer",
		[CONTINUED_CHUNK] = "chunk",
		[CONTINUED_PIPE] = "pipe",
		[CONTINUED_CONNECTING] = "connecting",
		[CONTINUED_ACCEPTED] = "accepted",
		[CONTINUED_ENDING] = "ending",
	};

	assert(from < CONTINUED_COUNT);
	return names[from];
}

const char *lost_reason_name(enum lost_reason reason)
{
	static const char *const names[LOST_REASON_COUNT] = {
		[LOST_DAMAGED] = "damaged",
		[LOST_UNPROVABLE] = "unprovable",
		[LOST_REPEATED] = "repeated",
	};

	assert(reason < LOST_REASON_COUNT);
	return names[reason];
}

static bool is_named(const struct identity *identity, uint32_t parent, const char *name)
{
	return atomic_load_explicit(&identity->used, memory_order_acquire) != 0 &&
		identity->parent == parent && strcmp(identity->name, name) == 0;
}

/* Stored last: who sees `used` sees the name. */
static void name_identity(struct identity *identity, uint32_t parent, const char *name)
{
	const size_t length = strlen(name);

	assert(length < IDENTITY_NAME_MAX);
	memcpy(identity->name, name, length + 1);
	identity->parent = parent;
	atomic_store_explicit(&identity->used, 1, memory_order_release);
}

/* Entries are `stride` bytes apart and begin with their identity; none is ever given back. */
static int find_or_add(
	void *entries, size_t stride, uint32_t limit, uint32_t parent, const char *name)
{
	for (uint32_t i = 0; i < limit; i++) {
		struct identity *identity = (struct identity *)((uint8_t *)entries + i * stride);

		if (atomic_load_explicit(&identity->used, memory_order_acquire) == 0) {
			name_identity(identity, parent, name);
			return (int)i;
		}
		if (is_named(identity, parent, name)) {
			return (int)i;
		}
	}
	return -1;
}

int shm_listener_index(struct shm *shm, const char *name)
{
	return find_or_add(shm->listeners, sizeof *shm->listeners, LISTENERS_MAX, 0, name);
}

int shm_pool_index(struct shm *shm, const char *name)
{
	return find_or_add(shm->pools, sizeof *shm->pools, POOLS_MAX, 0, name);
}

int shm_slot_index(struct shm *shm, uint32_t pool, const char *name)
{
	return find_or_add(shm->slots, sizeof *shm->slots, SLOTS_MAX, pool, name);
}
