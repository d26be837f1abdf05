#include <string.h>
#include <unistd.h>

#include "model/shm.h"
#include "model/snapshot.h"
#include "observe/api_internal.h"
#include "observe/ready.h"
#include "observe/shown.h"
#include "observe/totals.h"
#include "os/clock.h"
#include "os/process.h"

static const char *const phase_names[] = {
	[PHASE_STARTING] = "starting",
	[PHASE_RUNNING] = "running",
	[PHASE_LAME_DUCK] = "lame_duck",
	[PHASE_DRAINING] = "draining",
	[PHASE_STOPPED] = "stopped",
};

static json_t *number(const counter_t *counter)
{
	return json_integer((json_int_t)counter_get(counter));
}

static const char *pool_name(const struct snapshot *snapshot, uint32_t id)
{
	const struct snapshot_pool *pool = snapshot_pool(snapshot, id);

	return pool == NULL ? "" : pool->name;
}

static json_t *one_listener(const struct api *api, const struct snapshot *snapshot,
	const struct snapshot_listener *listener, const struct totals *totals)
{
	const struct listener_entry *entry = &api->shm->listeners[listener->id];
	const struct listener_counters *counters =
		listener->id < totals->listener_count ? &totals->listeners[listener->id] : NULL;

	return json_pack("{s:o, s:o, s:o, s:b, s:b, s:I, s:I, s:I}", "name",
		json_text(listener->name), "address", json_text(listener->address), "pool",
		json_text(pool_name(snapshot, listener->pool)), "open",
		atomic_load_explicit(&entry->open, memory_order_acquire) != 0, "leaving",
		listener->leaving, "active",
		(json_int_t)(counters == NULL ? 0 : totals_listener_active(counters)),
		"max_connections", (json_int_t)listener->max_connections, "connections",
		(json_int_t)(counters == NULL ? 0 : counter_get(&counters->connections)));
}

static json_t *listeners(
	const struct api *api, const struct snapshot *snapshot, const struct totals *totals)
{
	json_t *list = json_array();

	for (uint32_t i = 0; snapshot != NULL && i < snapshot->listener_limit; i++) {
		const struct snapshot_listener *listener = snapshot_listener(snapshot, i);

		if (listener != NULL) {
			list = api_append(list, one_listener(api, snapshot, listener, totals));
		}
	}
	return list;
}

static json_t *one_pool(
	const struct api *api, const struct snapshot_pool *pool, const struct totals *totals)
{
	json_int_t states[SHOWN_COUNT] = {0};
	uint64_t sessions = 0;

	for (uint32_t i = 0; i < pool->member_count; i++) {
		const uint32_t slot = pool->members[i].slot;

		states[shown_state_of(&api->shm->slots[slot])]++;
		if (slot < totals->slot_count) {
			sessions += totals_slot_active(&totals->slots[slot]);
		}
	}
	return json_pack("{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:b}", "name",
		json_text(pool->name), "algorithm", pool->algorithm_name, "healthy",
		states[SHOWN_HEALTHY], "draining", states[SHOWN_DRAINING], "unhealthy",
		states[SHOWN_UNHEALTHY], "maintenance", states[SHOWN_MAINTENANCE], "sessions",
		(json_int_t)sessions, "fallback", pool->fallback, "leaving", pool->leaving);
}

static json_t *pools(
	const struct api *api, const struct snapshot *snapshot, const struct totals *totals)
{
	json_t *list = json_array();

	for (uint32_t i = 0; snapshot != NULL && i < snapshot->pool_limit; i++) {
		const struct snapshot_pool *pool = snapshot_pool(snapshot, i);

		if (pool != NULL) {
			list = api_append(list, one_pool(api, pool, totals));
		}
	}
	return list;
}

/* What keeps /readyz from saying yes, without its newline; NULL: nothing. */
static json_t *refusal(const struct api *api, const struct snapshot *snapshot)
{
	const char *text = ready_refusal(api->shm, snapshot);

	return text == NULL ? json_null() : json_stringn(text, strcspn(text, "\n"));
}

static json_t *config(const struct process_state *process)
{
	return json_pack("{s:o, s:b, s:o}", "generation", number(&process->config_generation),
		"last_reload_successful",
		atomic_load_explicit(&process->reload_successful, memory_order_acquire) != 0,
		"last_reload", json_time(counter_get(&process->reload_wall_ns)));
}

/* The attempts first: who sees the number sees the state of that attempt, or a later one. */
static json_t *upgrade(const struct process_state *process)
{
	const json_int_t attempts = (json_int_t)counter_get(&process->upgrade_attempts);
	uint32_t state;
	char reason[UPGRADE_REASON_MAX];

	atomic_thread_fence(memory_order_acquire);
	state = atomic_load_explicit(&process->upgrade_state, memory_order_acquire);
	memcpy(reason, process->upgrade_reason, sizeof reason - 1);
	reason[sizeof reason - 1] = '\0';
	return json_pack("{s:I, s:s, s:o, s:o}", "attempts", attempts, "state",
		upgrade_state_name(
			state < UPGRADE_STATE_COUNT ? (enum upgrade_state)state : UPGRADE_NONE),
		"reason", json_text_or_null(reason), "upgrades", number(&process->upgrades));
}

static json_t *status(
	const struct api *api, const struct snapshot *snapshot, const struct totals *totals)
{
	const struct process_state *process = &api->shm->header->process;
	const uint32_t phase = atomic_load_explicit(&process->phase, memory_order_acquire);
	const uint64_t started_ns = counter_get(&process->started_ns);
	const char *not_ready = ready_refusal(api->shm, snapshot);

	return json_pack("{s:s, s:I, s:o, s:s, s:b, s:o, s:I, s:I, s:I, s:{s:I, s:o}, s:o, "
			 "s:o, s:{s:o}, s:o, s:o}",
		"version", api->version, "pid", (json_int_t)process_main(), "uptime_seconds",
		started_ns == 0 ? json_null() : json_seconds(clock_monotonic_ns() - started_ns),
		"phase", phase_names[phase <= PHASE_STOPPED ? phase : PHASE_STOPPED], "ready",
		not_ready == NULL, "not_ready_because", refusal(api, snapshot), "sessions",
		(json_int_t)shm_sessions(api->shm), "max_sessions",
		(json_int_t)api->shm->sessions_per_worker, "workers", (json_int_t)api->shm->workers,
		"worker", "pid", (json_int_t)getpid(), "restarts",
		number(&process->worker_restarts), "upgrade", upgrade(process), "config",
		config(process), "snapshot", "version", number(&process->snapshot_version),
		"listeners", listeners(api, snapshot, totals), "pools",
		pools(api, snapshot, totals));
}

struct answer api_status(const struct http_call *call)
{
	const struct api *api = call->context;
	struct page page = page_begin();
	struct totals totals;

	if (totals_read(api->shm, &totals) < 0) {
		return answer_error(HTTP_UNAVAILABLE, "out of memory");
	}
	json_add(&page, status(api, snapshot_current(api->store), &totals));
	totals_done(&totals);
	return api_page(&page);
}
