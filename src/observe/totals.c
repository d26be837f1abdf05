#include "observe/totals.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/shm.h"
#include "observe/written.h"

/* One kind of counters: `count` blocks of each worker, workers `stride` bytes apart. */
struct kind {
	const char *base;
	size_t stride;
	size_t block;
	size_t count;
	char *sums;
};

/* All the counters are words, and nothing else is in a block. */
static_assert(sizeof(struct listener_counters) % sizeof(counter_t) == 0, "counters are words");
static_assert(sizeof(struct pool_counters) % sizeof(counter_t) == 0, "counters are words");
static_assert(sizeof(struct slot_counters) % sizeof(counter_t) == 0, "counters are words");

/* From the last word to the first: ended sessions before started ones, which stand in front. */
static void add_block(char *sums, const char *block, size_t bytes)
{
	counter_t *to = (counter_t *)(void *)sums;
	const counter_t *from = (const counter_t *)(const void *)block;

	for (size_t i = bytes / sizeof(counter_t); i > 0; i--) {
		const uint64_t value = atomic_load_explicit(&from[i - 1], memory_order_acquire);

		if (value != 0) {
			counter_add(&to[i - 1], value);
		}
	}
}

static void add_worker(const struct shm *shm, const struct kind *kind, uint32_t worker)
{
	const char *const blocks = kind->base + worker * kind->stride;
	const off_t offset = blocks - (const char *)shm->header;
	const off_t end = offset + (off_t)(kind->block * kind->count);
	size_t i = 0;

	while (i < kind->count) {
		off_t hole;
		const off_t from = written_next(shm, offset + (off_t)(i * kind->block), end, &hole);
		const size_t past = ((size_t)(hole - offset) + kind->block - 1) / kind->block;

		i = (size_t)(from - offset) / kind->block;
		for (; i < past && from < end; i++) {
			add_block(kind->sums + i * kind->block, blocks + i * kind->block,
				kind->block);
		}
	}
}

static uint32_t count_used(const void *entries, size_t stride, uint32_t limit)
{
	uint32_t count = 0;

	while (count < limit) {
		const struct identity *identity =
			(const struct identity *)(const void *)((const char *)entries +
				count * stride);

		if (atomic_load_explicit(&identity->used, memory_order_acquire) == 0) {
			break;
		}
		count++;
	}
	return count;
}

/* Zeroed; never NULL for a count of 0. */
static void *make_sums(uint32_t count, size_t block)
{
	const size_t bytes = (count + 1U) * block;
	void *sums = aligned_alloc(CACHE_LINE, bytes);

	if (sums != NULL) {
		memset(sums, 0, bytes);
	}
	return sums;
}

static void add_all(const struct shm *shm, const struct totals *totals)
{
	const struct kind kinds[] = {
		{(const char *)shm->listener_counters, sizeof *totals->listeners * LISTENERS_MAX,
			sizeof *totals->listeners, totals->listener_count,
			(char *)totals->listeners},
		{(const char *)shm->pool_counters, sizeof *totals->pools * POOLS_MAX,
			sizeof *totals->pools, totals->pool_count, (char *)totals->pools},
		{(const char *)shm->slot_counters, sizeof *totals->slots * SLOTS_MAX,
			sizeof *totals->slots, totals->slot_count, (char *)totals->slots},
	};

	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
		for (uint32_t worker = 0; worker < shm->workers; worker++) {
			add_worker(shm, &kinds[i], worker);
		}
	}
}

int totals_read(const struct shm *shm, struct totals *ret_totals)
{
	/* Slots first: a slot that is in use has a pool that is. */
	struct totals totals = {
		.slot_count = count_used(shm->slots, sizeof *shm->slots, SLOTS_MAX),
		.listener_count = count_used(shm->listeners, sizeof *shm->listeners, LISTENERS_MAX),
	};

	totals.pool_count = count_used(shm->pools, sizeof *shm->pools, POOLS_MAX);
	totals.listeners = make_sums(totals.listener_count, sizeof *totals.listeners);
	totals.pools = make_sums(totals.pool_count, sizeof *totals.pools);
	totals.slots = make_sums(totals.slot_count, sizeof *totals.slots);
	if (totals.listeners == NULL || totals.pools == NULL || totals.slots == NULL) {
		totals_done(&totals);
		return -ENOMEM;
	}
	add_all(shm, &totals);
	*ret_totals = totals;
	return 0;
}

void totals_done(struct totals *totals)
{
	free(totals->listeners);
	free(totals->pools);
	free(totals->slots);
	*totals = (struct totals){.listeners = NULL};
}

uint64_t totals_listener_active(const struct listener_counters *counters)
{
	return counter_get(&counters->connections) - counter_get(&counters->closed);
}

uint64_t totals_slot_active(const struct slot_counters *counters)
{
	return counter_get(&counters->started) - counter_get(&counters->finished);
}
