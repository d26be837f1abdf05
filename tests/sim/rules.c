#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/snapshot.h"
#include "world.h"

static _Noreturn void broken(const struct world *world, const char *rule, uint32_t backend)
{
	(void)fprintf(stderr,
		"rule broken: %s (backend %" PRIu32 ")\n"
		"run again with: SEED=%" PRIu64 " STEPS=%" PRIu64 "\n",
		rule, backend, world->seed, world->step + 1);
	abort();
}

void require(const struct world *world, bool holds, const char *rule, uint32_t backend)
{
	if (!holds) {
		broken(world, rule, backend);
	}
}

static struct pool_health *pool_of(struct world *world, uint32_t backend)
{
	return &world->registry.pools[world->registry.backends[backend].pool].health;
}

static bool is_usable(const struct backend_health *backend)
{
	return backend->health.state == HEALTH_HEALTHY && backend->admin == ADMIN_READY &&
		backend->weight > 0 && backend->resolved;
}

/* Counted from nothing, to check the counts that are kept. */
static uint32_t count_usable(const struct pool_health *pool)
{
	uint32_t usable = 0;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		usable += is_usable(&pool->backends[i]) ? 1 : 0;
	}
	return usable;
}

static uint32_t count_ejected(const struct pool_health *pool)
{
	uint32_t ejected = 0;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		ejected += pool->backends[i].health.state != HEALTH_HEALTHY ? 1 : 0;
	}
	return ejected;
}

/* ------------------------------------------------------------------ rules at a transition */

static void check_ejection(struct world *world, uint32_t backend, const struct health_step *step)
{
	struct truth *truth = &world->truths[backend];
	const struct pool_health *pool = pool_of(world, backend);
	const uint32_t ejected = count_ejected(pool);
	const uint32_t share = pool->backend_count * pool->max_ejected / 100;
	const bool flapped = truth->recovered_ns != 0 &&
		world->now_ns - truth->recovered_ns <= pool->limits.flap_window_ns;

	require(world, step->failures >= pool->limits.failures, "ejected below the threshold",
		backend);
	require(world, truth->lost != world->reports_lost || step->failures <= truth->failures,
		"ejected by failures that are not of this time", backend);
	require(world, (step->actions & HEALTH_DO_PROBE) != 0, "ejected and not probed", backend);
	if (world->in_intake) {
		require(world, ejected <= (share > 1 ? share : 1),
			"traffic alone ejected more than max_ejected", backend);
		require(world, count_usable(pool) > 0, "traffic alone ejected the last one",
			backend);
	}
	require(world, flapped == (step->hold_down_ns > 0), "hold-down without flapping", backend);
	require(world, step->hold_down_ns <= pool->limits.hold_down_max_ns,
		"hold-down above its bound", backend);
	truth->ejected_ns = world->now_ns;
	truth->hold_down_ns = step->hold_down_ns;
	truth->cleared = false;
	truth->voided = false;
}

static void check_recovery(struct world *world, uint32_t backend, const struct health_step *step)
{
	struct truth *truth = &world->truths[backend];
	const struct pool_health *pool = pool_of(world, backend);
	const bool usable = is_usable(&world->registry.health[backend]);
	const bool alone = count_usable(pool) == (usable ? 1 : 0);

	require(world, !world->in_intake, "recovered by traffic", backend);
	require(world, step->successes >= pool->limits.successes, "recovered below the threshold",
		backend);
	require(world,
		truth->cleared || truth->voided || alone ||
			world->now_ns >= truth->ejected_ns + truth->hold_down_ns,
		"recovered within the hold-down", backend);
	require(world, (step->actions & HEALTH_DO_REST) != 0, "recovered and still probed",
		backend);
	truth->recovered_ns = world->now_ns;
}

static bool worker_sees(const struct world *world, uint32_t worker, uint32_t backend)
{
	const struct snapshot *snapshot = world->seen[worker];
	const struct registry_backend *entry = &world->registry.backends[backend];
	const struct snapshot_pool *pool;

	if (snapshot == NULL) {
		return false;
	}
	pool = snapshot_pool(snapshot, world->registry.pools[entry->pool].id);
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		if (pool->backends[i].slot == entry->slot) {
			return !pool->fallback;
		}
	}
	return false;
}

static void check_drained(struct world *world, uint32_t backend)
{
	require(world, shm_slot_sessions(&world->shm, world->registry.backends[backend].slot) == 0,
		"UNHEALTHY with sessions", backend);
	for (uint32_t worker = 0; worker < WORKERS; worker++) {
		require(world, !worker_sees(world, worker, backend),
			"UNHEALTHY before the grace period", backend);
	}
}

void note_voided(struct world *world, uint32_t backend)
{
	const uint32_t pool = world->registry.backends[backend].pool;

	if (count_usable(&world->registry.pools[pool].health) > 0) {
		return;
	}
	for (uint32_t i = 0; i < world->registry.pools[pool].health.backend_count; i++) {
		world->truths[world->registry.pools[pool].first + i].voided = true;
	}
}

void check_step(void *context, uint32_t backend, const struct health_step *step)
{
	struct world *world = context;
	struct truth *truth = &world->truths[backend];

	require(world, truth->state == step->from, "a transition from another state", backend);
	if (step->from == HEALTH_HEALTHY && step->to != HEALTH_HEALTHY) {
		check_ejection(world, backend, step);
		truth->probing = true;
		truth->down_since_ns = world->now_ns;
		truth->probe_at_ns = world->now_ns + pool_of(world, backend)->limits.successes;
	} else if (step->from != HEALTH_HEALTHY && step->to == HEALTH_HEALTHY) {
		check_recovery(world, backend, step);
		truth->probing = false;
	} else if (step->from == HEALTH_DRAINING && step->to == HEALTH_UNHEALTHY) {
		check_drained(world, backend);
	} else {
		require(world, step->from == step->to, "an edge that does not exist", backend);
	}
	if ((step->actions & HEALTH_DO_CONFIRM) != 0) {
		truth->confirming = true;
		world->helds++;
	}
	if ((step->from == HEALTH_HEALTHY) != (step->to == HEALTH_HEALTHY)) {
		truth->changed_ns = world->now_ns;
		truth->failures = 0;
		truth->lost = world->reports_lost;
	}
	world->transitions += step->from != step->to ? 1 : 0;
	truth->state = step->to;
	note_voided(world, backend);
}

/* ------------------------------------------------------------------ rules after each step */

static void check_pool_snapshot(struct world *world, uint32_t pool)
{
	const struct registry_pool *entry = &world->registry.pools[pool];
	const struct snapshot_pool *published = snapshot_pool(world->current, entry->id);
	const uint32_t usable = count_usable(&entry->health);
	uint32_t named = 0;

	require(world, entry->health.usable == usable, "the count of usable ones is wrong", pool);
	require(world, entry->health.ejected == count_ejected(&entry->health),
		"the count of ejected ones is wrong", pool);
	require(world, published->fallback == (usable == 0), "fallback is wrong", pool);
	for (uint32_t i = 0; i < entry->health.backend_count; i++) {
		const struct backend_health *backend = &entry->health.backends[i];
		const bool proven = backend->health.state != HEALTH_HEALTHY &&
			backend->health.successes >= entry->health.limits.successes;
		const bool eligible = backend->admin == ADMIN_READY && backend->weight > 0;
		const bool expected = usable > 0
			? is_usable(backend)
			: eligible && entry->health.fallback == POOL_USE_ALL;

		require(world, usable > 0 || !proven, "held down though nobody is left",
			entry->first + i);
		if (!expected) {
			continue;
		}
		require(world,
			named < published->backend_count &&
				published->backends[named].slot ==
					world->registry.backends[entry->first + i].slot &&
				published->backends[named].weight == backend->weight,
			"a backend that may take sessions is not in the snapshot",
			entry->first + i);
		named++;
	}
	require(world, published->backend_count == named,
		"a backend that may not take sessions is in the snapshot", pool);
}

static void check_shared_memory(struct world *world, uint32_t backend)
{
	const struct slot *slot = &world->shm.slots[world->registry.backends[backend].slot];
	const struct health *health = registry_health(&world->registry, backend);
	uint64_t sessions = 0;

	for (uint32_t worker = 0; worker < WORKERS; worker++) {
		sessions += world->truths[backend].sessions[worker];
	}
	require(world,
		sessions == shm_slot_sessions(&world->shm, world->registry.backends[backend].slot),
		"the count of sessions is wrong", backend);
	require(world, atomic_load(&slot->health) == (uint32_t)health->state,
		"the slot says another state", backend);
	require(world,
		(atomic_load(&slot->wants_success) != 0) ==
			(health->state == HEALTH_HEALTHY && health->failures > 0),
		"successes are wanted wrongly", backend);
}

/*
 * Up for so long, it must be healthy: the longest wait for a probe, as many successes as are
 * wanted with one in fifty of them lost, and the hold-down.
 */
static void check_nothing_stuck(struct world *world, uint32_t backend)
{
	const struct truth *truth = &world->truths[backend];
	const struct health_limits *limits = &pool_of(world, backend)->limits;
	const uint64_t enough_ns = 11 * SECOND + (limits->successes + 12) * 2 * SECOND;
	uint64_t since_ns = truth->up_since_ns;

	if (!truth->up || truth->state == HEALTH_HEALTHY) {
		return;
	}
	since_ns = truth->ejected_ns > since_ns ? truth->ejected_ns : since_ns;
	require(world, world->now_ns < since_ns + truth->hold_down_ns + enough_ns,
		"up, and never healthy again", backend);
}

void check_rules(struct world *world)
{
	for (uint32_t pool = 0; pool < POOLS; pool++) {
		check_pool_snapshot(world, pool);
	}
	for (uint32_t i = 0; i < world->registry.backend_count; i++) {
		check_shared_memory(world, i);
		check_nothing_stuck(world, i);
	}
}
