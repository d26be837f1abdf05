#include "data/adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "data/acceptor.h"
#include "data/adopt_proof.h"
#include "data/connector.h"
#include "data/session_end.h"
#include "data/worker.h"

enum {
	SESSIONS_PER_TURN = 64,
	/* Deaths from outside may hit the same session twice, which is not its fault. */
	ATTEMPTS_MAX = 4,
};

static bool is_live(const struct session_record *record)
{
	const uint32_t state = atomic_load_explicit(&record->state, memory_order_relaxed);

	return state == RECORD_CONNECTING || state == RECORD_OPEN;
}

static bool is_open(const struct session_record *record)
{
	return atomic_load_explicit(&record->state, memory_order_relaxed) == RECORD_OPEN;
}

static bool is_local(const struct session_record *record)
{
	return (record->flags & (RECORD_LOCAL_CLIENT | RECORD_LOCAL_BACKEND)) != 0;
}

static void inherit_session(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];
	const bool aged = record->cookie[SIDE_BACKEND] != 0; /* the last that comes with age */

	worker->sessions[index] = (struct session){
		.active_ns = worker->now_ns,
		.next = RECORD_NONE,
		.attempt = RECORD_NONE,
		.phase = SESSION_INHERITED,
		.by = CLOSED_BY_COUNT,
		.aged = aged,
		.opened_ms = (uint32_t)(record->started_ns / 1000000), /* or a little later */
		.told = aged || record->moved[SIDE_BACKEND] > 0 ? TOLD_SUCCESS : 0,
		.claimed = (record->flags & RECORD_CLAIMED) != 0,
	};
	for (int from = 0; from < SIDE_COUNT; from++) {
		/* Until it is looked at a pipe is not known to be empty. */
		worker->sessions[index].direction[from].held =
			record->pipe[from] == PIPE_NONE ? 0 : 1;
	}
}

/* Its try has ended: the socket was closed as one that belongs to nothing. */
static void forget_try(struct session_record *record, uint32_t index)
{
	record->check = session_record_check_client(record, index);
	atomic_signal_fence(memory_order_seq_cst);
	record->fd[SIDE_BACKEND] = -1;
	record->slot = RECORD_NONE;
	record->preamble[SIDE_BACKEND] = 0;
	record->connect_us = 0;
}

/* The owner word of a chunk or pipe is right when the record names it, too. */
static bool is_owned(const struct worker *worker, uint32_t owner, uint32_t number, bool chunk)
{
	const uint32_t index = owner >> 1;
	const struct session_record *record = &worker->records[index];

	if (owner == RECORD_NONE || index >= worker->used || !is_open(record)) {
		return false;
	}
	return chunk ? record->chunk[owner & 1] == number : record->pipe[owner & 1] == number;
}

static void inherit_chunks(struct worker *worker)
{
	for (uint32_t number = worker->chunk_used; number-- > 0;) {
		struct chunk *chunk = &worker->chunks[number];
		const uint32_t length = atomic_load_explicit(&chunk->length, memory_order_relaxed);

		if (length > 0 && length <= CHUNK_BYTES &&
			is_owned(worker, chunk->owner, number, true)) {
			continue;
		}
		atomic_store_explicit(&chunk->length, 0, memory_order_relaxed);
		chunk->owner = worker->chunk_free;
		worker->chunk_free = number;
		worker->chunk_free_count++;
	}
}

/* Pipes that no session names were closed with all that belongs to nothing. */
static void inherit_pipes(struct worker *worker)
{
	for (uint32_t number = worker->pipe_used; number-- > 0;) {
		struct pipe_record *pipe = &worker->pipes[number];

		if (pipe->fd[0] >= 0 && is_owned(worker, pipe->owner, number, false)) {
			worker->bulk_pipe_count +=
				is_local(&worker->records[pipe->owner >> 1]) ? 0 : 1;
			continue;
		}
		pipe->fd[0] = -1;
		pipe->fd[1] = -1;
		pipe->owner = worker->pipe_free;
		worker->pipe_free = number;
	}
}

/* Forgets what the record says about chunks and pipes that are not, or not its own. */
static void check_holders(struct worker *worker, uint32_t index)
{
	struct session_record *record = &worker->records[index];

	for (uint32_t from = 0; from < SIDE_COUNT; from++) {
		const uint32_t owner = index << 1 | from;
		const uint32_t chunk = record->chunk[from];
		const uint32_t pipe = record->pipe[from];

		if (!is_open(record) || chunk >= worker->chunk_used ||
			worker->chunks[chunk].owner != owner ||
			atomic_load_explicit(&worker->chunks[chunk].length, memory_order_relaxed) ==
				0) {
			record->chunk[from] = RECORD_NONE;
		}
		if (!is_open(record) || pipe >= worker->pipe_used ||
			worker->pipes[pipe].owner != owner || worker->pipes[pipe].fd[0] < 0) {
			if (is_open(record) && pipe != PIPE_NONE) {
				session_record_spoil(record); /* bytes may be lost with it */
			}
			record->pipe[from] = PIPE_NONE;
		}
	}
}

/* How many sessions each slot and listener has now; owned by who counts. */
struct census {
	uint32_t slots[SLOTS_MAX];
	uint32_t listeners[LISTENERS_MAX];
	uint32_t claimed[LISTENERS_MAX];
};

/*
 * A session that died in the middle of being closed has been closed by claims_take(); if the last
 * of its counters was not counted up, none was.
 */
static void count_half_closed(
	struct worker *worker, const struct session_record *record, const struct census *census)
{
	struct listener_counters *listener = worker_listener_counters(worker, record->listener);
	struct pool_counters *pool = worker_pool_counters(worker, record->pool);
	const uint64_t known = counter_get(&listener->closed) + census->listeners[record->listener];

	if (counter_get(&listener->connections) > known && record->by < CLOSED_BY_COUNT &&
		record->reason < CLOSE_REASON_COUNT) {
		counter_add(&pool->closed[record->by][record->reason], 1);
	}
}

/* What has ended is what has begun without what is there. */
static void settle(counter_t *begun, counter_t *ended, uint32_t there)
{
	const uint64_t ended_before = counter_get(ended);

	if (counter_get(begun) < ended_before + there) { /* it died before the last was counted */
		counter_set(begun, ended_before + there);
	}
	counter_set(ended, counter_get(begun) - there);
}

static bool is_used(const struct identity *identity)
{
	return atomic_load_explicit(&identity->used, memory_order_relaxed) != 0;
}

/* Those in use come first. The rest has never been touched, and to read it would take memory. */
static void settle_counters(struct worker *worker, const struct census *census)
{
	const struct shm *shm = worker->setup.shm;

	for (uint32_t i = 0; i < LISTENERS_MAX && is_used(&shm->listeners[i].identity); i++) {
		struct listener_counters *counters = worker_listener_counters(worker, i);

		settle(&counters->connections, &counters->closed, census->listeners[i]);
		settle(&counters->claimed, &counters->released, census->claimed[i]);
	}
	for (uint32_t i = 0; i < SLOTS_MAX && is_used(&shm->slots[i].identity); i++) {
		struct slot_counters *counters = worker_slot_counters(worker, i);

		settle(&counters->started, &counters->finished, census->slots[i]);
	}
}

static void take_census(struct worker *worker, struct census *census)
{
	uint64_t sessions = 0;

	for (uint32_t index = worker->used; index-- > 0;) {
		struct session_record *record = &worker->records[index];

		if (!is_live(record)) {
			continue;
		}
		sessions++;
		census->listeners[record->listener]++;
		census->claimed[record->listener] += (record->flags & RECORD_CLAIMED) != 0 ? 1 : 0;
		if (session_record_has_backend(record, index)) {
			census->slots[record->slot]++;
		}
	}
	counter_set(&worker_state(worker)->sessions, sessions);
}

static void inherit_records(struct worker *worker, const struct census *census)
{
	for (uint32_t index = worker->used; index-- > 0;) {
		struct session_record *record = &worker->records[index];

		if (is_live(record)) {
			check_holders(worker, index);
			inherit_session(worker, index);
			if (!session_record_has_backend(record, index)) {
				forget_try(record, index);
			}
			continue;
		}
		if (atomic_load_explicit(&record->state, memory_order_relaxed) == RECORD_CLOSING) {
			count_half_closed(worker, record, census);
		}
		atomic_store_explicit(&record->state, RECORD_FREE, memory_order_relaxed);
		worker->sessions[index].next = worker->free_list;
		worker->free_list = index;
	}
}

static uint32_t at_most(uint32_t value, uint32_t limit)
{
	return value < limit ? value : limit;
}

int adopt_begin(struct worker *worker)
{
	struct worker_state *state = worker_state(worker);
	struct census *census = calloc(1, sizeof *census);

	worker->orphans = calloc(worker->setup.orphan_count + 1U, sizeof *worker->orphans);
	if (census == NULL || worker->orphans == NULL) {
		free(census);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < worker->setup.orphan_count; i++) {
		worker->orphans[i] = worker->setup.orphans[i];
	}
	atomic_store_explicit(&state->stopped, 0, memory_order_relaxed);
	worker->used = at_most(state->records_used, worker->capacity);
	worker->chunk_used = at_most(state->chunks_used, CHUNKS_PER_WORKER);
	worker->pipe_used = at_most(state->pipes_used, PIPES_PER_WORKER);
	take_census(worker, census);
	inherit_records(worker, census);
	inherit_chunks(worker);
	inherit_pipes(worker);
	settle_counters(worker, census);
	worker->inherited = worker->used;
	worker->inherited_limit = worker->used;
	worker->inherited_next = adopt_first(
		counter_get(&worker->setup.shm->header->process.worker_restarts), worker->used);
	free(census);
	return 0;
}

static void count_continued(struct worker *worker, enum continued_from from)
{
	counter_add(&worker_state(worker)->continued[from], 1);
}

static void lose(struct worker *worker, uint32_t index, enum lost_reason reason)
{
	counter_add(&worker_state(worker)->lost[reason], 1);
	session_blame(&worker->sessions[index], CLOSED_BY_PROXY, CLOSE_ERROR);
	session_close(worker, index, 1 << SIDE_CLIENT | 1 << SIDE_BACKEND);
}

/* Who ends the session and why, as the record has it. */
static void blame_as_recorded(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];

	session_blame(&worker->sessions[index],
		record->by < CLOSED_BY_COUNT ? record->by : CLOSED_BY_PROXY,
		record->reason < CLOSE_REASON_COUNT ? record->reason : CLOSE_ERROR);
}

static void continue_connecting(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];
	const int lost = adopt_prove_connecting(worker, index);

	if (lost >= 0) {
		lose(worker, index, (enum lost_reason)lost);
		return;
	}
	worker->sessions[index].phase = SESSION_WAITING;
	if ((record->flags & RECORD_RESETTING) != 0) { /* it was being given up */
		blame_as_recorded(worker, index);
		session_cut(worker, index, CLOSE_CONNECT_FAILED);
		return;
	}
	count_continued(worker, CONTINUED_CONNECTING);
	if (worker_watch(worker, index, SIDE_CLIENT, record->fd[SIDE_CLIENT]) < 0) {
		session_cut(worker, index, CLOSE_ERROR);
	} else if (record->fd[SIDE_BACKEND] >= 0) {
		connector_continue(worker, index);
	} else {
		connector_begin(worker, index);
	}
}

/* Has both sockets watched; what has happened since the last event is told again. */
static bool watch_both(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];

	for (int side = 0; side < SIDE_COUNT; side++) {
		const int fd = session_record_fd(record, (enum side)side);

		if (fd >= 0 && worker_watch(worker, index, (enum side)side, fd) < 0) {
			return false;
		}
	}
	return true;
}

static void continue_ending(struct worker *worker, uint32_t index)
{
	blame_as_recorded(worker, index);
	count_continued(worker, CONTINUED_ENDING);
	session_end_continue(worker, index);
}

static void continue_open(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	session->phase = SESSION_OPEN;
	session->side[SIDE_CLIENT] |= SIDE_READABLE | SIDE_WRITABLE;
	session->side[SIDE_BACKEND] |= SIDE_READABLE | SIDE_WRITABLE;
	session_end_watch_idle(worker, index);
	if (session->phase == SESSION_OPEN) {
		session_resume(worker, index);
	}
}

void adopt_session(struct worker *worker, uint32_t index)
{
	struct session_record *record = &worker->records[index];
	enum continued_from from = CONTINUED_WHOLE;
	int lost;

	if (record->attempts >= ATTEMPTS_MAX) {
		lose(worker, index, LOST_REPEATED);
		return;
	}
	record->attempts++;
	atomic_signal_fence(memory_order_seq_cst);
	if (!is_open(record)) {
		continue_connecting(worker, index);
		record->attempts = 0;
		return;
	}
	lost = adopt_prove(worker, index, &from);
	if (lost >= 0) {
		lose(worker, index, (enum lost_reason)lost);
	} else if (!watch_both(worker, index)) {
		session_cut(worker, index, CLOSE_ERROR);
	} else if ((record->flags & (RECORD_RESETTING | RECORD_LINGERING)) != 0) {
		continue_ending(worker, index);
	} else {
		count_continued(worker, from);
		continue_open(worker, index);
	}
	atomic_signal_fence(memory_order_seq_cst);
	record->attempts = 0;
}

/* Whose bytes are in a buffer comes first: the next recv() would overwrite them. */
static void settle_journal(struct worker *worker, struct journal *journal)
{
	const uint64_t key = atomic_load_explicit(&journal->key, memory_order_relaxed);
	const uint64_t index = key >> 2;

	if (key != 0 && index < worker->used &&
		worker->sessions[index].phase == SESSION_INHERITED &&
		is_open(&worker->records[index])) {
		adopt_session(worker, (uint32_t)index);
	}
	atomic_store_explicit(&journal->key, 0, memory_order_relaxed);
}

void adopt_start(struct worker *worker)
{
	settle_journal(worker, worker->journal);
	for (uint32_t i = 0; i < LANES_PER_WORKER; i++) {
		settle_journal(worker, &worker->lane_journals[i]);
	}
	for (uint32_t i = 0; i < worker->setup.orphan_count; i++) {
		count_continued(worker, CONTINUED_ACCEPTED);
		acceptor_admit(worker, worker->orphans[i].listener, worker->orphans[i].fd);
	}
	worker->setup.orphan_count = 0;
}

/*
 * The multiples of the golden ratio, less their whole parts: each falls into the largest gap that
 * those before it have left (Knuth, The Art of Computer Programming, vol. 3, section 6.4).
 */
uint32_t adopt_first(uint64_t restarts, uint32_t count)
{
	const uint32_t fraction = (uint32_t)restarts * 2654435769U; /* of 2^32 */

	return (uint32_t)((uint64_t)fraction * count >> 32);
}

void adopt_some(struct worker *worker)
{
	uint32_t count = 0;

	while (worker->inherited > 0 && count < SESSIONS_PER_TURN) {
		const uint32_t index = worker->inherited_next;

		worker->inherited--;
		worker->inherited_next = index == 0 ? worker->inherited_limit - 1 : index - 1;
		if (worker->sessions[index].phase == SESSION_INHERITED) {
			adopt_session(worker, index);
			count++;
		}
	}
}
