#include <assert.h>
#include <string.h>

#include "config/config.h"
#include "control/registry_internal.h"
#include "model/shm.h"

static const uint64_t NS_PER_MS = 1000000;

static struct slot *slot_of(const struct registry *registry, uint32_t backend)
{
	return &registry->shm->slots[registry->backends[backend].slot];
}

static bool is_used(const struct identity *identity)
{
	return atomic_load_explicit(&identity->used, memory_order_acquire) != 0;
}

static enum health_state state_of(const struct slot *slot)
{
	return (enum health_state)atomic_load_explicit(&slot->health, memory_order_acquire);
}

/* An address that needs no lookup is there from the start. */
static bool is_known(const struct address *address)
{
	return address->kind == ADDRESS_NUMERIC || address->kind == ADDRESS_LOCAL;
}

static bool is_at(const struct slot *slot, const struct address *address)
{
	char text[SLOT_ADDRESS_MAX];

	return strcmp(slot->configured_address, address_text(address, text)) == 0;
}

static void begin_anew(struct registry *registry, uint32_t backend, uint64_t now_ns)
{
	struct backend_health *health = &registry->health[backend];
	const struct address *address = &registry->backends[backend].config->address;

	health->resolved = is_known(address);
	if (health->resolved) {
		registry->places[backend].address = address->numeric;
	}
	health_init(&health->health, health->resolved ? HEALTH_HEALTHY : HEALTH_UNHEALTHY, now_ns);
}

/*
 * Whether workers may still see the backend in a snapshot is not kept: who is found draining waits
 * for one more grace period.
 */
static void go_on(struct registry *registry, uint32_t backend, uint64_t now_ns)
{
	const struct slot *slot = slot_of(registry, backend);
	struct backend_health *health = &registry->health[backend];
	struct slot_recall kept;

	health->resolved = slot->place.length > 0;
	registry->places[backend].address = slot->place;
	health->health = (struct health){.state = state_of(slot), .changed_ns = now_ns};
	if (slot_recall(slot, &kept)) {
		health->health.failures = kept.failures;
		health->health.successes = kept.successes;
		health->health.holds = kept.holds;
		health->health.changed_ns = kept.changed_ns;
		health->health.recovered_ns = kept.recovered_ns;
		health->health.held_until_ns = kept.held_until_ns;
	}
	if (health->health.state == HEALTH_DRAINING) {
		registry->draining++;
		registry->backends[backend].ungraced = true;
		registry->ungraced[registry->ungraced_count++] = backend;
	}
}

void registry_recall(struct registry *registry, uint32_t backend, uint64_t now_ns)
{
	const struct slot *slot = slot_of(registry, backend);
	struct registry_backend *entry = &registry->backends[backend];
	struct backend_health *health = &registry->health[backend];
	const bool in_use = state_of(slot) != HEALTH_UNSET;

	health->admin = ADMIN_READY;
	health->weight = entry->config->weight;
	if (in_use) {
		health->admin =
			(enum admin_state)atomic_load_explicit(&slot->admin, memory_order_relaxed);
		if (slot->configured_weight == entry->config->weight) {
			health->weight = atomic_load_explicit(&slot->weight, memory_order_relaxed);
		}
	}
	entry->kept = in_use && is_at(slot, &entry->config->address);
	if (entry->kept) {
		go_on(registry, backend, now_ns);
	} else {
		begin_anew(registry, backend, now_ns);
	}
}

void registry_keep(const struct registry *registry, uint32_t backend)
{
	const struct health *health = &registry->health[backend].health;
	const struct slot_recall values = {
		.changed_ns = health->changed_ns,
		.recovered_ns = health->recovered_ns,
		.held_until_ns = health->held_until_ns,
		.failures = health->failures,
		.successes = health->successes,
		.holds = health->holds,
	};

	slot_keep(slot_of(registry, backend), &values);
}

void registry_place(struct registry *registry, uint32_t backend, const struct sockaddr_any *address)
{
	registry->places[backend].address = *address;
	slot_of(registry, backend)->place = *address;
}

static void settle(struct registry *registry, uint32_t backend, uint64_t now_ns)
{
	const struct registry_backend *entry = &registry->backends[backend];
	const struct backend_health *health = &registry->health[backend];
	struct slot *slot = slot_of(registry, backend);
	const enum health_state from = state_of(slot);

	atomic_store_explicit(&slot->weight, health->weight, memory_order_relaxed);
	atomic_store_explicit(&slot->admin, (uint32_t)health->admin, memory_order_relaxed);
	counter_set(&slot->backend_drain_ns,
		registry->pools[entry->pool].config->backend_drain_ms * NS_PER_MS);
	if (health->admin == ADMIN_READY) {
		counter_set(&slot->drain_end_ns, 0);
	}
	slot->configured_weight = entry->config->weight;
	(void)address_text(&entry->config->address, slot->configured_address);
	slot->place = health->resolved ? registry->places[backend].address
				       : (struct sockaddr_any){.length = 0};
	if (from != health->health.state) {
		counter_set(&slot->since_ns, now_ns);
		atomic_store_explicit(
			&slot->health, (uint32_t)health->health.state, memory_order_release);
		if (from != HEALTH_UNSET) {
			registry_record_anew(registry, backend, from);
		}
	}
	registry_keep(registry, backend);
	registry_note_wish(registry, backend);
}

/* Its counters stay; its sessions go on, for as long as the pool allows. */
void registry_forget(struct slot *slot, uint64_t now_ns)
{
	registry_begin_drain(slot, now_ns);
	atomic_store_explicit(&slot->wants_success, 0, memory_order_relaxed);
	atomic_store_explicit(&slot->health, HEALTH_UNSET, memory_order_release);
}

void registry_begin_drain(struct slot *slot, uint64_t now_ns)
{
	const uint64_t drain_ns = counter_get(&slot->backend_drain_ns);

	if (drain_ns > 0 && counter_get(&slot->drain_end_ns) == 0) {
		counter_set(&slot->drain_end_ns, now_ns + drain_ns);
	}
}

static void settle_listeners(const struct registry *registry)
{
	for (uint32_t i = 0; i < registry->listener_count; i++) {
		const struct builder_listener *listener = &registry->listeners[i];
		struct listener_entry *entry = &registry->shm->listeners[listener->id];

		counter_set(&entry->idle_ns, listener->config->idle_ms * NS_PER_MS);
		counter_set(&entry->half_close_ns, listener->config->half_close_ms * NS_PER_MS);
	}
}

void registry_drop_kept(struct registry *registry, struct config *config, uint64_t now_ns)
{
	registry->listener_count -= config->kept_listener_count;
	registry->pool_count -= config->kept_pool_count;
	for (uint32_t i = 0; i < config->kept_pool_count; i++) {
		const struct registry_pool *pool = &registry->pools[registry->pool_count + i];

		for (uint32_t k = pool->first; k < pool->first + pool->health.backend_count; k++) {
			const enum health_state state = registry->health[k].health.state;

			registry->draining -= state == HEALTH_DRAINING ? 1 : 0;
			registry->by_slot[registry->backends[k].slot] = REGISTRY_NONE;
			registry_forget(slot_of(registry, k), now_ns);
			registry->backend_count--;
		}
	}
	assert(registry->ungraced_count == 0);
	config->listener_count = registry->listener_count;
	config->pool_count = registry->pool_count;
	config->kept_listener_count = 0;
	config->kept_pool_count = 0;
	registry->changed = true;
}

/* A session counts at the end on its listener, its pool and its slot: all three stay until then. */
static void note_gone(const struct registry *registry)
{
	struct shm *shm = registry->shm;
	bool listeners[LISTENERS_MAX] = {false};
	bool pools[POOLS_MAX] = {false};
	uint64_t pool_sessions[POOLS_MAX] = {0};

	for (uint32_t i = 0; i < registry->listener_count; i++) {
		listeners[registry->listeners[i].id] = true;
	}
	for (uint32_t i = 0; i < registry->pool_count; i++) {
		pools[registry->pools[i].id] = true;
	}
	for (uint32_t i = 0; i < SLOTS_MAX && is_used(&shm->slots[i].identity); i++) {
		const uint64_t sessions = shm_slot_sessions(shm, i);

		shm_note_gone(
			&shm->slots[i].identity, registry->by_slot[i] != REGISTRY_NONE, sessions);
		pool_sessions[shm->slots[i].identity.parent % POOLS_MAX] += sessions;
	}
	for (uint32_t i = 0; i < POOLS_MAX && is_used(&shm->pools[i].identity); i++) {
		shm_note_gone(&shm->pools[i].identity, pools[i], pool_sessions[i]);
	}
	for (uint32_t i = 0; i < LISTENERS_MAX && is_used(&shm->listeners[i].identity); i++) {
		shm_note_gone(
			&shm->listeners[i].identity, listeners[i], shm_listener_sessions(shm, i));
	}
}

void registry_take_over(struct registry *registry, uint64_t now_ns)
{
	settle_listeners(registry);
	for (uint32_t i = 0; i < registry->backend_count; i++) {
		settle(registry, i, now_ns);
	}
	for (uint32_t i = 0; i < SLOTS_MAX && is_used(&registry->shm->slots[i].identity); i++) {
		struct slot *slot = &registry->shm->slots[i];

		if (registry->by_slot[i] == REGISTRY_NONE && state_of(slot) != HEALTH_UNSET) {
			registry_forget(slot, now_ns);
		}
	}
	note_gone(registry);
}
