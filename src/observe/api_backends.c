#include <stdlib.h>
#include <string.h>

#include "model/event.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "observe/api_internal.h"
#include "observe/shown.h"
#include "observe/totals.h"
#include "os/clock.h"

/* The last change of a backend's state that is still on record. */
struct change {
	uint64_t wall_ns; /* 0: none is */
	enum event_cause cause;
	uint32_t failures;
	char reason[sizeof((struct event *)0)->reason];
};

struct listing {
	const struct api *api;
	const char *wanted_pool;    /* NULL: any */
	const char *wanted_backend; /* NULL: any */
	struct page *page;
	struct totals totals;
	struct change *changes; /* owned; by slot */
	bool *listed;           /* owned; by slot: a configuration names it */
	uint32_t count;
};

static bool is_change(const struct event *event)
{
	return event->kind == EVENT_BACKEND_HEALTH || event->kind == EVENT_BACKEND_ADMIN;
}

/* From the newest on: the first that is found of a backend is its last. */
static void find_changes(const struct listing *listing)
{
	const struct event_ring *ring = listing->api->shm->events;
	const uint64_t last = atomic_load_explicit(&ring->last, memory_order_acquire);
	struct event event;

	for (uint64_t i = 0; i < EVENT_RING_SIZE && i < last; i++) {
		struct change *change;

		if (!event_read(ring, last - i, &event) || !is_change(&event) ||
			event.subject >= listing->totals.slot_count) {
			continue;
		}
		change = &listing->changes[event.subject];
		if (change->wall_ns == 0) {
			change->wall_ns = event.wall_ns;
			change->cause = event.cause;
			change->failures = event.failures;
			memcpy(change->reason, event.reason, sizeof change->reason);
		}
	}
}

static json_t *failures(const struct slot_counters *counters)
{
	json_t *object = json_object();

	for (int i = 0; i < FAILURE_REASON_COUNT; i++) {
		const json_int_t count = (json_int_t)counter_get(&counters->failures[i]);

		if (json_object_set_new(object, failure_reason_name((enum failure_reason)i),
			    json_integer(count)) != 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

static json_int_t sum_of_failures(const struct slot_counters *counters)
{
	uint64_t sum = 0;

	for (int i = 0; i < FAILURE_REASON_COUNT; i++) {
		sum += counter_get(&counters->failures[i]);
	}
	return (json_int_t)sum;
}

/*
 * Of a backend without a change on record: one that never had any is as it began, and as long as
 * the first configuration holds, that was when the process did.
 */
static void assume_start(const struct listing *listing, uint32_t index, struct change *change)
{
	const struct process_state *process = &listing->api->shm->header->process;
	const struct slot *slot = &listing->api->shm->slots[index];
	const uint64_t age_ns = clock_monotonic_ns() - counter_get(&process->started_ns);
	uint64_t changes = 0;

	for (int from = 0; from < HEALTH_STATE_COUNT; from++) {
		for (int to = 0; to < HEALTH_STATE_COUNT; to++) {
			changes += counter_get(&slot->transitions[from][to]);
		}
	}
	if (changes == 0 && counter_get(&process->started_ns) != 0 &&
		counter_get(&process->config_generation) == 1) {
		change->wall_ns = clock_wall_ns() - age_ns;
		change->cause = CAUSE_CONFIGURATION;
	}
}

static json_t *since(const struct listing *listing, uint32_t index)
{
	struct change *change = &listing->changes[index];
	const uint64_t now_ns = clock_wall_ns();

	if (change->wall_ns == 0) {
		assume_start(listing, index, change);
	}
	if (change->wall_ns == 0) {
		return json_null();
	}
	return json_pack("{s:o, s:o, s:s, s:o, s:i}", "time", json_time(change->wall_ns), "seconds",
		json_seconds(now_ns > change->wall_ns ? now_ns - change->wall_ns : 0), "cause",
		event_cause_name(change->cause), "reason", json_text_or_null(change->reason),
		"failures", (int)change->failures);
}

/* `member` is NULL for one that is no longer in the snapshot. */
static json_t *describe(const struct listing *listing, uint32_t index, const char *pool,
	const struct snapshot_member *member, bool removed)
{
	const struct slot *slot = &listing->api->shm->slots[index];
	const struct slot_counters *counters = &listing->totals.slots[index];
	const char *state = removed ? "removed" : shown_state_name(shown_state_of(slot));

	return json_pack("{s:o, s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:o}",
		"pool", json_text(pool), "backend", json_text(slot->identity.name), "address",
		member == NULL ? json_null() : json_text(member->address), "state", state, "admin",
		admin_state_name(atomic_load_explicit(&slot->admin, memory_order_acquire)),
		"weight", (json_int_t)atomic_load_explicit(&slot->weight, memory_order_relaxed),
		"max_connections", (json_int_t)(member == NULL ? 0 : member->max_connections),
		"sessions", (json_int_t)totals_slot_active(counters), "connections",
		(json_int_t)counter_get(&counters->established), "connect_failures",
		sum_of_failures(counters), "connect_failures_by_reason", failures(counters),
		"received_bytes", (json_int_t)counter_get(&counters->received_bytes), "sent_bytes",
		(json_int_t)counter_get(&counters->sent_bytes), "since", since(listing, index));
}

static void list_one(struct listing *listing, uint32_t index, const char *pool,
	const struct snapshot_member *member, bool removed)
{
	const char *name = listing->api->shm->slots[index].identity.name;

	if ((listing->wanted_pool != NULL && strcmp(listing->wanted_pool, pool) != 0) ||
		!api_is_backend(listing->wanted_backend, pool, name)) {
		return;
	}
	page_add(listing->page, listing->count > 0 ? ",\n" : "\n", listing->count > 0 ? 2 : 1);
	json_add(listing->page, describe(listing, index, pool, member, removed));
	listing->count++;
}

static void list_pool(struct listing *listing, const struct snapshot_pool *pool)
{
	for (uint32_t i = 0; i < pool->member_count; i++) {
		const uint32_t slot = pool->members[i].slot;

		/* One that came after the counters were read is in the next answer. */
		if (slot < listing->totals.slot_count) {
			listing->listed[slot] = true;
			list_one(listing, slot, pool->name, &pool->members[i], pool->leaving);
		}
	}
}

/* Those that are no longer in the snapshot, until their last session has ended. */
static void list_removed(struct listing *listing)
{
	const struct shm *shm = listing->api->shm;

	for (uint32_t i = 0; i < listing->totals.slot_count; i++) {
		const uint32_t pool = shm->slots[i].identity.parent;

		if (!listing->listed[i] && pool < POOLS_MAX &&
			totals_slot_active(&listing->totals.slots[i]) > 0) {
			list_one(listing, i, shm->pools[pool].identity.name, NULL, true);
		}
	}
}

static void list_all(struct listing *listing, const struct snapshot *snapshot)
{
	static const char head[] = "{\"backends\":[";
	static const char tail[] = "]}";

	page_add(listing->page, head, sizeof head - 1);
	for (uint32_t i = 0; snapshot != NULL && i < snapshot->pool_limit; i++) {
		const struct snapshot_pool *pool = snapshot_pool(snapshot, i);

		if (pool != NULL) {
			list_pool(listing, pool);
		}
	}
	list_removed(listing);
	page_add(listing->page, tail, sizeof tail - 1);
}

struct answer api_backends(const struct http_call *call)
{
	const struct api *api = call->context;
	struct page page = page_begin();
	struct listing listing = {
		.api = api,
		.wanted_pool = route_parameter(call, "pool"),
		.wanted_backend = route_parameter(call, "backend"),
		.page = &page,
	};
	struct answer refusal;

	if (!api_knows_names(call, &refusal)) {
		return refusal;
	}
	if (totals_read(api->shm, &listing.totals) < 0) {
		return answer_error(HTTP_UNAVAILABLE, "out of memory");
	}
	listing.changes = calloc(listing.totals.slot_count + 1U, sizeof *listing.changes);
	listing.listed = calloc(listing.totals.slot_count + 1U, sizeof *listing.listed);
	if (listing.changes == NULL || listing.listed == NULL) {
		page.failed = true;
	} else {
		find_changes(&listing);
		list_all(&listing, snapshot_current(api->store));
	}
	free(listing.changes);
	free(listing.listed);
	totals_done(&listing.totals);
	return api_page(&page);
}
