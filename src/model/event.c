#include "model/event.h"

#include <assert.h>
#include <string.h>

#include "os/clock.h"

static const char *const kind_names[EVENT_KIND_COUNT] = {
	[EVENT_PROCESS_STARTED] = "process_started",
	[EVENT_PROCESS_STOPPING] = "process_stopping",
	[EVENT_PROCESS_STOPPED] = "process_stopped",
	[EVENT_LISTENER_OPENED] = "listener_opened",
	[EVENT_LISTENER_CLOSED] = "listener_closed",
	[EVENT_CONFIG_LOADED] = "config_loaded",
	[EVENT_CONFIG_REFUSED] = "config_refused",
	[EVENT_BACKEND_HEALTH] = "backend_health",
	[EVENT_BACKEND_ADMIN] = "backend_admin",
	[EVENT_BACKEND_HELD] = "backend_held",
	[EVENT_BACKEND_RESOLVED] = "backend_resolved",
	[EVENT_BACKEND_UNRESOLVED] = "backend_unresolved",
	[EVENT_POOL_FALLBACK] = "pool_fallback",
	[EVENT_WORKER_RESTARTED] = "worker_restarted",
	[EVENT_UPGRADED] = "upgraded",
	[EVENT_UPGRADE_REFUSED] = "upgrade_refused",
};

static const char *const cause_names[CAUSE_COUNT] = {
	[CAUSE_NONE] = "none",
	[CAUSE_TRAFFIC] = "traffic",
	[CAUSE_PROBE] = "probe",
	[CAUSE_SESSIONS_ENDED] = "sessions_ended",
	[CAUSE_OPERATOR] = "operator",
	[CAUSE_CONFIGURATION] = "configuration",
	[CAUSE_SIGNAL] = "signal",
	[CAUSE_RESOLVER] = "resolver",
};

const char *event_kind_name(enum event_kind kind)
{
	assert(kind < EVENT_KIND_COUNT);
	return kind_names[kind];
}

const char *event_cause_name(enum event_cause cause)
{
	assert(cause < CAUSE_COUNT);
	return cause_names[cause];
}

/*
 * The entry's number is 0 while it is being written, so that a reader that copies at this very
 * moment sees two different numbers, or 0, and gives up on it.
 */
void event_record(struct event_log *log, const struct event *event)
{
	struct event_ring *ring = log->ring;
	const uint64_t number = atomic_load_explicit(&ring->last, memory_order_relaxed) + 1;
	struct event *entry = &ring->entries[number % EVENT_RING_SIZE];
	const size_t skip = sizeof entry->number;

	atomic_store_explicit(&entry->number, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	memcpy((char *)entry + skip, (const char *)event + skip, sizeof *entry - skip);
	entry->wall_ns = clock_wall_ns();
	atomic_store_explicit(&entry->number, number, memory_order_release);
	atomic_store_explicit(&ring->last, number, memory_order_release);
	if (log->listener != NULL) {
		log->listener(entry, log->context);
	}
}

bool event_read(const struct event_ring *ring, uint64_t number, struct event *ret_event)
{
	const struct event *entry = &ring->entries[number % EVENT_RING_SIZE];

	if (number == 0 || atomic_load_explicit(&entry->number, memory_order_acquire) != number) {
		return false;
	}
	memcpy(ret_event, entry, sizeof *ret_event);
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&entry->number, memory_order_relaxed) == number;
}
