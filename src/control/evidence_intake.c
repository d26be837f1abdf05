#include "control/control_internal.h"
#include "model/evidence.h"
#include "model/shm.h"

static void feed(struct control *control, uint32_t backend, enum health_signal signal,
	const char *reason, const struct evidence *evidence, uint64_t now_ns)
{
	const struct observation observation = {
		.signal = signal,
		.cause = CAUSE_TRAFFIC,
		.reason = reason,
		.now_ns = now_ns,
		.started_ns = evidence->started_ns,
	};

	registry_feed(&control->registry, backend, &observation);
}

/* Returns whether sessions of a draining backend may have ended. */
static bool take_one(struct control *control, const struct evidence *evidence, uint64_t now_ns)
{
	const struct shm *shm = control->setup.shm;
	uint32_t backend;

	if (evidence->kind == EVIDENCE_FINISHED) {
		return true;
	}
	if (evidence->slot >= SLOTS_MAX) {
		return false;
	}
	backend = control->registry.by_slot[evidence->slot];
	if (backend == REGISTRY_NONE ||
		atomic_load_explicit(&shm->slots[evidence->slot].identity.used,
			memory_order_acquire) != evidence->generation) {
		return false;
	}
	if (evidence->kind == EVIDENCE_FAILURE) {
		feed(control, backend, SIGNAL_TRAFFIC_FAILURE,
			failure_reason_name(evidence->reason), evidence, now_ns);
	} else {
		feed(control, backend, SIGNAL_TRAFFIC_SUCCESS, NULL, evidence, now_ns);
	}
	return false;
}

static struct seen look(const struct shm *shm, uint32_t slot)
{
	struct seen seen = {.failures = 0};

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		const struct slot_counters *counters = shm_slot_counters(shm, worker, slot);

		seen.established += counter_get(&counters->established);
		for (int reason = 0; reason < FAILURE_RESOURCE; reason++) {
			seen.failures += counter_get(&counters->failures[reason]);
		}
	}
	return seen;
}

/*
 * Reports were lost. A backend that has failed since the last look and never connected did so in
 * a row; of one that did both the order is not known, and nothing is concluded.
 */
static void look_at_counters(struct control *control, uint64_t now_ns)
{
	struct registry *registry = &control->registry;

	for (uint32_t i = 0; i < registry->backend_count; i++) {
		const struct seen now = look(control->setup.shm, registry->backends[i].slot);
		const struct seen before = control->seen[i];
		const struct evidence evidence = {.started_ns = now_ns};
		uint64_t failures = now.failures - before.failures;

		control->seen[i] = now;
		if (now.established != before.established) {
			continue;
		}
		while (failures > 0 && registry->health[i].health.state == HEALTH_HEALTHY) {
			feed(control, i, SIGNAL_TRAFFIC_FAILURE,
				failure_reason_name(FAILURE_REFUSED), &evidence, now_ns);
			failures--;
		}
	}
}

void control_take_evidence(struct control *control, uint64_t now_ns)
{
	const struct shm *shm = control->setup.shm;
	bool overflowed = false;
	bool ended = false;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		struct evidence_ring *ring = &shm->evidence[worker];
		struct evidence evidence;

		overflowed |= evidence_overflowed(ring);
		/* At most a ring's worth: a worker that reports without end must not hold us. */
		for (uint32_t i = 0; i < EVIDENCE_RING_SIZE && evidence_pop(ring, &evidence); i++) {
			ended |= take_one(control, &evidence, now_ns);
		}
	}
	if (overflowed) {
		look_at_counters(control, now_ns);
	}
	if ((ended || overflowed) && control->registry.draining > 0) {
		registry_check_draining(&control->registry, now_ns);
	}
}
