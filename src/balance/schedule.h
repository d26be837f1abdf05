/*
 * The weights of a pool as a finite order of turns, spread as evenly as whole turns allow.
 *
 * The weights are divided by their greatest common divisor and each backend gets that many turns
 * of a cycle. In every prefix of the cycle, and so of any number of cycles, the turns of a backend
 * differ from its exact share by less than one turn. Backends of equal weight come in the order of
 * the configuration.
 *
 * A cycle longer than SCHEDULE_MAX is shortened to it by the method of the largest remainder, where
 * each backend of some weight keeps at least one turn. A backend of weight 0 has none.
 *
 * Lifetime: a schedule lives in the arena of its snapshot. Threads: build by control, on a
 * snapshot that nobody else sees yet; immutable from then on.
 */
#pragma once

#include <stdint.h>

struct arena;
struct snapshot_pool;

enum { SCHEDULE_MAX = 65536 };

struct schedule {
	uint32_t length;    /* 0 only when each weight is 0 */
	uint16_t entries[]; /* indexes into pool->backends */
};

/*
 * For at most SCHEDULE_MAX backends. The same weights always give the same order. Takes time
 * proportional to length x log(backends), and to the number of backends when the weights are
 * equal. NULL when there is no memory.
 */
const struct schedule *schedule_build(const struct snapshot_pool *pool, struct arena *arena);
