#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "balance/balance.h"
#include "base/error.h"
#include "config/config.h"
#include "control/registry_internal.h"
#include "model/shm.h"

static const uint64_t NS_PER_MS = 1000000;

static const char *const algorithm_names[CONFIG_ALGORITHM_COUNT] = {
	[CONFIG_ROUND_ROBIN] = "round_robin",
	[CONFIG_RANDOM] = "random",
};

static int allocate(struct registry *registry)
{
	const uint32_t backends = registry->backend_count;

	registry->pools = calloc(registry->pool_count, sizeof *registry->pools);
	registry->backends = calloc(backends, sizeof *registry->backends);
	registry->health = calloc(backends, sizeof *registry->health);
	registry->places = calloc(backends, sizeof *registry->places);
	registry->listeners = calloc(registry->listener_count, sizeof *registry->listeners);
	registry->builder_pools = calloc(registry->pool_count, sizeof *registry->builder_pools);
	registry->by_slot = calloc(SLOTS_MAX, sizeof *registry->by_slot);
	registry->ungraced = calloc(backends, sizeof *registry->ungraced);
	if (registry->pools == NULL || registry->backends == NULL || registry->health == NULL ||
		registry->places == NULL || registry->listeners == NULL ||
		registry->builder_pools == NULL || registry->by_slot == NULL ||
		registry->ungraced == NULL) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		registry->by_slot[i] = REGISTRY_NONE;
	}
	return 0;
}

static int refuse_long_name(const char *what, const char *name, struct error *err)
{
	if (strlen(name) < IDENTITY_NAME_MAX) {
		return 0;
	}
	return error_say(err, ENAMETOOLONG, "%s \"%s\": the name has more than %d bytes", what,
		name, IDENTITY_NAME_MAX - 1);
}

static int set_up_backend(struct registry *registry, uint32_t pool, uint32_t index, uint64_t now_ns,
	struct error *err)
{
	const struct registry_pool *owner = &registry->pools[pool];
	const struct config_backend *config = &owner->config->backends[index];
	const uint32_t backend = owner->first + index;
	int id;
	int r;

	r = refuse_long_name("backend", config->name, err);
	if (r < 0) {
		return r;
	}
	id = shm_slot_index(registry->shm, owner->id, config->name);
	if (id < 0) {
		return error_say(err, ENOSPC, "there are more than %d backends", SLOTS_MAX);
	}
	registry->backends[backend] = (struct registry_backend){
		.pool = pool,
		.index = index,
		.slot = (uint32_t)id,
		.config = config,
	};
	registry->by_slot[id] = backend;
	registry->places[backend].slot = (uint32_t)id;
	registry_recall(registry, backend, now_ns);
	return 0;
}

static struct health_limits limits_of(const struct config_health *config)
{
	return (struct health_limits){
		.failures = config->failure_threshold,
		.successes = config->success_threshold,
		.flap_window_ns = config->flap_window_ms * NS_PER_MS,
		.hold_down_max_ns = config->hold_down_max_ms * NS_PER_MS,
	};
}

static int set_up_pool(struct registry *registry, uint32_t index, uint32_t first, uint64_t now_ns,
	struct error *err)
{
	const struct config_pool *config = &registry->config->pools[index];
	struct registry_pool *pool = &registry->pools[index];
	int id;
	int r;

	r = refuse_long_name("pool", config->name, err);
	if (r < 0) {
		return r;
	}
	id = shm_pool_index(registry->shm, config->name);
	if (id < 0) {
		return error_say(err, ENOSPC, "there are more than %d pools", POOLS_MAX);
	}
	assert(config->algorithm < CONFIG_ALGORITHM_COUNT);
	*pool = (struct registry_pool){
		.config = config,
		.algorithm = balance_find(algorithm_names[config->algorithm]),
		.id = (uint32_t)id,
		.first = first,
		.failed = atomic_load_explicit(
				  &registry->shm->pools[id].failed, memory_order_relaxed) != 0,
		.health =
			{
				.limits = limits_of(&config->health),
				.max_ejected = config->health.max_ejected,
				.fallback = config->when_all_unhealthy == CONFIG_USE_ALL
					? POOL_USE_ALL
					: POOL_REFUSE,
				.backend_count = config->backend_count,
				.backends = &registry->health[first],
			},
	};
	assert(pool->algorithm != NULL);
	for (uint32_t i = 0; i < config->backend_count; i++) {
		r = set_up_backend(registry, index, i, now_ns, err);
		if (r < 0) {
			return r;
		}
	}
	pool_health_init(&pool->health);
	registry->builder_pools[index] = (struct builder_pool){
		.id = pool->id,
		.config = config,
		.algorithm = pool->algorithm,
		.health = &pool->health,
		.backends = &registry->places[first],
		.leaving = index >= registry->pool_count - registry->config->kept_pool_count,
	};
	return 0;
}

static int set_up_listeners(struct registry *registry, struct error *err)
{
	for (uint32_t i = 0; i < registry->listener_count; i++) {
		const struct config_listener *config = &registry->config->listeners[i];
		int id;
		int r;

		r = refuse_long_name("listener", config->name, err);
		if (r < 0) {
			return r;
		}
		id = shm_listener_index(registry->shm, config->name);
		if (id < 0) {
			return error_say(
				err, ENOSPC, "there are more than %d listeners", LISTENERS_MAX);
		}
		registry->listeners[i] = (struct builder_listener){
			.id = (uint32_t)id,
			.pool = registry->pools[config->pool].id,
			.config = config,
			.leaving = i >=
				registry->listener_count - registry->config->kept_listener_count,
		};
	}
	return 0;
}

static uint32_t count_backends(const struct config *config)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < config->pool_count; i++) {
		count += config->pools[i].backend_count;
	}
	return count;
}

int registry_prepare(struct registry *registry, struct shm *shm, const struct config *config,
	struct event_log *events, uint64_t now_ns, struct error *err)
{
	uint32_t first = 0;
	int r;

	*registry = (struct registry){
		.shm = shm,
		.config = config,
		.events = events,
		.generation = counter_get(&shm->header->process.config_generation),
		.changed = true,
		.pool_count = config->pool_count,
		.backend_count = count_backends(config),
		.listener_count = config->listener_count,
	};
	r = allocate(registry);
	if (r < 0) {
		error_set(err, -r, "cannot set up the pools");
		goto fail_done;
	}
	for (uint32_t i = 0; i < config->pool_count; i++) {
		r = set_up_pool(registry, i, first, now_ns, err);
		if (r < 0) {
			goto fail_done;
		}
		first += config->pools[i].backend_count;
	}
	r = set_up_listeners(registry, err);
	if (r < 0) {
		goto fail_done;
	}
	return 0;

fail_done:
	registry_done(registry);
	return r;
}

int registry_init(struct registry *registry, struct shm *shm, const struct config *config,
	struct event_log *events, uint64_t now_ns, struct error *err)
{
	const int r = registry_prepare(registry, shm, config, events, now_ns, err);

	if (r == 0) {
		if (registry->generation == 0) {
			registry->generation = 1;
		}
		registry_take_over(registry, now_ns);
	}
	return r;
}

void registry_done(struct registry *registry)
{
	free(registry->pools);
	free(registry->backends);
	free(registry->health);
	free(registry->places);
	free(registry->listeners);
	free(registry->builder_pools);
	free(registry->by_slot);
	free(registry->ungraced);
	*registry = (struct registry){.shm = NULL};
}

void registry_set_on_step(struct registry *registry, registry_on_step *on_step, void *context)
{
	registry->on_step = on_step;
	registry->context = context;
}
