#include "control/builder.h"

#include <assert.h>
#include <string.h>

#include "balance/balance.h"
#include "base/arena.h"
#include "config/config.h"
#include "control/pool_health.h"
#include "model/snapshot.h"

static const uint64_t NS_PER_MS = 1000000;

static const enum on_unhealthy on_unhealthy_of[] = {
	[CONFIG_KEEP] = ON_UNHEALTHY_KEEP,
	[CONFIG_CLOSE] = ON_UNHEALTHY_CLOSE,
};

static const enum proxy_protocol proxy_protocol_of[] = {
	[CONFIG_PROXY_OFF] = PROXY_PROTOCOL_OFF,
	[CONFIG_PROXY_V1] = PROXY_PROTOCOL_V1,
	[CONFIG_PROXY_V2] = PROXY_PROTOCOL_V2,
};

static uint32_t count_takers(const struct pool_health *health)
{
	uint32_t takers = 0;

	for (uint32_t i = 0; i < health->backend_count; i++) {
		takers += pool_health_takes(health, i) ? 1 : 0;
	}
	return takers;
}

static void fill_backends(const struct builder_pool *input, struct snapshot_backend *backends)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < input->health->backend_count; i++) {
		if (!pool_health_takes(input->health, i)) {
			continue;
		}
		backends[n++] = (struct snapshot_backend){
			.address = input->backends[i].address,
			.slot = input->backends[i].slot,
			.weight = input->health->backends[i].weight,
			.max_connections = input->config->backends[i].max_connections,
			.may_be_self = input->backends[i].may_be_self,
		};
	}
}

/* The text of the address in the arena; NULL when there is no memory. */
static const char *text_of(const struct address *address, struct arena *arena)
{
	char text[ADDRESS_HOST_MAX + 8];

	return arena_strdup(arena, address_text(address, text));
}

/* Returns false when there is no memory. */
static bool fill_members(
	const struct builder_pool *input, struct snapshot_pool *pool, struct arena *arena)
{
	const uint32_t count = input->config->backend_count;
	struct snapshot_member *members = arena_alloc_array(arena, count, sizeof *members);

	if (members == NULL) {
		return false;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct config_backend *backend = &input->config->backends[i];

		members[i] = (struct snapshot_member){
			.slot = input->backends[i].slot,
			.max_connections = backend->max_connections,
			.address = text_of(&backend->address, arena),
		};
		if (members[i].address == NULL) {
			return false;
		}
	}
	pool->member_count = count;
	pool->members = members;
	return true;
}

static bool has_limit(const struct config_pool *config)
{
	for (uint32_t i = 0; i < config->backend_count; i++) {
		if (config->backends[i].max_connections > 0) {
			return true;
		}
	}
	return false;
}

static const struct snapshot_pool *build_pool(const struct builder_pool *input, struct arena *arena)
{
	const struct config_pool *config = input->config;
	const uint32_t takers = count_takers(input->health);
	struct snapshot_pool *pool = arena_alloc(arena, sizeof *pool);
	struct snapshot_backend *backends = arena_alloc_array(arena, takers, sizeof *backends);
	const char *name = arena_strdup(arena, config->name);

	assert(input->health->backend_count == config->backend_count);
	if (pool == NULL || backends == NULL || name == NULL) {
		return NULL;
	}
	fill_backends(input, backends);
	*pool = (struct snapshot_pool){
		.id = input->id,
		.name = name,
		.algorithm_name = input->algorithm->name,
		.algorithm = input->algorithm,
		.retries = config->retries,
		.on_unhealthy = on_unhealthy_of[config->on_unhealthy],
		.proxy_protocol = proxy_protocol_of[config->proxy_protocol],
		.max_buffered = config->max_buffered,
		.connect_ns = config->connect_ms * NS_PER_MS,
		.connect_total_ns = config->connect_total_ms * NS_PER_MS,
		.fallback = pool_health_failed(input->health),
		.limited = has_limit(config),
		.leaving = input->leaving,
		.backend_count = takers,
		.backends = backends,
	};
	if (!fill_members(input, pool, arena)) {
		return NULL;
	}
	if (takers > 0) {
		pool->schedule = input->algorithm->prepare(pool, arena);
		if (pool->schedule == NULL) {
			return NULL;
		}
	}
	return pool;
}

static const struct snapshot_listener *build_listener(
	const struct builder_listener *input, struct arena *arena)
{
	const struct config_listener *config = input->config;
	struct snapshot_listener *listener = arena_alloc(arena, sizeof *listener);
	const char *name = arena_strdup(arena, config->name);
	const char *address = text_of(&config->address, arena);

	if (listener == NULL || name == NULL || address == NULL) {
		return NULL;
	}
	*listener = (struct snapshot_listener){
		.id = input->id,
		.pool = input->pool,
		.name = name,
		.address = address,
		.max_connections = config->max_connections,
		.max_buffered = config->max_buffered,
		.leaving = input->leaving,
	};
	return listener;
}

static bool fill_pools(struct snapshot *snapshot, const struct builder_input *input)
{
	for (uint32_t i = 0; i < input->pool_count; i++) {
		if (input->pools[i].id >= snapshot->pool_limit) {
			snapshot->pool_limit = input->pools[i].id + 1;
		}
	}
	snapshot->pools = arena_alloc_array(
		snapshot->arena, snapshot->pool_limit, sizeof(struct snapshot_pool *));
	if (snapshot->pools == NULL) {
		return false;
	}
	for (uint32_t i = 0; i < input->pool_count; i++) {
		const uint32_t id = input->pools[i].id;

		snapshot->pools[id] = build_pool(&input->pools[i], snapshot->arena);
		if (snapshot->pools[id] == NULL) {
			return false;
		}
	}
	return true;
}

static bool fill_listeners(struct snapshot *snapshot, const struct builder_input *input)
{
	for (uint32_t i = 0; i < input->listener_count; i++) {
		if (input->listeners[i].id >= snapshot->listener_limit) {
			snapshot->listener_limit = input->listeners[i].id + 1;
		}
	}
	snapshot->listeners = arena_alloc_array(
		snapshot->arena, snapshot->listener_limit, sizeof(struct snapshot_listener *));
	if (snapshot->listeners == NULL) {
		return false;
	}
	for (uint32_t i = 0; i < input->listener_count; i++) {
		const uint32_t id = input->listeners[i].id;

		snapshot->listeners[id] = build_listener(&input->listeners[i], snapshot->arena);
		if (snapshot->listeners[id] == NULL) {
			return false;
		}
	}
	return true;
}

struct snapshot *builder_build(const struct builder_input *input)
{
	struct arena *arena = arena_create();
	struct snapshot *snapshot;

	if (arena == NULL) {
		return NULL;
	}
	snapshot = arena_alloc(arena, sizeof *snapshot);
	if (snapshot == NULL) {
		goto fail_free;
	}
	*snapshot = (struct snapshot){
		.version = input->version,
		.generation = input->generation,
		.keepalive_s = input->keepalive_s,
		.busy_poll_ns = input->busy_poll_ns,
		.coalesce_ns = input->coalesce_ns,
		.access_enabled = input->access_enabled,
		.access_sample = input->access_sample,
		.arena = arena,
	};
	if (!fill_pools(snapshot, input) || !fill_listeners(snapshot, input)) {
		goto fail_free;
	}
	return snapshot;

fail_free:
	arena_free(arena);
	return NULL;
}

static bool same_address(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	return a->length == b->length && memcmp(&a->generic, &b->generic, a->length) == 0;
}

static bool same_backend(const struct snapshot_backend *a, const struct snapshot_backend *b)
{
	return a->slot == b->slot && a->weight == b->weight &&
		a->max_connections == b->max_connections && a->may_be_self == b->may_be_self &&
		same_address(&a->address, &b->address);
}

static bool same_member(const struct snapshot_member *a, const struct snapshot_member *b)
{
	return a->slot == b->slot && a->max_connections == b->max_connections &&
		strcmp(a->address, b->address) == 0;
}

static bool same_members(const struct snapshot_pool *a, const struct snapshot_pool *b)
{
	if (a->member_count != b->member_count) {
		return false;
	}
	for (uint32_t i = 0; i < a->member_count; i++) {
		if (!same_member(&a->members[i], &b->members[i])) {
			return false;
		}
	}
	return true;
}

/* The schedule follows from the backends and the algorithm. */
static bool same_pool(const struct snapshot_pool *a, const struct snapshot_pool *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	if (a->id != b->id || a->algorithm != b->algorithm || a->retries != b->retries ||
		a->on_unhealthy != b->on_unhealthy || a->proxy_protocol != b->proxy_protocol ||
		a->max_buffered != b->max_buffered || a->connect_ns != b->connect_ns ||
		a->connect_total_ns != b->connect_total_ns || a->fallback != b->fallback ||
		a->limited != b->limited || a->leaving != b->leaving ||
		a->backend_count != b->backend_count || strcmp(a->name, b->name) != 0) {
		return false;
	}
	for (uint32_t i = 0; i < a->backend_count; i++) {
		if (!same_backend(&a->backends[i], &b->backends[i])) {
			return false;
		}
	}
	return same_members(a, b);
}

static bool same_listener(const struct snapshot_listener *a, const struct snapshot_listener *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	return a->id == b->id && a->pool == b->pool && a->leaving == b->leaving &&
		a->max_connections == b->max_connections && a->max_buffered == b->max_buffered &&
		strcmp(a->name, b->name) == 0 && strcmp(a->address, b->address) == 0;
}

bool builder_same(const struct snapshot *a, const struct snapshot *b)
{
	if (a == NULL || b == NULL) {
		return a == b;
	}
	if (a->generation != b->generation || a->pool_limit != b->pool_limit ||
		a->listener_limit != b->listener_limit) {
		return false;
	}
	for (uint32_t i = 0; i < a->pool_limit; i++) {
		if (!same_pool(a->pools[i], b->pools[i])) {
			return false;
		}
	}
	for (uint32_t i = 0; i < a->listener_limit; i++) {
		if (!same_listener(a->listeners[i], b->listeners[i])) {
			return false;
		}
	}
	return true;
}
