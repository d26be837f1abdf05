#include "control/intake.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "config/config.h"
#include "control/registry.h"
#include "model/shm.h"

/* Long enough to see whether connects succeed, short against what a client would wait. */
static const uint64_t WATCH_NS = 100000000;
static const uint64_t NS_PER_MS = 1000000;

struct intake_mark {
	uint64_t failures;
	uint64_t established;
};

int intake_init(struct intake *intake, struct registry *registry)
{
	*intake = (struct intake){.registry = registry};
	intake->marks = calloc(registry->backend_count, sizeof *intake->marks);
	return intake->marks != NULL ? 0 : -ENOMEM;
}

void intake_done(struct intake *intake)
{
	free(intake->marks);
	*intake = (struct intake){.registry = NULL};
}

static uint32_t find_backend(const struct registry *registry, const struct evidence *evidence)
{
	const struct slot *slot;

	if (evidence->slot >= SLOTS_MAX) {
		return REGISTRY_NONE;
	}
	slot = &registry->shm->slots[evidence->slot];
	if (atomic_load_explicit(&slot->identity.used, memory_order_relaxed) !=
		evidence->generation) {
		return REGISTRY_NONE;
	}
	return registry->by_slot[evidence->slot];
}

static void take(struct registry *registry, const struct evidence *evidence, uint64_t now_ns)
{
	const uint32_t backend = find_backend(registry, evidence);
	struct observation observation = {
		.cause = CAUSE_TRAFFIC,
		.now_ns = now_ns,
		.started_ns = evidence->started_ns,
	};

	if (backend == REGISTRY_NONE) {
		return;
	}
	switch (evidence->kind) {
	case EVIDENCE_FAILURE:
		assert(evidence->reason < FAILURE_REASON_COUNT);
		if (evidence->reason == FAILURE_RESOURCE) {
			return;
		}
		observation.signal = SIGNAL_TRAFFIC_FAILURE;
		observation.reason = failure_reason_name(evidence->reason);
		break;
	case EVIDENCE_SUCCESS:
		observation.signal = SIGNAL_TRAFFIC_SUCCESS;
		break;
	case EVIDENCE_FINISHED:
		observation.signal = SIGNAL_SESSIONS;
		observation.cause = CAUSE_SESSIONS_ENDED;
		break;
	}
	registry_feed(registry, backend, &observation);
}

static struct intake_mark read_counters(const struct registry *registry, uint32_t backend)
{
	struct intake_mark mark = {0};

	for (uint32_t worker = 0; worker < registry->shm->workers; worker++) {
		const struct slot_counters *counters =
			shm_slot_counters(registry->shm, worker, registry->backends[backend].slot);

		for (uint32_t reason = 0; reason < FAILURE_RESOURCE; reason++) {
			mark.failures += counter_get(&counters->failures[reason]);
		}
		mark.established += counter_get(&counters->established);
	}
	return mark;
}

static void begin_watch(struct intake *intake, uint64_t now_ns)
{
	for (uint32_t i = 0; i < intake->registry->backend_count; i++) {
		intake->marks[i] = read_counters(intake->registry, i);
	}
	intake->watch_until_ns = now_ns + WATCH_NS;
}

/*
 * What failed while the counters were watched may have begun as long before as a connect may take;
 * after a change of health that is too old to count.
 */
static void judge_by_counters(struct intake *intake, uint32_t backend, uint64_t now_ns)
{
	struct registry *registry = intake->registry;
	const struct intake_mark *mark = &intake->marks[backend];
	const struct intake_mark now = read_counters(registry, backend);
	const uint32_t pool = registry->backends[backend].pool;
	const uint32_t threshold = registry->pools[pool].health.limits.failures;
	const uint64_t connect_ns = registry->pools[pool].config->connect_ms * NS_PER_MS;
	const uint64_t begun_ns = intake->watch_until_ns - WATCH_NS;
	const struct observation observation = {
		.signal = SIGNAL_TRAFFIC_FAILURE,
		.cause = CAUSE_TRAFFIC,
		.reason = "counters",
		.now_ns = now_ns,
		.started_ns = begun_ns > connect_ns ? begun_ns - connect_ns : 0,
	};
	const uint64_t failures = now.failures - mark->failures;

	if (now.established != mark->established) {
		return;
	}
	for (uint64_t i = 0; i < failures && i < threshold; i++) {
		registry_feed(registry, backend, &observation);
	}
}

static void end_watch(struct intake *intake, uint64_t now_ns)
{
	for (uint32_t i = 0; i < intake->registry->backend_count; i++) {
		judge_by_counters(intake, i, now_ns);
	}
	intake->watch_until_ns = 0;
}

void intake_drain(struct intake *intake, uint64_t now_ns)
{
	struct registry *registry = intake->registry;
	bool overflowed = false;

	for (uint32_t worker = 0; worker < registry->shm->workers; worker++) {
		struct evidence_ring *ring = &registry->shm->evidence[worker];
		struct evidence evidence;

		/* A worker that reports faster than this reads must not keep the others waiting. */
		for (uint32_t n = 0; n < EVIDENCE_RING_SIZE && evidence_pop(ring, &evidence); n++) {
			take(registry, &evidence, now_ns);
		}
		overflowed |= evidence_overflowed(ring);
	}
	if (intake->watch_until_ns != 0 && now_ns >= intake->watch_until_ns) {
		end_watch(intake, now_ns);
	}
	if (overflowed && intake->watch_until_ns == 0) {
		begin_watch(intake, now_ns);
	}
}

uint64_t intake_deadline(const struct intake *intake)
{
	return intake->watch_until_ns != 0 ? intake->watch_until_ns : UINT64_MAX;
}
