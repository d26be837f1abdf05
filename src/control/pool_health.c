#include "control/pool_health.h"

#include <assert.h>

/* Could take sessions if its health were no question. */
static bool is_eligible(const struct backend_health *backend)
{
	return backend->admin == ADMIN_READY && backend->weight > 0 && backend->resolved;
}

static bool is_usable(const struct backend_health *backend)
{
	return backend->health.state == HEALTH_HEALTHY && is_eligible(backend);
}

static bool is_ejected(const struct backend_health *backend)
{
	return backend->health.state != HEALTH_HEALTHY;
}

/* Takes the backend out of the counts, or puts it in, around each change. */
static void discount(struct pool_health *pool, const struct backend_health *backend)
{
	pool->usable -= is_usable(backend) ? 1 : 0;
	pool->ejected -= is_ejected(backend) ? 1 : 0;
}

static void recount(struct pool_health *pool, const struct backend_health *backend)
{
	pool->usable += is_usable(backend) ? 1 : 0;
	pool->ejected += is_ejected(backend) ? 1 : 0;
	assert(pool->usable + pool->ejected <= pool->backend_count);
}

void pool_health_init(struct pool_health *pool)
{
	pool->usable = 0;
	pool->ejected = 0;
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		recount(pool, &pool->backends[i]);
	}
}

/* How many may be out by traffic alone. */
static uint32_t ejection_limit(const struct pool_health *pool)
{
	const uint64_t limit = (uint64_t)pool->backend_count * pool->max_ejected / 100;

	return limit == 0 && pool->backend_count >= 2 ? 1 : (uint32_t)limit;
}

static unsigned judge(const struct pool_health *pool, const struct backend_health *backend)
{
	const uint32_t others = pool->usable - (is_usable(backend) ? 1 : 0);
	unsigned verdict = 0;

	if (others == 0 || pool->ejected + 1 > ejection_limit(pool)) {
		verdict |= VERDICT_CONFIRM;
	}
	if (pool->usable == 0) {
		verdict |= VERDICT_HOLD_VOID;
	}
	return verdict;
}

struct health_step pool_health_feed(
	struct pool_health *pool, uint32_t index, const struct health_input *input)
{
	assert(index < pool->backend_count);

	struct backend_health *backend = &pool->backends[index];
	struct health_input judged = *input;
	struct health_step step;

	judged.verdict = judge(pool, backend);
	discount(pool, backend);
	step = health_feed(&backend->health, &pool->limits, &judged);
	recount(pool, backend);
	return step;
}

void pool_health_set_admin(struct pool_health *pool, uint32_t index, enum admin_state admin)
{
	assert(index < pool->backend_count);
	discount(pool, &pool->backends[index]);
	pool->backends[index].admin = admin;
	recount(pool, &pool->backends[index]);
}

void pool_health_set_weight(struct pool_health *pool, uint32_t index, uint32_t weight)
{
	assert(index < pool->backend_count);
	discount(pool, &pool->backends[index]);
	pool->backends[index].weight = weight;
	recount(pool, &pool->backends[index]);
}

void pool_health_set_resolved(struct pool_health *pool, uint32_t index, bool resolved)
{
	assert(index < pool->backend_count);
	discount(pool, &pool->backends[index]);
	pool->backends[index].resolved = resolved;
	recount(pool, &pool->backends[index]);
}

bool pool_health_takes(const struct pool_health *pool, uint32_t index)
{
	assert(index < pool->backend_count);
	if (pool->usable > 0) {
		return is_usable(&pool->backends[index]);
	}
	return pool->fallback == POOL_USE_ALL && is_eligible(&pool->backends[index]);
}

bool pool_health_failed(const struct pool_health *pool)
{
	return pool->usable == 0;
}
