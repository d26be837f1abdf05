/*
 * All pools and backends as control knows them: configuration, health, identity in shared memory.
 *
 * One function, registry_feed(), takes every observation. It feeds the machine, keeps the slot in
 * shared memory up to date and records what changed as an event, so that the metrics, the log and
 * the machine cannot disagree. What is left to do to the outside (probes, commands, publication)
 * it tells through on_step().
 *
 * Owner:    control. The configuration and the shared memory are borrowed and outlive it.
 * Threads:  control alone. It reads no clock and opens nothing: the simulation runs on it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/builder.h"
#include "control/pool_health.h"
#include "model/event.h"

struct config;
struct error;
struct shm;

/* A backend, by its index over all pools. */
struct registry_backend {
	uint32_t pool;  /* index of its registry_pool */
	uint32_t index; /* in that pool */
	uint32_t slot;
	bool held;          /* an ejection is being withheld: said once until it ends */
	bool ungraced;      /* it was taken out, and workers may still see it */
	bool kept;          /* its slot was in use, at the same address: it goes on */
	const char *reason; /* the last failure that was observed; a constant */
	const struct config_backend *config;
};

struct registry_pool {
	struct pool_health health;
	const struct config_pool *config;
	const struct balance_algorithm *algorithm;
	uint32_t id;    /* index of its pool_entry */
	uint32_t first; /* index of its first backend */
	bool failed;    /* as was said in the last event */
};

/* What control has observed about one backend. */
struct observation {
	enum health_signal signal;
	enum event_cause cause;
	const char *reason; /* of a failure; a constant; NULL: none */
	uint64_t now_ns;
	uint64_t started_ns; /* when the attempt or the probe began; unused by the other signals */
};

/* Called after each step that changed the state or asks for an action. */
typedef void registry_on_step(void *context, uint32_t backend, const struct health_step *step);

struct registry {
	struct shm *shm;             /* borrowed */
	const struct config *config; /* borrowed */
	struct event_log *events;    /* borrowed */
	registry_on_step *on_step;
	void *context;
	uint64_t generation; /* of the configuration */
	bool changed;        /* a snapshot built now may differ from the last one */
	uint32_t draining;   /* backends in DRAINING */
	uint32_t pool_count;
	uint32_t backend_count;
	uint32_t listener_count;
	/* All below are owned. */
	struct registry_pool *pools;
	struct registry_backend *backends;
	struct backend_health *health;  /* by backend */
	struct builder_backend *places; /* by backend: slot and address */
	struct builder_listener *listeners;
	struct builder_pool *builder_pools;
	uint32_t *by_slot;  /* index of the backend, REGISTRY_NONE: not ours */
	uint32_t *ungraced; /* backends that wait for the end of a grace period */
	uint32_t ungraced_count;
};

static const uint32_t REGISTRY_NONE = UINT32_MAX;

/*
 * Finds or makes the identities of all listeners, pools and backends in shared memory.
 *
 * A backend whose slot is in use goes on where it was: health, counts, hold-down, the operator's
 * word, and his weight unless the configured one has changed. With another address its health
 * starts anew. New backends with a numeric address or a UNIX socket begin HEALTHY, those with a
 * name UNHEALTHY and without an address: see registry_resolved(). Slots that the configuration
 * does not name become HEALTH_UNSET. Returns 0, or a negative errno with nothing left behind.
 */
int registry_init(struct registry *registry, struct shm *shm, const struct config *config,
	struct event_log *events, uint64_t now_ns, struct error *err);
void registry_done(struct registry *registry);

/*
 * The same in two steps, for a reload. The first one changes nothing that anybody sees; between
 * the two no observation may be fed to either registry of the memory. The second cannot fail.
 */
int registry_prepare(struct registry *registry, struct shm *shm, const struct config *config,
	struct event_log *events, uint64_t now_ns, struct error *err);
void registry_take_over(struct registry *registry, uint64_t now_ns);

/* Who carries out the actions. Until it is set, nobody does. */
void registry_set_on_step(struct registry *registry, registry_on_step *on_step, void *context);

void registry_feed(
	struct registry *registry, uint32_t backend, const struct observation *observation);

/* The grace period of all that has been taken out so far is over. */
void registry_grace(struct registry *registry, uint64_t now_ns);

/* Looks at the sessions of all that are draining. */
void registry_check_draining(struct registry *registry, uint64_t now_ns);

/*
 * A name has an address now. `healthy`: it begins as one with a numeric address would, else it
 * proves itself by probes. Returns the index of another backend of the pool that has the
 * same address, with nothing changed, or REGISTRY_NONE.
 */
uint32_t registry_resolved(struct registry *registry, uint32_t backend,
	const struct sockaddr_any *address, bool healthy, uint64_t now_ns);

/* Once the names have been looked up: says which pools begin without a healthy backend. */
void registry_begin(struct registry *registry, uint64_t now_ns);

/*
 * Drops what the configuration keeps for sessions of a former one (config_keep()), and tells the
 * configuration so. Their probes must have been stopped.
 */
void registry_drop_kept(struct registry *registry, struct config *config, uint64_t now_ns);

/* Another backend of the pool that has this address already, or REGISTRY_NONE. */
uint32_t registry_twin(
	const struct registry *registry, uint32_t backend, const struct sockaddr_any *address);

/* The operator's word and weight. Ready also ends a hold-down. */
void registry_set_admin(
	struct registry *registry, uint32_t backend, enum admin_state admin, uint64_t now_ns);
void registry_set_weight(
	struct registry *registry, uint32_t backend, uint32_t weight, uint64_t now_ns);

/* NULL when there is no memory. */
struct snapshot *registry_build(const struct registry *registry, uint64_t version);

const struct health *registry_health(const struct registry *registry, uint32_t backend);
