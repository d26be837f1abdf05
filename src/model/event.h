/*
 * The one function through which every change of state goes.
 *
 * A change of a listener, pool, backend, of the configuration or of the process is recorded with
 * its cause: which observations, which threshold, which generation. The record lies in a ring in
 * shared memory, and the log line and the transition counters are made from the same values, so
 * that they cannot disagree.
 *
 * Threads: event_record() by control alone (which is the first thread, so start and stop too);
 * the ring may be read by anybody: each entry carries its number, stored last, and a reader
 * checks it before and after copying.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/limits.h"
#include "model/slot.h"

enum event_kind {
	EVENT_PROCESS_STARTED,
	EVENT_PROCESS_STOPPING,
	EVENT_PROCESS_STOPPED,
	EVENT_LISTENER_OPENED,
	EVENT_LISTENER_CLOSED,
	EVENT_CONFIG_LOADED,
	EVENT_CONFIG_REFUSED,
	EVENT_BACKEND_HEALTH,     /* from, to: enum health_state */
	EVENT_BACKEND_ADMIN,      /* from, to: enum admin_state */
	EVENT_BACKEND_HELD,       /* an ejection was withheld: the last one, or max_ejected */
	EVENT_BACKEND_RESOLVED,   /* a name has (another) address now */
	EVENT_BACKEND_UNRESOLVED, /* a name could not be looked up */
	EVENT_POOL_FALLBACK,      /* to: 1 none is healthy, 0 one is again */
	EVENT_WORKER_RESTARTED,   /* the worker process has died, and another one goes on */
	EVENT_UPGRADED,           /* another binary goes on */
	EVENT_UPGRADE_REFUSED,    /* it could not: this one goes on */
	EVENT_KIND_COUNT,
};

/* What tipped the scale. */
enum event_cause {
	CAUSE_NONE,
	CAUSE_TRAFFIC, /* observations of real sessions */
	CAUSE_PROBE,   /* observations of probes */
	CAUSE_SESSIONS_ENDED,
	CAUSE_OPERATOR,
	CAUSE_CONFIGURATION,
	CAUSE_SIGNAL,
	CAUSE_RESOLVER,
	CAUSE_COUNT,
};

enum { EVENT_DETAIL_MAX = 96 };

struct event {
	_Atomic uint64_t number; /* from 1; set by event_record() */
	uint64_t wall_ns;        /* set by event_record() */
	enum event_kind kind;
	enum event_cause cause;
	uint32_t subject; /* index of the listener, pool or slot */
	uint32_t from;
	uint32_t to;
	uint32_t failures;     /* consecutive, at the moment of the change */
	uint32_t successes;    /* consecutive */
	uint32_t threshold;    /* the one that was reached */
	uint64_t sessions;     /* running on the subject */
	uint64_t generation;   /* of the configuration */
	uint64_t hold_down_ms; /* for how long it stays out at least */
	char reason[24];       /* "refused", "timeout", ...: the last observation; may be empty */
	char pool[IDENTITY_NAME_MAX]; /* names at the moment of the change; may be empty */
	char name[IDENTITY_NAME_MAX];
	char detail[EVENT_DETAIL_MAX]; /* for people; may be empty */
};

struct event_ring {
	_Atomic uint64_t last; /* the highest number that was recorded; 0: none */
	struct event entries[EVENT_RING_SIZE];
};

/* Who else wants to know (the log). Called by event_record() on its thread. */
typedef void event_listener(const struct event *event, void *context);

struct event_log {
	struct event_ring *ring; /* borrowed: shared memory */
	event_listener *listener;
	void *context;
};

/* Records a copy of *event (number and time are set here) and tells the listener. */
void event_record(struct event_log *log, const struct event *event);

/* Copies entry `number`; false when it is not there or was overwritten meanwhile. */
bool event_read(const struct event_ring *ring, uint64_t number, struct event *ret_event);

const char *event_kind_name(enum event_kind kind);    /* "backend_health", ... */
const char *event_cause_name(enum event_cause cause); /* "traffic", "probe", ... */
