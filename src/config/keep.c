#include <assert.h>
#include <string.h>

#include "base/arena.h"
#include "config/config.h"

static uint32_t find_pool(const struct config_pool *pools, uint32_t count, const char *name)
{
	uint32_t i = 0;

	while (i < count && strcmp(pools[i].name, name) != 0) {
		i++;
	}
	return i;
}

static bool has_listener(const struct config_listener *listeners, uint32_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++) {
		if (strcmp(listeners[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

/* A copy whose strings are the arena's. Returns false when there is no memory. */
static bool copy_pool(const struct config_pool *from, struct config_pool *to, struct arena *arena)
{
	*to = *from;
	to->name = arena_strdup(arena, from->name);
	to->backends = arena_alloc_array(arena, from->backend_count, sizeof *to->backends);
	if (to->name == NULL || to->backends == NULL) {
		return false;
	}
	for (uint32_t i = 0; i < from->backend_count; i++) {
		to->backends[i] = from->backends[i];
		to->backends[i].name = arena_strdup(arena, from->backends[i].name);
		if (to->backends[i].name == NULL) {
			return false;
		}
	}
	return true;
}

bool config_keep(struct config *config, const struct config *other,
	const struct config_listener *const *listeners, uint32_t listener_count,
	const struct config_pool *const *pools, uint32_t pool_count)
{
	struct arena *arena = (struct arena *)config->memory;
	struct config_pool *all_pools = arena_alloc_array(
		arena, (size_t)config->pool_count + pool_count, sizeof *all_pools);
	struct config_listener *all_listeners = arena_alloc_array(
		arena, (size_t)config->listener_count + listener_count, sizeof *all_listeners);
	uint32_t n_pools = config->pool_count;
	uint32_t n_listeners = config->listener_count;

	if (all_pools == NULL || all_listeners == NULL) {
		return false;
	}
	memcpy(all_pools, config->pools, n_pools * sizeof *all_pools);
	memcpy(all_listeners, config->listeners, n_listeners * sizeof *all_listeners);
	for (uint32_t i = 0; i < pool_count; i++) {
		if (find_pool(all_pools, n_pools, pools[i]->name) < n_pools) {
			continue;
		}
		if (!copy_pool(pools[i], &all_pools[n_pools], arena)) {
			return false;
		}
		n_pools++;
	}
	for (uint32_t i = 0; i < listener_count; i++) {
		struct config_listener *to = &all_listeners[n_listeners];

		if (has_listener(all_listeners, n_listeners, listeners[i]->name)) {
			continue;
		}
		*to = *listeners[i];
		to->name = arena_strdup(arena, listeners[i]->name);
		if (to->name == NULL) {
			return false;
		}
		to->pool = find_pool(all_pools, n_pools, other->pools[listeners[i]->pool].name);
		assert(to->pool < n_pools);
		n_listeners++;
	}
	config->kept_pool_count += n_pools - config->pool_count;
	config->kept_listener_count += n_listeners - config->listener_count;
	config->pools = all_pools;
	config->pool_count = n_pools;
	config->listeners = all_listeners;
	config->listener_count = n_listeners;
	return true;
}
