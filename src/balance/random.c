/*
 * Random by weight, with the alias method (Walker, 1977; built as by Vose, 1991).
 *
 * Exact: the table is made of whole numbers. With n backends and the weights adding up to W,
 * each of n columns is W high, and a backend of weight w owns w n units of them in all: those
 * below `own` of its column, and those above it in the columns whose alias it is. A draw takes an
 * even column and an even height, each without modulo bias, so that a backend is drawn with
 * probability w n / (n W) = w / W and no rounding anywhere.
 */
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

#include "balance/algorithms.h"
#include "base/arena.h"
#include "base/rng.h"
#include "model/limits.h"
#include "model/snapshot.h"

enum { WEIGHT_MAX = 65535 };

static_assert((uint64_t)SLOTS_MAX * WEIGHT_MAX <= UINT32_MAX, "a sum of weights fits");

struct column {
	uint32_t own;   /* the heights below it are the column's own backend; at most `height` */
	uint32_t alias; /* the backend of the rest */
};

struct table {
	uint32_t height; /* W; 0 when each weight is 0 */
	uint32_t count;  /* as many columns as backends */
	struct column columns[];
};

/*
 * Fills up each column that its own backend leaves partly empty from a backend that has more than
 * a column. `left` holds what each backend has still to place; `stack` the short ones from the
 * front and the long ones from the back, so that together they take one place per backend.
 */
static void fill_columns(struct table *table, uint64_t *left, uint32_t *stack)
{
	uint32_t shorter = 0;
	uint32_t longer = table->count;

	for (uint32_t i = 0; i < table->count; i++) {
		if (left[i] < table->height) {
			stack[shorter++] = i;
		} else {
			stack[--longer] = i;
		}
	}
	while (shorter > 0) {
		assert(longer < table->count);

		const uint32_t small = stack[--shorter];
		const uint32_t large = stack[longer];

		table->columns[small] = (struct column){(uint32_t)left[small], large};
		left[large] -= table->height - left[small];
		if (left[large] < table->height) {
			longer++;
			stack[shorter++] = large;
		}
	}
	for (; longer < table->count; longer++) {
		const uint32_t full = stack[longer];

		assert(left[full] == table->height);
		table->columns[full] = (struct column){table->height, full};
	}
}

static const void *prepare(const struct snapshot_pool *pool, struct arena *arena)
{
	const uint32_t count = pool->backend_count;
	struct table *table;
	uint64_t *left;
	uint32_t *stack;

	assert(count >= 1 && count <= SLOTS_MAX);
	table = arena_alloc(arena, sizeof *table + count * sizeof table->columns[0]);
	left = calloc(count, sizeof *left);
	stack = calloc(count, sizeof *stack);
	if (table == NULL || left == NULL || stack == NULL) {
		table = NULL; /* what was taken of the arena goes with it */
		goto done;
	}

	table->count = count;
	for (uint32_t i = 0; i < count; i++) {
		assert(pool->backends[i].weight <= WEIGHT_MAX);
		left[i] = (uint64_t)pool->backends[i].weight * count;
		table->height += pool->backends[i].weight;
	}
	if (table->height > 0) {
		fill_columns(table, left, stack);
	}

done:
	free(stack);
	free(left);
	return table;
}

static uint32_t draw(const struct table *table, struct rng *rng)
{
	const uint32_t column = rng_below(rng, table->count);
	const uint32_t height = rng_below(rng, table->height);

	return height < table->columns[column].own ? column : table->columns[column].alias;
}

/*
 * Drawing again when a backend is tried or full leaves the rest with the shares that their weights
 * have among each other, and pick_among_left() chooses by the same shares.
 */
static int pick_random(const struct snapshot_pool *pool, const struct pick *pick)
{
	const struct table *table = pool->schedule;

	if (table->height == 0) {
		return BALANCE_NONE;
	}
	for (int draws = 0; draws < BALANCE_DRAWS_MAX; draws++) {
		const uint32_t index = draw(table, pick->rng);

		if (pick_allows(pick, &pool->backends[index])) {
			return (int)index;
		}
	}
	return pick_among_left(pool, pick);
}

const struct balance_algorithm balance_random = {
	.name = "random",
	.prepare = prepare,
	.pick = pick_random,
};
