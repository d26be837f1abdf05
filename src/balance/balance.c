#include "balance/balance.h"

#include <stddef.h>
#include <string.h>

#include "balance/algorithms.h"
#include "base/array.h"
#include "model/snapshot.h"

static const struct balance_algorithm *const algorithms[] = {
	&balance_round_robin,
	&balance_random,
};

const struct balance_algorithm *balance_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(algorithms); i++) {
		if (strcmp(algorithms[i]->name, name) == 0) {
			return algorithms[i];
		}
	}
	return NULL;
}

int balance_pick(const struct snapshot_pool *pool, const struct pick *pick)
{
	if (pool->backend_count == 0) {
		return BALANCE_NONE;
	}
	return pool->algorithm->pick(pool, pick);
}
