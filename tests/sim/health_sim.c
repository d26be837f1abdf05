/*
 * Deterministic simulation of control's decisions and the contract between the planes.
 *
 * The registry, the health machine, the rules of the pools, the builder, the intake and the rings
 * in shared memory are the real ones. Time, backends, workers, clients, probes and the operator
 * are invented from one seed. After each step the rules that an operator relies on are checked
 * against what the invented world knows.
 *
 *     SEED=7 STEPS=1000000 health_sim
 *
 * A failure names the seed and the step; the same seed gives the same run.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "control/builder.h"
#include "control/probe.h"
#include "model/snapshot.h"
#include "os/clock.h"
#include "world.h"

static const uint64_t MS = 1000000;

static uint32_t below(struct world *world, uint32_t bound)
{
	return rng_below(&world->rng, bound);
}

static bool one_in(struct world *world, uint32_t n)
{
	return below(world, n) == 0;
}

/* ------------------------------------------------------------------ publication, grace */

static void reclaim(struct world *world)
{
	for (uint32_t i = 0; i < world->retired_count;) {
		bool used = false;

		for (uint32_t worker = 0; worker < WORKERS; worker++) {
			used |= world->seen[worker] == world->retired[i];
		}
		if (used) {
			i++;
			continue;
		}
		snapshot_free(world->retired[i]);
		world->retired[i] = world->retired[--world->retired_count];
	}
}

/* Control waits for the grace period: every worker is quiet once, and may have done more before. */
static void wait_for_grace(struct world *world)
{
	for (uint32_t worker = 0; worker < WORKERS; worker++) {
		world->seen[worker] = world->current;
	}
	reclaim(world);
}

/* What a worker can tell one snapshot from another by, without the builder's own comparison. */
static uint64_t digest(const struct snapshot *snapshot)
{
	uint64_t hash = snapshot->generation;

	for (uint32_t i = 0; i < snapshot->pool_limit; i++) {
		const struct snapshot_pool *pool = snapshot->pools[i];

		hash = hash * 1000003 + pool->backend_count * 2 + (pool->fallback ? 1 : 0);
		for (uint32_t k = 0; k < pool->backend_count; k++) {
			hash = hash * 1000003 + pool->backends[k].slot;
			hash = hash * 1000003 + pool->backends[k].weight;
		}
	}
	return hash;
}

static bool publish_changes(struct world *world)
{
	struct snapshot *next = registry_build(
		&world->registry, world->current == NULL ? 1 : world->current->version + 1);

	if (next == NULL) {
		require(world, false, "there is memory", 0);
		abort();
	}
	world->registry.changed = false;
	if (builder_same(world->current, next)) {
		snapshot_free(next);
		return false;
	}
	if (world->current != NULL) {
		require(world, next->version > world->current->version, "version goes back", 0);
		require(world, digest(next) != digest(world->current), "published without a change",
			0);
		require(world, world->retired_count < RETIRED_MAX, "never reclaimed", 0);
		world->retired[world->retired_count++] = world->current;
	}
	world->current = next;
	world->publications++;
	return true;
}

static void start_session(struct world *world, uint32_t worker, uint32_t backend);
static void finish_session(struct world *world, uint32_t worker, uint32_t backend);
static uint32_t pick(struct world *world, uint32_t worker, uint32_t pool);

static void end_ungraced_sessions(struct world *world)
{
	for (uint32_t i = 0; i < world->registry.ungraced_count; i++) {
		const uint32_t backend = world->registry.ungraced[i];

		for (uint32_t worker = 0; worker < WORKERS; worker++) {
			while (world->truths[backend].sessions[worker] > 0) {
				finish_session(world, worker, backend);
			}
		}
	}
}

static void publish(struct world *world)
{
	while (world->registry.changed || world->registry.ungraced_count > 0) {
		if (world->registry.changed) {
			(void)publish_changes(world);
		}
		/* Between publication and grace a worker may still use what it holds. */
		for (uint32_t i = below(world, 3); i > 0; i--) {
			const uint32_t worker = below(world, WORKERS);
			const uint32_t backend = pick(world, worker, below(world, POOLS));

			if (backend != REGISTRY_NONE) {
				start_session(world, worker, backend);
			}
		}
		if (one_in(world, 4)) {
			end_ungraced_sessions(world);
			registry_check_draining(&world->registry, world->now_ns);
		}
		wait_for_grace(world);
		registry_grace(&world->registry, world->now_ns);
	}
}

/* ------------------------------------------------------------------ workers and clients */

static struct slot_counters *counters_of(
	const struct world *world, uint32_t worker, uint32_t backend)
{
	return shm_slot_counters(&world->shm, worker, world->registry.backends[backend].slot);
}

static void start_session(struct world *world, uint32_t worker, uint32_t backend)
{
	counter_add(&counters_of(world, worker, backend)->started, 1);
	world->truths[backend].sessions[worker]++;
}

static void report(struct world *world, uint32_t worker, uint32_t backend, enum evidence_kind kind,
	enum failure_reason reason, uint64_t started_ns)
{
	const struct evidence evidence = {
		.kind = kind,
		.reason = reason,
		.slot = world->registry.backends[backend].slot,
		.generation = one_in(world, 200) ? 77 : 1,
		.started_ns = started_ns,
	};

	if (kind == EVIDENCE_FAILURE && evidence.generation == 1 &&
		started_ns >= world->truths[backend].changed_ns) {
		world->truths[backend].failures++;
	}
	if (!evidence_push(&world->shm.evidence[worker], &evidence)) {
		world->reports_lost++;
	}
}

static void finish_session(struct world *world, uint32_t worker, uint32_t backend)
{
	const uint32_t slot = world->registry.backends[backend].slot;

	counter_add(&counters_of(world, worker, backend)->finished, 1);
	world->truths[backend].sessions[worker]--;
	if (atomic_load(&world->shm.slots[slot].health) != HEALTH_HEALTHY && !one_in(world, 10)) {
		report(world, worker, backend, EVIDENCE_FINISHED, FAILURE_REFUSED, world->now_ns);
	}
}

/* A backend that the worker's snapshot names, or REGISTRY_NONE. */
static uint32_t pick(struct world *world, uint32_t worker, uint32_t pool)
{
	const struct snapshot_pool *entry;

	if (world->seen[worker] == NULL) {
		return REGISTRY_NONE;
	}
	entry = snapshot_pool(world->seen[worker], world->registry.pools[pool].id);
	if (entry->backend_count == 0) {
		return REGISTRY_NONE;
	}
	return world->registry.by_slot[entry->backends[below(world, entry->backend_count)].slot];
}

static void client_comes(struct world *world)
{
	static const enum failure_reason reasons[] = {
		FAILURE_REFUSED, FAILURE_TIMEOUT, FAILURE_UNREACHABLE, FAILURE_RESET};
	const uint32_t worker = below(world, WORKERS);
	const uint32_t backend = pick(world, worker, below(world, POOLS));
	const uint64_t started_ns = world->now_ns - below(world, ATTEMPT_MS_MAX) * MS;
	struct slot_counters *counters;
	struct truth *truth;

	if (backend == REGISTRY_NONE) {
		return;
	}
	truth = &world->truths[backend];
	if (truth->sessions[worker] >= SESSIONS_MAX_SIM) {
		return;
	}
	counters = counters_of(world, worker, backend);
	start_session(world, worker, backend);
	if (truth->up && !one_in(world, 50)) {
		counter_add(&counters->established, 1);
		if (atomic_load(&world->shm.slots[world->registry.backends[backend].slot]
					 .wants_success) != 0) {
			report(world, worker, backend, EVIDENCE_SUCCESS, FAILURE_REFUSED,
				started_ns);
		}
	} else {
		const enum failure_reason reason = reasons[below(world, 4)];

		counter_add(&counters->failures[reason], 1);
		report(world, worker, backend, EVIDENCE_FAILURE, reason, started_ns);
		finish_session(world, worker, backend);
	}
}

static void client_leaves(struct world *world)
{
	const uint32_t worker = below(world, WORKERS);
	const uint32_t backend = below(world, world->registry.backend_count);

	for (uint32_t n = 1 + below(world, 8); n > 0 && world->truths[backend].sessions[worker] > 0;
		n--) {
		finish_session(world, worker, backend);
	}
}

/* ------------------------------------------------------------------ probes */

static void begin_probe(struct world *world, struct truth *truth)
{
	truth->in_flight = true;
	truth->in_flight_up = truth->up;
	truth->in_flight_since_ns = world->now_ns;
	truth->in_flight_end_ns = world->now_ns + (1 + below(world, 200)) * MS;
	truth->confirming = false;
}

static void end_probe(struct world *world, uint32_t backend)
{
	struct truth *truth = &world->truths[backend];
	const bool success = truth->in_flight_up;
	const struct observation observation = {
		.signal = success ? SIGNAL_PROBE_SUCCESS : SIGNAL_PROBE_FAILURE,
		.cause = CAUSE_PROBE,
		.reason = success ? NULL : "refused",
		.now_ns = world->now_ns,
		.started_ns = truth->in_flight_since_ns,
	};

	truth->in_flight = false;
	if (success) {
		truth->down_since_ns = world->now_ns;
	} else if (truth->in_flight_since_ns >= truth->changed_ns) {
		truth->failures++;
	}
	truth->probe_at_ns = truth->in_flight_since_ns +
		probe_jitter(
			&world->rng, probe_delay(SECOND, world->now_ns - truth->down_since_ns));
	if (!one_in(world, 50)) { /* else it was local trouble: no evidence */
		registry_feed(&world->registry, backend, &observation);
	}
}

static void run_probes(struct world *world)
{
	for (uint32_t i = 0; i < world->registry.backend_count; i++) {
		struct truth *truth = &world->truths[i];

		if (truth->in_flight && world->now_ns >= truth->in_flight_end_ns) {
			end_probe(world, i);
		} else if (!truth->in_flight &&
			(truth->confirming ||
				(truth->probing && world->now_ns >= truth->probe_at_ns))) {
			begin_probe(world, truth);
		}
	}
}

/* ------------------------------------------------------------------ operator */

static void operator_acts(struct world *world)
{
	static const enum admin_state words[] = {
		ADMIN_READY, ADMIN_READY, ADMIN_DRAIN, ADMIN_MAINTENANCE};
	const uint32_t backend = below(world, world->registry.backend_count);

	if (one_in(world, 3)) {
		registry_set_weight(&world->registry, backend, below(world, 4), world->now_ns);
	} else {
		const enum admin_state word = words[below(world, 4)];

		if (word == ADMIN_READY) {
			world->truths[backend].cleared = true;
			world->truths[backend].recovered_ns = 0;
		}
		registry_set_admin(&world->registry, backend, word, world->now_ns);
	}
	note_voided(world, backend);
}

static void backend_changes(struct world *world)
{
	struct truth *truth = &world->truths[below(world, world->registry.backend_count)];

	truth->up = !truth->up;
	truth->up_since_ns = world->now_ns;
}

/* ------------------------------------------------------------------ the run */

static void invent_pool(struct world *world, uint32_t index)
{
	static const uint32_t shares[] = {0, 34, 50, 100};
	struct config_pool *pool = &world->pools[index];

	(void)snprintf(world->names[index][BACKENDS_PER_POOL_MAX], 16, "pool%u", index);
	*pool = (struct config_pool){
		.name = world->names[index][BACKENDS_PER_POOL_MAX],
		.algorithm = index % 2 == 0 ? CONFIG_ROUND_ROBIN : CONFIG_RANDOM,
		.when_all_unhealthy = one_in(world, 3) ? CONFIG_REFUSE : CONFIG_USE_ALL,
		.connect_ms = ATTEMPT_MS_MAX,
		.health =
			{
				.failure_threshold = 1 + below(world, 4),
				.success_threshold = 1 + below(world, 3),
				.flap_window_ms = 1000 * (1 + below(world, 60)),
				.hold_down_max_ms = 1000 * (1 + below(world, 30)),
				.max_ejected = shares[below(world, 4)],
			},
		/* The first one is the pool of a single backend. */
		.backend_count = index == 0 ? 1 : 2 + below(world, BACKENDS_PER_POOL_MAX - 1),
		.backends = world->backends[index],
	};
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		struct config_backend *backend = &pool->backends[i];

		(void)snprintf(world->names[index][i], 16, "b%u", i);
		*backend = (struct config_backend){
			.name = world->names[index][i],
			.address.kind = ADDRESS_NUMERIC,
			.weight = 1 + below(world, 3),
		};
		backend->address.numeric.length = sizeof backend->address.numeric.ip4;
		backend->address.numeric.ip4.sin_family = AF_INET;
		backend->address.numeric.ip4.sin_port = (in_port_t)(index * 100 + i + 1);
	}
}

static void begin(struct world *world, uint64_t seed)
{
	struct error err;

	*world = (struct world){.seed = seed, .now_ns = 1000 * SECOND};
	rng_init(&world->rng, seed);
	world->calm = 1U << below(world, 9);
	for (uint32_t i = 0; i < POOLS; i++) {
		invent_pool(world, i);
	}
	world->listener = (struct config_listener){.name = "in", .pool = 0};
	world->config = (struct config){
		.listener_count = 1,
		.listeners = &world->listener,
		.pool_count = POOLS,
		.pools = world->pools,
	};
	require(world, shm_create(WORKERS, 1, &world->shm, &err) == 0, "shared memory", 0);
	world->events = (struct event_log){.ring = world->shm.events};
	require(world,
		registry_init(&world->registry, &world->shm, &world->config, &world->events,
			world->now_ns, &err) == 0,
		"registry", 0);
	require(world, intake_init(&world->intake, &world->registry) == 0, "intake", 0);
	registry_set_on_step(&world->registry, check_step, world);
	for (uint32_t i = 0; i < world->registry.backend_count; i++) {
		world->truths[i].up = true;
		world->truths[i].up_since_ns = world->now_ns;
		world->truths[i].state = HEALTH_HEALTHY;
	}
	publish(world);
}

static void end(struct world *world)
{
	snapshot_free(world->current);
	for (uint32_t i = 0; i < world->retired_count; i++) {
		snapshot_free(world->retired[i]);
	}
	intake_done(&world->intake);
	registry_done(&world->registry);
	shm_destroy(&world->shm);
}

/*
 * Control starts again on the same memory, as after a reload or a crash, and nobody can tell: all
 * rules go on to hold, with what the world knew before.
 */
static void successor_takes_over(struct world *world)
{
	struct error err;

	intake_done(&world->intake);
	registry_done(&world->registry);
	require(world,
		registry_init(&world->registry, &world->shm, &world->config, &world->events,
			world->now_ns, &err) == 0,
		"registry", 0);
	require(world, intake_init(&world->intake, &world->registry) == 0, "intake", 0);
	registry_set_on_step(&world->registry, check_step, world);
	registry_begin(&world->registry, world->now_ns);
}

/* One thing happens in the world; now and then control has its turn. */
static void step(struct world *world)
{
	const uint64_t before = world->publications;

	world->now_ns += below(world, 20) * MS;
	switch (below(world, 16)) {
	case 0:
		if (one_in(world, world->calm)) {
			backend_changes(world);
		}
		break;
	case 1:
		if (one_in(world, 100)) {
			operator_acts(world);
		}
		break;
	case 2:
	case 3:
	case 4:
		client_leaves(world);
		break;
	case 5:
		for (uint32_t n = one_in(world, 200) ? 20 * EVIDENCE_RING_SIZE : 0; n > 0; n--) {
			client_comes(world); /* a rush that overflows the rings */
		}
		break;
	default:
		client_comes(world);
		break;
	}
	if (one_in(world, 3)) {
		world->in_intake = true;
		intake_drain(&world->intake, world->now_ns);
		world->in_intake = false;
	}
	run_probes(world);
	if (one_in(world, 1000)) {
		successor_takes_over(world);
	}
	if (one_in(world, 20)) {
		registry_check_draining(&world->registry, world->now_ns);
	}
	publish(world);
	require(world, world->publications - before <= 2, "published more than needed", 0);
	check_rules(world);
}

/* With the world in order and nobody doing anything, nothing is published any more. */
static void settle(struct world *world)
{
	uint64_t publications;

	for (uint32_t i = 0; i < world->registry.backend_count; i++) {
		world->truths[i].up = true;
		world->truths[i].up_since_ns = world->now_ns;
	}
	for (int turn = 0; turn < 1000; turn++) {
		world->now_ns += SECOND / 10;
		world->in_intake = true;
		intake_drain(&world->intake, world->now_ns);
		world->in_intake = false;
		run_probes(world);
		publish(world);
		check_rules(world);
	}
	publications = world->publications;
	for (int turn = 0; turn < 1000; turn++) {
		world->now_ns += SECOND / 10;
		intake_drain(&world->intake, world->now_ns);
		run_probes(world);
		publish(world);
	}
	require(world, world->publications == publications, "published without a change", 0);
	for (uint32_t i = 0; i < world->registry.backend_count; i++) {
		require(world, world->truths[i].state == HEALTH_HEALTHY, "not healthy in the end",
			i);
		require(world, !world->truths[i].probing, "probed in the end", i);
	}
}

static uint64_t number_from(const char *name, uint64_t fallback)
{
	const char *text = getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */

	return text != NULL ? strtoull(text, NULL, 10) : fallback;
}

int main(void)
{
	static struct world world;
	const uint64_t seed = number_from("SEED", clock_wall_ns());
	const uint64_t steps = number_from("STEPS", STEPS_DEFAULT);
	const uint64_t steps_per_run = 20000;
	uint64_t transitions = 0;
	uint64_t helds = 0;
	uint64_t publications = 0;
	uint64_t lost = 0;
	uint64_t done = 0;

	(void)printf("# SEED=%" PRIu64 " STEPS=%" PRIu64 "\n", seed, steps);
	(void)fflush(stdout);
	for (uint64_t run = 0; done < steps; run++) {
		begin(&world, seed + run);
		for (world.step = 0; world.step < steps_per_run && done < steps; world.step++) {
			step(&world);
			done++;
		}
		settle(&world);
		transitions += world.transitions;
		helds += world.helds;
		publications += world.publications;
		lost += world.reports_lost;
		end(&world);
	}
	(void)printf("# %" PRIu64 " transitions, %" PRIu64 " withheld, %" PRIu64
		     " publications, %" PRIu64 " reports lost\n1..1\nok 1 - health_sim\n",
		transitions, helds, publications, lost);
	return transitions > 0 && publications > 0 ? 0 : 1;
}
