#include "balance/schedule.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/arena.h"
#include "model/snapshot.h"

static const uint32_t no_share = UINT32_MAX;

/* What one backend is due, and how far the schedule has come with it. */
struct share {
	uint32_t weight;
	uint32_t turns;  /* of one cycle */
	uint32_t placed; /* of them */
	uint32_t next;   /* of those that are released at the same turn; no_share ends the list */
};

struct rank {
	uint64_t key;
	uint32_t index;
};

/*
 * A binary heap of the backends that may take the next turn: the earliest deadline first, and
 * of those the first one of the configuration. Both are in one number: deadline, then index.
 */
struct heap {
	uint64_t *keys; /* room for each backend once */
	uint32_t count;
};

static void heap_push(struct heap *heap, uint64_t key)
{
	uint32_t at = heap->count++;

	while (at > 0 && heap->keys[(at - 1) / 2] > key) {
		heap->keys[at] = heap->keys[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	heap->keys[at] = key;
}

static uint64_t heap_pop(struct heap *heap)
{
	assert(heap->count > 0);

	const uint64_t first = heap->keys[0];
	const uint64_t last = heap->keys[--heap->count];
	uint32_t at = 0;

	for (uint32_t child = 1; child < heap->count; child = 2 * at + 1) {
		if (child + 1 < heap->count && heap->keys[child + 1] < heap->keys[child]) {
			child++;
		}
		if (heap->keys[child] >= last) {
			break;
		}
		heap->keys[at] = heap->keys[child];
		at = child;
	}
	heap->keys[at] = last;
	return first;
}

static uint32_t greatest_common_divisor(uint32_t a, uint32_t b)
{
	while (b != 0) {
		const uint32_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

static int by_key(const void *left, const void *right)
{
	const struct rank *a = left;
	const struct rank *b = right;

	if (a->key != b->key) {
		return a->key < b->key ? -1 : 1;
	}
	return a->index < b->index ? -1 : a->index > b->index;
}

/* Gives the lightest backends one turn each, where their exact share would be less. */
static uint32_t grant_minimum(
	struct share *shares, struct rank *ranks, uint32_t count, uint64_t *sum, uint64_t *turns)
{
	uint32_t granted = 0;

	qsort(ranks, count, sizeof *ranks, by_key);
	while (granted < count && ranks[granted].key * *turns < *sum) {
		shares[ranks[granted].index].turns = 1;
		*sum -= ranks[granted].key;
		(*turns)--;
		granted++;
	}
	return granted;
}

/* Shares SCHEDULE_MAX turns out among `sum` units of weight, which are more than that. */
static void apportion(struct share *shares, uint32_t count, uint64_t sum, struct rank *ranks)
{
	uint64_t turns = SCHEDULE_MAX;
	uint64_t given = 0;
	uint32_t ranked = 0;
	uint32_t granted;

	for (uint32_t i = 0; i < count; i++) {
		if (shares[i].weight > 0) {
			ranks[ranked++] = (struct rank){.key = shares[i].weight, .index = i};
		}
	}
	granted = grant_minimum(shares, ranks, ranked, &sum, &turns);
	for (uint32_t i = granted; i < ranked; i++) {
		struct share *share = &shares[ranks[i].index];
		const uint64_t product = share->weight * turns;

		share->turns = (uint32_t)(product / sum);
		given += share->turns;
		ranks[i].key = sum - product % sum; /* the largest remainder sorts first */
	}
	qsort(&ranks[granted], ranked - granted, sizeof *ranks, by_key);
	for (uint32_t i = granted; given < turns; i++, given++) {
		assert(i < ranked);
		shares[ranks[i].index].turns++;
	}
}

/* Fills in `turns` and returns the length of the cycle. */
static uint32_t share_out(struct share *shares, uint32_t count, struct rank *ranks)
{
	uint32_t divisor = 0;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < count; i++) {
		divisor = greatest_common_divisor(shares[i].weight, divisor);
		sum += shares[i].weight;
	}
	if (divisor == 0) {
		return 0;
	}
	if (sum / divisor > SCHEDULE_MAX) {
		apportion(shares, count, sum, ranks);
		return SCHEDULE_MAX;
	}
	for (uint32_t i = 0; i < count; i++) {
		shares[i].turns = shares[i].weight / divisor;
	}
	return (uint32_t)(sum / divisor);
}

/* One turn each: the order of the configuration, which place() would come to as well. */
static bool is_plain(const struct share *shares, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (shares[i].turns > 1) {
			return false;
		}
	}
	return true;
}

static void place_plain(const struct share *shares, uint32_t count, struct schedule *schedule)
{
	uint32_t turn = 0;

	for (uint32_t i = 0; i < count; i++) {
		if (shares[i].turns == 1) {
			schedule->entries[turn++] = (uint16_t)i;
		}
	}
	assert(turn == schedule->length);
}

/* The backend may take its next turn from `turn` on. */
static void release_at(struct share *shares, uint32_t index, uint32_t *released, uint32_t turn)
{
	shares[index].next = released[turn];
	released[turn] = index;
}

/*
 * Turn k of a backend with n turns in a cycle of length L is due in the window from
 * floor(k L / n) to ceil((k + 1) L / n): inside it, the backend is less than one turn ahead of
 * its share and less than one behind. Serving the earliest end of a window first keeps to all
 * windows whenever that is possible at all (Liu and Layland, 1973; Baruah and others, 1996, for
 * these windows), and here it is, since the shares add up to one.
 */
static void place(struct share *shares, uint32_t count, struct schedule *schedule,
	uint32_t *released, struct heap *ready)
{
	const uint64_t length = schedule->length;

	for (uint32_t turn = 0; turn < length; turn++) {
		released[turn] = no_share;
	}
	for (uint32_t i = 0; i < count; i++) {
		if (shares[i].turns > 0) {
			release_at(shares, i, released, 0);
		}
	}
	for (uint32_t turn = 0; turn < length; turn++) {
		for (uint32_t i = released[turn]; i != no_share; i = shares[i].next) {
			const uint64_t ahead = (shares[i].placed + 1) * length;
			const uint64_t end = (ahead + shares[i].turns - 1) / shares[i].turns;

			heap_push(ready, end << 16 | i);
		}

		const uint32_t chosen = heap_pop(ready) & 0xffff;
		struct share *share = &shares[chosen];

		schedule->entries[turn] = (uint16_t)chosen;
		share->placed++;
		if (share->placed < share->turns) {
			const uint32_t next = (uint32_t)(share->placed * length / share->turns);

			assert(next >= turn);
			release_at(shares, chosen, released, next > turn ? next : turn + 1);
		}
	}
}

static struct schedule *fill(struct share *shares, uint32_t count, struct rank *ranks,
	uint64_t *keys, struct arena *arena)
{
	const uint32_t length = share_out(shares, count, ranks);
	struct schedule *schedule;
	uint32_t *released;

	schedule = arena_alloc(arena, sizeof *schedule + length * sizeof schedule->entries[0]);
	if (schedule == NULL) {
		return NULL;
	}
	schedule->length = length;
	if (is_plain(shares, count)) {
		place_plain(shares, count, schedule);
		return schedule;
	}

	released = calloc(length, sizeof *released);
	if (released == NULL) {
		return NULL;
	}
	place(shares, count, schedule, released, &(struct heap){.keys = keys});
	free(released);
	return schedule;
}

const struct schedule *schedule_build(const struct snapshot_pool *pool, struct arena *arena)
{
	const uint32_t count = pool->backend_count;
	struct schedule *schedule = NULL;
	struct share *shares;
	struct rank *ranks;
	uint64_t *keys;

	assert(count >= 1 && count <= SCHEDULE_MAX);
	shares = calloc(count, sizeof *shares);
	ranks = calloc(count, sizeof *ranks);
	keys = calloc(count, sizeof *keys);
	if (shares != NULL && ranks != NULL && keys != NULL) {
		for (uint32_t i = 0; i < count; i++) {
			shares[i].weight = pool->backends[i].weight;
		}
		schedule = fill(shares, count, ranks, keys, arena);
	}
	free(keys);
	free(ranks);
	free(shares);
	return schedule;
}
