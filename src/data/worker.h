/*
 * One thread of the data plane: its loop, its sessions, pools and counters.
 *
 * Shared-nothing: a worker has its own listening sockets, epoll, timer wheel, receive buffer and
 * records. It reads the current snapshot and writes its own counters; with control it speaks
 * through its two rings and two eventfds. On the way of a session nothing is locked, allocated or
 * logged.
 *
 * Owner:   main creates, starts, joins and frees it.
 * Threads: worker_create(), worker_start(), worker_join() and worker_free() by the first thread;
 *          everything else in this header by the worker's own thread.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "data/busy_poll.h"
#include "data/coalesce.h"
#include "data/deadlines.h"
#include "data/session.h"
#include "model/limits.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "os/socket.h"

struct access_ring;
struct attempt;
struct batch;
struct error;
struct steering_entry;

/* The upper half of epoll data: below these values it is session index << 1 | side. */
static const uint32_t WORKER_TAG_LISTENER = 0x80000000; /* with the number of the socket */
static const uint32_t WORKER_TAG_WAKE = 0xffffffff;

/* Pipes that nobody has used for so long are closed. */
static const uint64_t WORKER_SPARE_PIPES_NS = 1000 * 1000000ULL;

struct worker_setup {
	uint32_t index;
	struct shm *shm;                    /* borrowed */
	const struct snapshot_store *store; /* borrowed */
	struct access_ring *access;         /* borrowed; NULL: no access log */
	uint32_t max_sessions;              /* of all workers together */
	int wake_fd;                        /* borrowed eventfd: control writes after a command */
	int control_fd;                     /* borrowed eventfd: written after evidence */
	uint64_t seed;
	uint32_t batch_min; /* so many small messages of a turn share system calls; 0: none do */
	struct steering_entry *steering; /* borrowed; NULL: the kernel's hash spreads clients */
	bool inherit;                    /* go on with the sessions that are in shared memory */
	const struct orphan *orphans; /* copied; clients that were accepted and not yet recorded */
	uint32_t orphan_count;
};

/* A client's socket that belongs to no session yet. */
struct orphan {
	int fd; /* owned by the worker */
	uint32_t listener;
};

/* One direction of a session in the batch of this turn. */
struct lane {
	uint32_t index;    /* of the session */
	uint32_t received; /* bytes */
	uint8_t from;      /* enum side */
	bool open;         /* its journal is */
};

struct worker {
	struct worker_setup setup;
	pthread_t thread;
	int epoll_fd;
	uint64_t now_ns; /* read once per turn */
	struct rng rng;
	struct busy_poll busy_poll;
	struct coalesce coalesce;
	uint32_t event_count;       /* of this turn */
	struct deadlines deadlines; /* by session index */

	struct session_record *records; /* this worker's, in shared memory */
	struct session *sessions;       /* owned mapping; touched as it is used */
	struct attempt *attempts;       /* owned mapping */
	uint32_t capacity;              /* of the three */
	uint32_t used;                  /* indexes below this have been used at least once */
	uint32_t free_list;
	uint32_t dead_list;
	uint32_t ready_head;
	uint32_t ready_tail;
	uint32_t starved_list; /* waiting for a pipe */
	uint64_t starved_ns;   /* when they are served again */
	uint32_t attempt_used;
	uint32_t attempt_free;
	uint32_t full_pool; /* no backend of it had a place for a session, */
	uint64_t full_ns;   /* in the turn that began then; 0: none */

	struct listen_record *listen; /* LISTEN_SOCKETS_MAX of shared memory; open ones are ours */
	uint8_t *receive_buffer;      /* RECEIVE_BUFFER_BYTES of shared memory */
	struct journal *journal;
	struct batch *batch; /* owned by the thread; NULL: each call is made by itself */
	struct journal *lane_journals;
	uint8_t *lane_bytes; /* LANE_BYTES of shared memory for each of the lanes */
	uint32_t lane_count; /* in use */
	struct lane lane[LANES_PER_WORKER];
	struct chunk *chunks;
	uint32_t chunk_used;
	uint32_t chunk_free;
	uint32_t chunk_free_count;
	struct pipe_record *pipes;
	uint32_t pipe_used;
	uint32_t pipe_free;  /* records without a pipe */
	uint32_t pipe_spare; /* open and empty pipes that nobody uses */
	uint32_t pipe_spare_count;
	uint64_t spare_since_ns;  /* when a spare pipe was last given or taken */
	uint32_t bulk_pipe_count; /* lent to directions between TCP sockets */

	uint32_t inherited;       /* how many sessions may still have to be proven */
	uint32_t inherited_next;  /* index of the next one; then downwards, and around */
	uint32_t inherited_limit; /* indexes of inherited sessions lie below */
	struct orphan *orphans;   /* owned; until the thread has begun */

	uint64_t resume_accept_ns; /* 0: accepting; else when to try again */
	uint64_t freed_accept_ns;  /* the same if a session ends before */
	uint32_t refusing_count;   /* listening sockets that are being emptied */
	uint32_t full_turns;       /* in a row, in which more events were ready than were taken */
	bool accept_paused;        /* the listening sockets are out of the epoll */
	bool stopping;
	bool exiting;
	bool evidence_sent; /* in this turn: control is woken at its end */
};

/*
 * Makes a worker. It takes the listening sockets that its table in shared memory holds, and closes
 * them in worker_free(). Returns 0 or a negative errno with the table as it was.
 */
int worker_create(const struct worker_setup *setup, struct worker **ret_worker, struct error *err);

/* Starts its thread. */
int worker_start(struct worker *worker, struct error *err);

/* Waits until the thread has ended: it must have been told to exit. */
void worker_join(struct worker *worker);

/* NULL is allowed. The thread must not run. */
void worker_free(struct worker *worker);

/* Frees its memory alone, after COMMAND_PARK: all that it has open is for a successor. */
void worker_abandon(struct worker *worker);

/* The current snapshot, valid until the end of this turn. */
const struct snapshot *worker_snapshot(const struct worker *worker);

/* Takes a free record and session, or RECORD_NONE when all are in use. */
uint32_t worker_take_session(struct worker *worker);

/* Whether there is one to take: those that have just ended come back a little later. */
bool worker_has_session(const struct worker *worker);

/* Gives it back: usable again from the next turn on, or once it has left the queue it is in. */
void worker_give_session(struct worker *worker, uint32_t index);

/*
 * Watches a session's socket for input, and the one that connects for output, too. Returns 0 or a
 * negative errno.
 */
int worker_watch(struct worker *worker, uint32_t index, enum side side, int fd);

/* Watches it for `watch` (enum watch) from now on; what is there already is told. */
void worker_watch_for(struct worker *worker, uint32_t index, enum side side, unsigned watch);

/* Says in shared memory how much of the tables is in use. */
void worker_note_used(struct worker *worker);

/* Has session_resume() called for it in the next turn. */
void worker_queue(struct worker *worker, uint32_t index);

/* Has it called in a few milliseconds: no pipe was to be had, of our own or the system's. */
void worker_starve(struct worker *worker, uint32_t index);

/* Sends evidence about a slot to control. */
void worker_report(struct worker *worker, enum evidence_kind kind, enum failure_reason reason,
	uint32_t slot, uint64_t started_ns);

/* A session has left the slot: control waits for the last one of a backend that drains. */
void worker_slot_released(struct worker *worker, uint32_t slot);

static inline struct worker_state *worker_state(const struct worker *worker)
{
	return &worker->setup.shm->worker_states[worker->setup.index];
}

/*
 * What tells the events of a session's present socket from those of earlier ones at the same
 * index: the generation of the record, and for the backend the number of the try.
 */
static inline uint32_t worker_tag(const struct session_record *record, enum side side)
{
	return record->generation << 8 | (side == SIDE_BACKEND ? record->tries : 0U);
}

static inline struct slot *worker_slot(const struct worker *worker, uint32_t slot)
{
	return &worker->setup.shm->slots[slot];
}

static inline struct slot_counters *worker_slot_counters(const struct worker *worker, uint32_t slot)
{
	return shm_slot_counters(worker->setup.shm, worker->setup.index, slot);
}

static inline struct pool_counters *worker_pool_counters(const struct worker *worker, uint32_t pool)
{
	return shm_pool_counters(worker->setup.shm, worker->setup.index, pool);
}

static inline struct listener_counters *worker_listener_counters(
	const struct worker *worker, uint32_t listener)
{
	return shm_listener_counters(worker->setup.shm, worker->setup.index, listener);
}
