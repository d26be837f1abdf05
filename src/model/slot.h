/*
 * Listeners, pools and backends as lasting identities in shared memory.
 *
 * A slot is the counted, lasting half of a backend: it keeps its name, its health and its
 * counters while snapshots come and go. Listeners and pools have the same kind of entry. An
 * entry is found by name, so that a reload, a new worker process and a new binary find the
 * counters of their predecessors.
 *
 * Threads: control alone adds entries and writes health, admin state and transitions. Each
 * worker writes its own block of counters (see shm.h) and nothing else. Anybody reads: `used`
 * is stored last (release) and loaded first (acquire); the names never change after it.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "base/sockaddr.h"
#include "model/alternate.h"
#include "model/counter.h"
#include "model/limits.h"

/* Zero is not a state, so a forgotten cell of a transition table cannot pass for one. */
enum health_state {
	HEALTH_UNSET = 0, /* of a slot: no configuration names it (yet, or any more) */
	HEALTH_HEALTHY,   /* takes new sessions */
	HEALTH_DRAINING,  /* takes none; waits for the running ones to end */
	HEALTH_UNHEALTHY, /* takes none, and has none */
	HEALTH_STATE_COUNT,
};

enum admin_state {
	ADMIN_READY,
	ADMIN_DRAIN,
	ADMIN_MAINTENANCE,
	ADMIN_STATE_COUNT,
};

/* Why a connect failed. The order is that of the label `reason`. */
enum failure_reason {
	FAILURE_REFUSED,
	FAILURE_TIMEOUT,
	FAILURE_UNREACHABLE,
	FAILURE_RESET,
	FAILURE_RESOURCE, /* our own trouble: never held against the backend */
	FAILURE_REASON_COUNT,
};

enum check_result {
	CHECK_SUCCESS,
	CHECK_REFUSED,
	CHECK_TIMEOUT,
	CHECK_ERROR,
	CHECK_RESULT_COUNT,
};

enum closed_by {
	CLOSED_BY_CLIENT,
	CLOSED_BY_BACKEND,
	CLOSED_BY_PROXY,
	CLOSED_BY_COUNT,
};

enum close_reason {
	CLOSE_END,
	CLOSE_RESET,
	CLOSE_IDLE_TIMEOUT,
	CLOSE_HALF_CLOSE_TIMEOUT,
	CLOSE_CONNECT_FAILED,
	CLOSE_NO_BACKEND,
	CLOSE_DRAIN,
	CLOSE_KILLED,
	CLOSE_ERROR,
	CLOSE_REASON_COUNT,
};

enum reject_reason {
	REJECT_LIMIT,
	REJECT_DESCRIPTORS,
	REJECT_MEMORY,
	REJECT_REASON_COUNT,
};

/* The errors of accept() that are counted one by one; the rest is "other". */
enum accept_error {
	ACCEPT_EMFILE,
	ACCEPT_ENFILE,
	ACCEPT_ENOBUFS,
	ACCEPT_ENOMEM,
	ACCEPT_ECONNABORTED,
	ACCEPT_EPROTO,
	ACCEPT_OTHER,
	ACCEPT_ERROR_COUNT,
};

enum {
	CONNECT_BUCKET_COUNT = 16, /* 1, 2.5, 5 per decade from 100us to 10s */
	SESSION_BUCKET_COUNT = 9,  /* decades from 1ms to 10,000s, and 1d */
};

/* Upper bounds, in nanoseconds; what is above the last one counts in the sum and count alone. */
extern const uint64_t connect_bucket_ns[CONNECT_BUCKET_COUNT];
extern const uint64_t session_bucket_ns[SESSION_BUCKET_COUNT];

/* The words of the labels, indexed by the enums above. */
const char *health_state_name(enum health_state state);
const char *admin_state_name(enum admin_state state);
const char *failure_reason_name(enum failure_reason reason);
const char *check_result_name(enum check_result result);
const char *closed_by_name(enum closed_by by);
const char *close_reason_name(enum close_reason reason);
const char *reject_reason_name(enum reject_reason reason);
const char *accept_error_name(enum accept_error error); /* "EMFILE", ..., "other" */

/* How an errno (> 0) of connect() is counted, for sessions and probes alike. */
enum failure_reason failure_reason_of_errno(int code);

struct slot;
struct slot_recall;

/* Control only: keeps the values, and what of them a successor would find. False: damaged. */
void slot_keep(struct slot *slot, const struct slot_recall *values);
bool slot_recall(const struct slot *slot, struct slot_recall *ret_values);

/* So that nobody who has begun to show it while it had a session is still at it. */
enum { GONE_FOR_GOOD = 3 };

/* What each kind of entry begins with. Written by control. */
struct identity {
	_Atomic uint32_t used; /* 0: free; else the generation of this use, never 0 */
	uint32_t parent;       /* a slot's pool; unused elsewhere */
	/*
	 * 0: a configuration names it. Else how many reloads have found it without a name and
	 * without a session, and one more: from GONE_FOR_GOOD on it may be given another name.
	 */
	_Atomic uint32_t gone;
	char name[IDENTITY_NAME_MAX];
};

struct listener_entry {
	struct identity identity;
	_Atomic uint32_t open; /* whether its sockets are up */
	/* As last configured: sessions outlive the listener that they came by. 0: off. */
	counter_t idle_ns;
	counter_t half_close_ns;
};

struct pool_entry {
	struct identity identity;
	_Atomic uint32_t failed; /* none of its backends is healthy, as the last event said */
	/* The shared turn of round robin: survives snapshots, so the order goes on. */
	_Alignas(CACHE_LINE) _Atomic uint64_t turn;
};

/*
 * What the health machine knows of a backend beside its state (control/health_fsm.h), so that a
 * reload and a successor of the process go on where it was. The check word, stored last, covers
 * all of it and the state: whoever dies between two stores leaves what slot_recall() refuses.
 */
struct slot_memory {
	_Alignas(CACHE_LINE) counter_t changed_ns; /* monotonic, like all of these */
	counter_t recovered_ns;
	counter_t held_until_ns;
	_Atomic uint32_t failures;
	_Atomic uint32_t successes;
	_Atomic uint32_t holds;
	counter_t check;
};

/* The same as plain values. */
struct slot_recall {
	uint64_t changed_ns;
	uint64_t recovered_ns;
	uint64_t held_until_ns;
	uint32_t failures;
	uint32_t successes;
	uint32_t holds;
};

enum { SLOT_ADDRESS_MAX = ADDRESS_HOST_MAX + 10 };

struct slot {
	struct identity identity;
	ONLY_ALTERNATE(uint64_t mark;)
	_Atomic uint32_t health;        /* enum health_state */
	_Atomic uint32_t admin;         /* enum admin_state */
	_Atomic uint32_t weight;        /* in force: as configured, or as an operator has said */
	_Atomic uint32_t wants_success; /* whether a worker shall report successes: 0 or 1 */
	counter_t since_ns;             /* monotonic: when `health` was entered */
	struct slot_memory memory;
	/*
	 * Taken out by an operator or a reload: its sessions are cut then, the idle ones in the
	 * last tenth of the time that they were given. 0: they may stay for as long as they like.
	 */
	counter_t drain_end_ns;
	counter_t backend_drain_ns; /* as configured; 0: off */
	/* Control's alone, for a reload and a successor. */
	uint32_t configured_weight;
	char configured_address[SLOT_ADDRESS_MAX]; /* canonical */
	struct sockaddr_any place;                 /* where it is; length 0: not known */
	counter_t transitions[HEALTH_STATE_COUNT][HEALTH_STATE_COUNT]; /* [from][to] */
	counter_t checks[CHECK_RESULT_COUNT];
};

/* A worker's counters of one listener. */
struct listener_counters {
	_Alignas(CACHE_LINE) counter_t connections; /* accepted */
	counter_t closed;                           /* active = connections - closed */
	counter_t claimed;        /* admitted or about to be: what a limit is held against */
	counter_t released;       /* of those */
	counter_t received_bytes; /* read from clients */
	counter_t sent_bytes;     /* written to clients */
	counter_t rejected[REJECT_REASON_COUNT];
	counter_t accept_errors[ACCEPT_ERROR_COUNT];
};

/* A worker's counters of one pool. */
struct pool_counters {
	_Alignas(CACHE_LINE) counter_t retries;
	counter_t no_backend;
	counter_t closed[CLOSED_BY_COUNT][CLOSE_REASON_COUNT];
	counter_t duration[SESSION_BUCKET_COUNT + 1]; /* not cumulative; the last is the rest */
	counter_t duration_sum_ns;
};

/* A worker's counters of one slot. */
struct slot_counters {
	_Alignas(CACHE_LINE) counter_t started; /* an attempt to connect began */
	counter_t finished;                     /* it failed, or its session ended */
	counter_t established;
	counter_t received_bytes; /* read from the backend */
	counter_t sent_bytes;     /* written to the backend */
	counter_t failures[FAILURE_REASON_COUNT];
	counter_t connect[CONNECT_BUCKET_COUNT + 1]; /* not cumulative; the last is the rest */
	counter_t connect_sum_ns;
};
