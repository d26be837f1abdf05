/* Names in shared memory; the functions are declared in model/shm.h. */
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "model/shm.h"

/* A table of entries that begin with their identity. */
struct table {
	uint8_t *entries;
	size_t bytes; /* of each */
	uint32_t limit;
	/* Makes entry `index` as good as new, counters included. */
	void (*clear)(struct shm *shm, uint32_t index);
};

static struct identity *identity_at(const struct table *table, uint32_t index)
{
	return (struct identity *)(void *)(table->entries + index * table->bytes);
}

static bool is_used(const struct identity *identity)
{
	return atomic_load_explicit(&identity->used, memory_order_acquire) != 0;
}

static bool is_named(const struct identity *identity, uint32_t parent, const char *name)
{
	return identity->parent == parent && strcmp(identity->name, name) == 0;
}

/* Stored last: who sees `used` sees the name. */
static void name_identity(struct identity *identity, uint32_t parent, const char *name)
{
	const uint32_t used = atomic_load_explicit(&identity->used, memory_order_relaxed);
	const size_t length = strlen(name);

	assert(length < IDENTITY_NAME_MAX);
	memcpy(identity->name, name, length + 1);
	identity->parent = parent;
	atomic_store_explicit(&identity->gone, 0, memory_order_relaxed);
	atomic_store_explicit(
		&identity->used, used == UINT32_MAX ? 1 : used + 1, memory_order_release);
}

/* One that nobody has used, or that nobody uses any more. */
static int find_free(struct shm *shm, const struct table *table)
{
	for (uint32_t i = 0; i < table->limit; i++) {
		if (!is_used(identity_at(table, i))) {
			return (int)i;
		}
	}
	for (uint32_t i = 0; i < table->limit; i++) {
		const struct identity *identity = identity_at(table, i);

		if (atomic_load_explicit(&identity->gone, memory_order_relaxed) >= GONE_FOR_GOOD) {
			table->clear(shm, i);
			return (int)i;
		}
	}
	return -1;
}

static int find_or_add(
	struct shm *shm, const struct table *table, uint32_t parent, const char *name)
{
	int index;

	for (uint32_t i = 0; i < table->limit && is_used(identity_at(table, i)); i++) {
		if (is_named(identity_at(table, i), parent, name)) {
			return (int)i;
		}
	}
	index = find_free(shm, table);
	if (index >= 0) {
		name_identity(identity_at(table, (uint32_t)index), parent, name);
	}
	return index;
}

/* The counters are words that others read at any time, and nothing else. */
static void clear_words(void *words, size_t bytes)
{
	counter_t *counters = words;

	for (size_t i = 0; i < bytes / sizeof *counters; i++) {
		counter_set(&counters[i], 0);
	}
}

static void clear_listener(struct shm *shm, uint32_t index)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		struct listener_counters *counters = shm_listener_counters(shm, worker, index);

		clear_words(counters, sizeof *counters);
	}
}

static void clear_pool(struct shm *shm, uint32_t index)
{
	struct pool_entry *entry = &shm->pools[index];

	atomic_store_explicit(&entry->failed, 0, memory_order_relaxed);
	atomic_store_explicit(&entry->turn, 0, memory_order_relaxed);
	/* None of its backends has a session, or it would not be gone: nobody finds them again. */
	for (uint32_t i = 0; i < SLOTS_MAX && is_used(&shm->slots[i].identity); i++) {
		if (shm->slots[i].identity.parent == index) {
			shm->slots[i].identity.name[0] = '\0';
		}
	}
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		struct pool_counters *counters = shm_pool_counters(shm, worker, index);

		clear_words(counters, sizeof *counters);
	}
}

/* Its health is unset, so whoever takes it fills in the rest. */
static void clear_slot(struct shm *shm, uint32_t index)
{
	struct slot *slot = &shm->slots[index];

	assert(atomic_load_explicit(&slot->health, memory_order_relaxed) == HEALTH_UNSET);
	clear_words(slot->transitions, sizeof slot->transitions);
	clear_words(slot->checks, sizeof slot->checks);
	counter_set(&slot->drain_end_ns, 0);
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		struct slot_counters *counters = shm_slot_counters(shm, worker, index);

		clear_words(counters, sizeof *counters);
	}
}

int shm_listener_index(struct shm *shm, const char *name)
{
	const struct table table = {
		(uint8_t *)shm->listeners, sizeof *shm->listeners, LISTENERS_MAX, clear_listener};

	return find_or_add(shm, &table, 0, name);
}

int shm_pool_index(struct shm *shm, const char *name)
{
	const struct table table = {
		(uint8_t *)shm->pools, sizeof *shm->pools, POOLS_MAX, clear_pool};

	return find_or_add(shm, &table, 0, name);
}

int shm_slot_index(struct shm *shm, uint32_t pool, const char *name)
{
	const struct table table = {
		(uint8_t *)shm->slots, sizeof *shm->slots, SLOTS_MAX, clear_slot};

	return find_or_add(shm, &table, pool, name);
}

void shm_note_gone(struct identity *identity, bool named, uint64_t sessions)
{
	const uint32_t gone = atomic_load_explicit(&identity->gone, memory_order_relaxed);
	uint32_t next = gone < GONE_FOR_GOOD ? gone + 1 : gone;

	if (named || sessions > 0) {
		next = named ? 0 : 1;
	}
	if (next != gone) {
		atomic_store_explicit(&identity->gone, next, memory_order_release);
	}
}
