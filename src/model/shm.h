/*
 * The memory that outlives a worker process: one memfd, mapped by whoever needs it.
 *
 *   header | listeners | pools | slots | events | rings
 *          | counters and session records of each worker
 *          | journals | pipes | chunks | receive buffers | chunk bytes
 *          | configuration | listening sockets of each worker | lanes and their bytes
 *
 * No pointers inside: everything is found by index. The file is as large as the limits allow and
 * sparse: only what is used is ever touched. The header describes all that follows, field by
 * field, so that another version of the program can take the memory over: shm_layout.h has the
 * tables, docs/survival.md the rule for whoever changes a record.
 *
 * Owner:    the process that created it, until shm_destroy(); the descriptor is not
 *           close-on-exec, so that it can be handed on.
 * Threads:  created and destroyed by the first thread; who may write what is said where the
 *           parts are declared (slot.h, evidence.h, event.h, listen_record.h, session_record.h).
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/alternate.h"
#include "model/config_text.h"
#include "model/event.h"
#include "model/evidence.h"
#include "model/layout.h"
#include "model/listen_record.h"
#include "model/session_record.h"
#include "model/slot.h"

struct error;

enum process_phase {
	PHASE_STARTING,
	PHASE_RUNNING,
	PHASE_LAME_DUCK, /* /readyz says no, everything else goes on */
	PHASE_DRAINING,  /* the listeners are closing or closed; sessions finish */
	PHASE_STOPPED,
};

/* How the last upgrade of the binary stands. */
enum upgrade_state {
	UPGRADE_NONE,
	UPGRADE_TRIAL,   /* the new program is asked whether it could take over */
	UPGRADE_PARKING, /* the worker process is to leave all as it is, and end */
	UPGRADE_DONE,
	UPGRADE_REFUSED,
	UPGRADE_STATE_COUNT,
};

const char *upgrade_state_name(enum upgrade_state state);

enum { UPGRADE_REASON_MAX = 96 };

/*
 * Of the process as a whole. Control writes, anybody reads; the restarts and what is about upgrades
 * is the supervisor's but for the wish.
 */
struct process_state {
	ONLY_ALTERNATE(uint64_t mark;)
	_Atomic uint32_t phase; /* enum process_phase */
	_Atomic uint32_t reload_successful;
	counter_t snapshot_version;
	counter_t config_generation;
	counter_t reload_wall_ns; /* of the last load of the configuration, good or bad */
	counter_t worker_restarts;
	counter_t upgrades;
	counter_t log_lines_dropped;
	counter_t upgrades_wanted; /* how often the worker process has asked for one */
	counter_t upgrade_attempts;
	_Atomic uint32_t upgrade_state;          /* enum upgrade_state; stored last */
	char upgrade_reason[UPGRADE_REASON_MAX]; /* why it was refused */
	/* One more than the highest number of a listening socket so far; only grows. Control. */
	_Atomic uint32_t listen_limit;
	counter_t started_ns;     /* monotonic: when the first process of the line began */
	counter_t drain_since_ns; /* monotonic: since when it drains; 0: it does not */
	counter_t past_cpu_ns;    /* of the worker processes before this one. Supervisor. */
	/* The array of loads (os/steering.h), whose descriptor outlives the process. */
	_Atomic int32_t steering_fd;     /* 0: none */
	_Atomic uint32_t steering_error; /* errno of what kept it from some listener; 0: nothing */
};

/* From what a session was continued in a new worker process. The order is that of the label. */
enum continued_from {
	CONTINUED_WHOLE,      /* all that was consumed had been handed over */
	CONTINUED_BUFFER,     /* caught between recv() and send() */
	CONTINUED_CHUNK,      /* with left-over bytes in a chunk */
	CONTINUED_PIPE,       /* with bytes in a pipe */
	CONTINUED_CONNECTING, /* connected again: nothing had been consumed */
	CONTINUED_ACCEPTED,   /* taken from the queue, and not yet on record */
	CONTINUED_ENDING,     /* lingering, or about to be reset */
	CONTINUED_COUNT,
};

/* Why a session was not. */
enum lost_reason {
	LOST_DAMAGED,    /* its record contradicts itself, another one, or the kernel */
	LOST_UNPROVABLE, /* consumed is not sent plus held */
	LOST_REPEATED,   /* to take it over has ended several worker processes */
	LOST_REASON_COUNT,
};

/*
 * What one worker says about itself. The worker writes, anybody reads. The last part is for the
 * worker process after it: what it may find in use, and where.
 */
struct worker_state {
	ONLY_ALTERNATE(_Alignas(CACHE_LINE) uint64_t mark;)
	ONLY_STANDARD(_Alignas(CACHE_LINE))
	counter_t heartbeat;             /* turns of its loop, and steps of long ones */
	counter_t sessions;              /* records in use */
	_Atomic uint32_t listeners_open; /* its live listening sockets */
	_Atomic uint32_t stopped;        /* its thread has left the loop */
	_Atomic uint32_t awake;          /* 0: asleep until an event */
	_Atomic uint32_t thread_id;      /* of the kernel */
	_Atomic uint32_t records_used;   /* records above have never been used */
	_Atomic uint32_t chunks_used;
	_Atomic uint32_t pipes_used;
	_Atomic int32_t epoll_fd; /* 0: none */
	_Atomic int32_t wake_fd;  /* 0: none */
	/* Places that it has taken beyond `sessions`, for clients that it is letting in. */
	_Atomic uint32_t accepting;
	counter_t continued[CONTINUED_COUNT];
	counter_t lost[LOST_REASON_COUNT];
};

const char *continued_from_name(enum continued_from from);
const char *lost_reason_name(enum lost_reason reason);

struct shm_header {
	struct layout_head layout; /* its version is RECORD_VERSION */
	struct process_state process;
	/* What `layout` counts and points to: written once. */
	struct layout_part parts[LAYOUT_PARTS_MAX];
	struct layout_field fields[LAYOUT_FIELDS_MAX];
};

struct shm {
	int fd; /* owned */
	size_t bytes;
	uint32_t workers;
	uint32_t sessions_per_worker;
	/* All below point into the mapping. */
	struct shm_header *header;
	struct config_text *config_text;
	struct listener_entry *listeners; /* LISTENERS_MAX */
	struct pool_entry *pools;         /* POOLS_MAX */
	struct slot *slots;               /* SLOTS_MAX */
	struct event_ring *events;
	struct worker_state *worker_states;          /* by worker */
	struct evidence_ring *evidence;              /* by worker */
	struct command_ring *commands;               /* by worker */
	struct listener_counters *listener_counters; /* worker-major: shm_listener_counters() */
	struct pool_counters *pool_counters;
	struct slot_counters *slot_counters;
	struct listen_record *listen_records; /* worker-major, LISTEN_SOCKETS_MAX each */
	struct session_record *records;       /* worker-major */
	struct journal *journals;             /* by worker */
	struct pipe_record *pipes;            /* worker-major, PIPES_PER_WORKER each */
	struct chunk *chunks;                 /* worker-major, CHUNKS_PER_WORKER each */
	uint8_t *receive_buffers;             /* worker-major */
	uint8_t *chunk_bytes;                 /* worker-major */
	struct journal *lanes;                /* worker-major, LANES_PER_WORKER each */
	uint8_t *lane_bytes;                  /* worker-major */
};

/*
 * Creates, sizes, seals and maps the memory. `workers` is 1 to WORKERS_MAX, `sessions` (the most
 * that one worker may hold) 1 to SESSIONS_MAX. Returns 0 or a negative errno with nothing left
 * behind.
 */
int shm_create(uint32_t workers, uint32_t sessions, struct shm *ret_shm, struct error *err);

/*
 * Maps a memory that another process image made, if its layout is exactly that of this program:
 * else -EPROTO (and shm_convert() may do). Takes `fd` over when it returns 0. What the memory
 * holds is input, not truth: only that all parts lie inside it has been seen to.
 */
int shm_attach(int fd, struct shm *ret_shm, struct error *err);

/*
 * Makes a new memory and copies into it what another one of whatever layout holds. The old one
 * stays as it is, and its descriptor the caller's. Nobody may write to it meanwhile. Returns 0 or
 * a negative errno with nothing left behind: -EPROTO, the memory is not one that this program
 * could take over; -ERANGE, something in it does not fit.
 */
int shm_convert(int fd, struct shm *ret_shm, struct error *err);

/*
 * Whether shm_attach() or shm_convert() would succeed now. Changes nothing; while others write to
 * the memory the answer may be of a moment between two of their stores.
 */
bool shm_understands(int fd, struct error *err);

/* Forgets what is queued between the threads of a process that has died. */
void shm_reset_rings(struct shm *shm);

/* Unmaps and closes. */
void shm_destroy(struct shm *shm);

static inline struct listener_counters *shm_listener_counters(
	const struct shm *shm, uint32_t worker, uint32_t listener)
{
	return &shm->listener_counters[(size_t)worker * LISTENERS_MAX + listener];
}

static inline struct pool_counters *shm_pool_counters(
	const struct shm *shm, uint32_t worker, uint32_t pool)
{
	return &shm->pool_counters[(size_t)worker * POOLS_MAX + pool];
}

static inline struct slot_counters *shm_slot_counters(
	const struct shm *shm, uint32_t worker, uint32_t slot)
{
	return &shm->slot_counters[(size_t)worker * SLOTS_MAX + slot];
}

static inline struct listen_record *shm_listen_record(
	const struct shm *shm, uint32_t worker, uint32_t number)
{
	return &shm->listen_records[(size_t)worker * LISTEN_SOCKETS_MAX + number];
}

/* How many numbers of listening sockets there are to look at; the same for all workers. */
static inline uint32_t shm_listen_limit(const struct shm *shm)
{
	return atomic_load_explicit(&shm->header->process.listen_limit, memory_order_acquire);
}

static inline struct session_record *shm_record(
	const struct shm *shm, uint32_t worker, uint32_t index)
{
	return &shm->records[(size_t)worker * shm->sessions_per_worker + index];
}

static inline uint8_t *shm_chunk_bytes(const struct shm *shm, uint32_t worker, uint32_t chunk)
{
	return shm->chunk_bytes + ((size_t)worker * CHUNKS_PER_WORKER + chunk) * CHUNK_BYTES;
}

/* Sessions on the slot now, connecting ones included: the sum over all workers. */
uint64_t shm_slot_sessions(const struct shm *shm, uint32_t slot);

/* Sessions that count against the listener's limit: the sum over all workers. */
uint64_t shm_listener_claims(const struct shm *shm, uint32_t listener);

/* Sessions that came by the listener and have not ended: the sum over all workers. */
uint64_t shm_listener_sessions(const struct shm *shm, uint32_t listener);

/* Sessions now: the sum over all workers. */
uint64_t shm_sessions(const struct shm *shm);

/* Sessions now and those for which a worker that is letting clients in has taken the place. */
uint64_t shm_places_taken(const struct shm *shm);

/*
 * The lowest number from `first` on whose record is free in all workers, or -1. Control (or main)
 * only, which fills them in then.
 */
int shm_listen_number(struct shm *shm, uint32_t first);

/*
 * The index of the entry of that name (for a slot: of that name in pool `parent`), made new when
 * there is none; when the table is full, in place of one that is gone for good. Returns
 * -1 when there is none of those either. Control only.
 */
int shm_listener_index(struct shm *shm, const char *name);
int shm_pool_index(struct shm *shm, const char *name);
int shm_slot_index(struct shm *shm, uint32_t pool, const char *name);

/* At each reload, about every entry that is used. Control only. */
void shm_note_gone(struct identity *identity, bool named, uint64_t sessions);
