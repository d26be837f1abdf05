/*
 * The rules of a whole pool, pure: which backends may take sessions, and what traffic alone may
 * not do.
 *
 *   - Traffic alone ejects at most max_ejected percent of the pool's backends; of two or more, one
 *     may always be. Beyond that a probe has to fail too.
 *   - The last backend that takes sessions goes only when a probe fails too.
 *   - With none left, all that are ready, have a weight and an address are tried (use_all), or
 *     none is (refuse); and no hold-down is in force.
 *
 * Three axes are kept apart: health (control/health_fsm.h), the operator's word, and the weight.
 *
 * Threads: control alone. Time comes in with the input; nothing reads a clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/health_fsm.h"

enum pool_fallback { POOL_USE_ALL, POOL_REFUSE };

struct backend_health {
	struct health health;
	enum admin_state admin;
	uint32_t weight;
	bool resolved; /* has an address */
};

struct pool_health {
	struct health_limits limits;
	uint32_t max_ejected; /* percent */
	enum pool_fallback fallback;
	uint32_t backend_count;
	struct backend_health *backends; /* borrowed from the caller, who fills it in */
	uint32_t usable;                 /* kept up to date by the functions below */
	uint32_t ejected;                /* not HEALTHY, for whatever reason */
};

/* Counts what the caller has filled in. */
void pool_health_init(struct pool_health *pool);

/* Feeds one backend's machine with the pool's verdict added; input->verdict is ignored. */
struct health_step pool_health_feed(
	struct pool_health *pool, uint32_t index, const struct health_input *input);

/* The operator's word, the weight, and the address. Whoever calls builds a snapshot after it. */
void pool_health_set_admin(struct pool_health *pool, uint32_t index, enum admin_state admin);
void pool_health_set_weight(struct pool_health *pool, uint32_t index, uint32_t weight);
void pool_health_set_resolved(struct pool_health *pool, uint32_t index, bool resolved);

/* Whether the snapshot names the backend: whether new sessions may go there. */
bool pool_health_takes(const struct pool_health *pool, uint32_t index);

/* Whether the pool has no backend that is as it should be. */
bool pool_health_failed(const struct pool_health *pool);
