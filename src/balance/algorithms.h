/*
 * The rows of the table of algorithms, and what their picks share. Private to balance/.
 *
 * Threads: as in balance.h: picks by any worker, prepare by control.
 */
#pragma once

#include <stdbool.h>

#include "balance/balance.h"

struct snapshot_backend;

extern const struct balance_algorithm balance_round_robin;
extern const struct balance_algorithm balance_random;

/*
 * How often a pick draws from its schedule before it looks at all backends instead. Each draw
 * that fails means a backend that was tried or is full, so more than a few happen only when such
 * backends hold nearly all of the weight.
 */
enum { BALANCE_DRAWS_MAX = 32 };

/* Whether the session may take this backend now: not tried, not full, and of some weight. */
bool pick_allows(const struct pick *pick, const struct snapshot_backend *backend);

/*
 * One of the backends that are allowed, at random and exactly by weight; BALANCE_NONE when there
 * is none. Looks at each backend once: the last resort of a pick, at a cost that grows with the
 * pool but is bounded by it.
 */
int pick_among_left(const struct snapshot_pool *pool, const struct pick *pick);
