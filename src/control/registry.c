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

static struct registry_pool *pool_of(const struct registry *registry, uint32_t backend)
{
	return &registry->pools[registry->backends[backend].pool];
}

static void set_name(char name[static IDENTITY_NAME_MAX], const char *text)
{
	const size_t length = strnlen(text, IDENTITY_NAME_MAX - 1);

	memcpy(name, text, length);
	name[length] = '\0';
}

static void set_reason(struct event *event, const char *reason)
{
	const size_t length = strnlen(reason, sizeof event->reason - 1);

	memcpy(event->reason, reason, length);
	event->reason[length] = '\0';
}

/* An event about the backend, with all that does not depend on what happened. */
static void begin_event(const struct registry *registry, uint32_t backend, enum event_kind kind,
	enum event_cause cause, struct event *event)
{
	const struct registry_backend *entry = &registry->backends[backend];

	*event = (struct event){
		.kind = kind,
		.cause = cause,
		.subject = entry->slot,
		.sessions = shm_slot_sessions(registry->shm, entry->slot),
		.generation = registry->generation,
	};
	set_name(event->pool, pool_of(registry, backend)->config->name);
	set_name(event->name, entry->config->name);
}

/* Which limit was reached, or would have been. */
static uint32_t threshold_of(const struct registry_pool *pool, enum health_state from)
{
	return from == HEALTH_HEALTHY ? pool->health.limits.failures
				      : pool->health.limits.successes;
}

static void record_step(struct registry *registry, uint32_t backend, enum event_kind kind,
	const struct observation *observation, const struct health_step *step)
{
	const struct registry_backend *entry = &registry->backends[backend];
	struct event event;

	begin_event(registry, backend, kind, observation->cause, &event);
	event.from = step->from;
	event.to = step->to;
	event.failures = step->failures;
	event.successes = step->successes;
	event.hold_down_ms = step->hold_down_ns / NS_PER_MS;
	if (step->from != HEALTH_DRAINING || step->to != HEALTH_UNHEALTHY) {
		event.threshold = threshold_of(pool_of(registry, backend), step->from);
	}
	if (step->from == HEALTH_HEALTHY && entry->reason != NULL) {
		set_reason(&event, entry->reason);
	}
	event_record(registry->events, &event);
}

static void on_changed_state(struct registry *registry, uint32_t backend,
	const struct observation *observation, const struct health_step *step)
{
	struct registry_backend *entry = &registry->backends[backend];
	struct slot *slot = slot_of(registry, backend);

	registry->draining -= step->from == HEALTH_DRAINING ? 1 : 0;
	registry->draining += step->to == HEALTH_DRAINING ? 1 : 0;
	entry->held = false;
	if (step->from == HEALTH_HEALTHY && !entry->ungraced) {
		entry->ungraced = true;
		registry->ungraced[registry->ungraced_count++] = backend;
	}
	counter_set(&slot->since_ns, observation->now_ns);
	atomic_store_explicit(&slot->health, (uint32_t)step->to, memory_order_release);
	counter_add(&slot->transitions[step->from][step->to], 1);
	record_step(registry, backend, EVENT_BACKEND_HEALTH, observation, step);
	if ((step->actions & HEALTH_DO_PUBLISH) != 0) {
		registry->changed = true;
	}
}

/* A change that no observation has made: only what the metrics call a legal edge is one. */
void registry_record_anew(struct registry *registry, uint32_t backend, enum health_state from)
{
	const enum health_state to = registry->health[backend].health.state;
	struct event event;

	counter_add(&slot_of(registry, backend)->transitions[from][to], 1);
	begin_event(registry, backend, EVENT_BACKEND_HEALTH, CAUSE_CONFIGURATION, &event);
	event.from = from;
	event.to = to;
	event_record(registry->events, &event);
}

/* Stores only what differs: workers read this line at each success. */
void registry_note_wish(struct registry *registry, uint32_t backend)
{
	struct slot *slot = slot_of(registry, backend);
	const uint32_t wish = health_wants_success(&registry->health[backend].health) ? 1 : 0;

	if (atomic_load_explicit(&slot->wants_success, memory_order_relaxed) != wish) {
		atomic_store_explicit(&slot->wants_success, wish, memory_order_release);
	}
}

static void note_held(struct registry *registry, uint32_t backend,
	const struct observation *observation, const struct health_step *step)
{
	struct registry_backend *entry = &registry->backends[backend];

	if ((step->actions & HEALTH_DO_CONFIRM) == 0) {
		entry->held = entry->held && step->failures > 0;
	} else if (!entry->held) {
		entry->held = true;
		record_step(registry, backend, EVENT_BACKEND_HELD, observation, step);
	}
}

static void feed_one(
	struct registry *registry, uint32_t backend, const struct observation *observation)
{
	struct registry_backend *entry = &registry->backends[backend];
	const struct health_input input = {
		.signal = observation->signal,
		.now_ns = observation->now_ns,
		.started_ns = observation->started_ns,
		.sessions = shm_slot_sessions(registry->shm, entry->slot),
	};
	struct health_step step;

	if (observation->reason != NULL) {
		entry->reason = observation->reason;
	}
	step = pool_health_feed(&pool_of(registry, backend)->health, entry->index, &input);
	registry_note_wish(registry, backend);
	note_held(registry, backend, observation, &step);
	if (step.from != step.to) {
		on_changed_state(registry, backend, observation, &step);
	}
	registry_keep(registry, backend);
	if (registry->on_step != NULL && (step.from != step.to || step.actions != 0)) {
		registry->on_step(registry->context, backend, &step);
	}
}

/*
 * After anything that may have changed whether the pool has a backend left. With none, the
 * hold-downs of the others are void: whoever has proved itself meanwhile comes back now.
 */
static void review_pool(struct registry *registry, struct registry_pool *pool,
	enum event_cause cause, uint64_t now_ns)
{
	struct event event = {
		.kind = EVENT_POOL_FALLBACK,
		.cause = cause,
		.subject = pool->id,
		.from = pool->failed ? 1 : 0,
		.generation = registry->generation,
	};

	for (uint32_t i = 0; i < pool->health.backend_count && pool->health.usable == 0; i++) {
		const struct observation review = {
			.signal = SIGNAL_REVIEW,
			.cause = CAUSE_PROBE,
			.now_ns = now_ns,
		};

		feed_one(registry, pool->first + i, &review);
	}
	if (pool_health_failed(&pool->health) != pool->failed) {
		pool->failed = !pool->failed;
		atomic_store_explicit(&registry->shm->pools[pool->id].failed, pool->failed ? 1 : 0,
			memory_order_relaxed);
		event.to = pool->failed ? 1 : 0;
		set_name(event.pool, pool->config->name);
		event_record(registry->events, &event);
	}
}

void registry_feed(
	struct registry *registry, uint32_t backend, const struct observation *observation)
{
	assert(backend < registry->backend_count);

	struct registry_pool *pool = pool_of(registry, backend);
	const uint32_t usable = pool->health.usable;

	feed_one(registry, backend, observation);
	if (pool->health.usable != usable) {
		review_pool(registry, pool, observation->cause, observation->now_ns);
	}
}

void registry_grace(struct registry *registry, uint64_t now_ns)
{
	const struct observation grace = {
		.signal = SIGNAL_GRACE,
		.cause = CAUSE_SESSIONS_ENDED,
		.now_ns = now_ns,
	};
	const uint32_t count = registry->ungraced_count;

	registry->ungraced_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		registry->backends[registry->ungraced[i]].ungraced = false;
		registry_feed(registry, registry->ungraced[i], &grace);
	}
}

void registry_check_draining(struct registry *registry, uint64_t now_ns)
{
	const struct observation sessions = {
		.signal = SIGNAL_SESSIONS,
		.cause = CAUSE_SESSIONS_ENDED,
		.now_ns = now_ns,
	};

	for (uint32_t i = 0; i < registry->backend_count && registry->draining > 0; i++) {
		if (registry->health[i].health.state == HEALTH_DRAINING) {
			registry_feed(registry, i, &sessions);
		}
	}
}

static uint32_t find_address(const struct registry *registry, const struct registry_pool *pool,
	uint32_t except, const struct sockaddr_any *address)
{
	for (uint32_t i = 0; i < pool->health.backend_count; i++) {
		const uint32_t backend = pool->first + i;

		if (backend != except && registry->health[backend].resolved &&
			sockaddr_equal(&registry->places[backend].address, address)) {
			return backend;
		}
	}
	return REGISTRY_NONE;
}

uint32_t registry_twin(
	const struct registry *registry, uint32_t backend, const struct sockaddr_any *address)
{
	return find_address(registry, pool_of(registry, backend), backend, address);
}

uint32_t registry_resolved(struct registry *registry, uint32_t backend,
	const struct sockaddr_any *address, bool healthy, uint64_t now_ns)
{
	struct registry_pool *pool = pool_of(registry, backend);
	const struct registry_backend *entry = &registry->backends[backend];
	const uint32_t twin = find_address(registry, pool, backend, address);

	if (twin != REGISTRY_NONE) {
		return twin;
	}
	registry_place(registry, backend, address);
	if (healthy) {
		const enum health_state from = registry->health[backend].health.state;

		registry->draining -= from == HEALTH_DRAINING ? 1 : 0;
		health_init(&registry->health[backend].health, HEALTH_HEALTHY, now_ns);
		if (entry->kept && from != HEALTH_HEALTHY) {
			registry_record_anew(registry, backend, from);
		}
		counter_set(&slot_of(registry, backend)->since_ns, now_ns);
		atomic_store_explicit(
			&slot_of(registry, backend)->health, HEALTH_HEALTHY, memory_order_release);
		pool_health_init(&pool->health);
		registry_keep(registry, backend);
	}
	pool_health_set_resolved(&pool->health, entry->index, true);
	registry->changed = true;
	return REGISTRY_NONE;
}

/* Of a pool that has no backend from the start: no address, else the weights in the file. */
static enum event_cause cause_of_begin(
	const struct registry *registry, const struct registry_pool *pool)
{
	for (uint32_t i = 0; i < pool->health.backend_count; i++) {
		if (!registry->health[pool->first + i].resolved) {
			return CAUSE_RESOLVER;
		}
	}
	return CAUSE_CONFIGURATION;
}

void registry_begin(struct registry *registry, uint64_t now_ns)
{
	for (uint32_t i = 0; i < registry->pool_count; i++) {
		struct registry_pool *pool = &registry->pools[i];

		review_pool(registry, pool, cause_of_begin(registry, pool), now_ns);
	}
}

void registry_set_admin(
	struct registry *registry, uint32_t backend, enum admin_state admin, uint64_t now_ns)
{
	struct registry_pool *pool = pool_of(registry, backend);
	struct backend_health *health = &registry->health[backend];
	const enum admin_state from = health->admin;
	struct event event;

	if (from != admin) {
		pool_health_set_admin(&pool->health, registry->backends[backend].index, admin);
		atomic_store_explicit(
			&slot_of(registry, backend)->admin, (uint32_t)admin, memory_order_release);
		if (admin == ADMIN_READY) {
			counter_set(&slot_of(registry, backend)->drain_end_ns, 0);
		} else {
			registry_begin_drain(slot_of(registry, backend), now_ns);
		}
		registry->changed = true;
		begin_event(registry, backend, EVENT_BACKEND_ADMIN, CAUSE_OPERATOR, &event);
		event.from = from;
		event.to = admin;
		event_record(registry->events, &event);
	}
	if (admin == ADMIN_READY) {
		const struct observation ready = {
			.signal = SIGNAL_READY,
			.cause = CAUSE_OPERATOR,
			.now_ns = now_ns,
		};

		feed_one(registry, backend, &ready);
	}
	review_pool(registry, pool, CAUSE_OPERATOR, now_ns);
}

void registry_set_weight(
	struct registry *registry, uint32_t backend, uint32_t weight, uint64_t now_ns)
{
	struct registry_pool *pool = pool_of(registry, backend);

	pool_health_set_weight(&pool->health, registry->backends[backend].index, weight);
	atomic_store_explicit(&slot_of(registry, backend)->weight, weight, memory_order_relaxed);
	registry->changed = true;
	review_pool(registry, pool, CAUSE_OPERATOR, now_ns);
}

struct snapshot *registry_build(const struct registry *registry, uint64_t version)
{
	const struct builder_input input = {
		.version = version,
		.generation = registry->generation,
		.keepalive_s = (uint32_t)((registry->config->keepalive_ms + 999) / 1000),
		.busy_poll_ns = (uint64_t)registry->config->server.busy_poll_us * 1000,
		.coalesce_ns = (uint64_t)registry->config->server.coalesce_us * 1000,
		.access_enabled = registry->config->access_log.enabled,
		.access_sample = registry->config->access_log.sample,
		.listener_count = registry->listener_count,
		.listeners = registry->listeners,
		.pool_count = registry->pool_count,
		.pools = registry->builder_pools,
	};

	return builder_build(&input);
}

const struct health *registry_health(const struct registry *registry, uint32_t backend)
{
	assert(backend < registry->backend_count);
	return &registry->health[backend].health;
}
