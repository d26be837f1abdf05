#include "data/session_end.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#include "data/connector.h"
#include "data/pump.h"
#include "data/stretch.h"
#include "data/worker.h"
#include "model/access.h"
#include "os/clock.h"
#include "os/stream.h"

enum { BOTH_SIDES = 1 << SIDE_CLIENT | 1 << SIDE_BACKEND };

static const uint64_t LINGER_QUIET_NS = 5 * 1000000000ULL;  /* without a byte */
static const uint64_t LINGER_TOTAL_NS = 30 * 1000000000ULL; /* in all */
static const uint64_t RESET_POLL_NS = 16 * 1000000ULL;      /* has it been acknowledged? */
static const uint64_t RESET_POLL_MAX_NS = 1000 * 1000000ULL;
static const uint64_t RESET_QUIET_NS = 30 * 1000000000ULL; /* for at most so long */

static enum closed_by blamed(enum side side)
{
	return side == SIDE_CLIENT ? CLOSED_BY_CLIENT : CLOSED_BY_BACKEND;
}

static bool ended(const struct session *session, enum side from, enum direction_end end)
{
	return session->direction[from].end == end;
}

/*
 * Closes one of the two sockets for good. That the number in the record is void is stored first:
 * it may be somebody else's as soon as it is closed.
 */
static void close_side(struct worker *worker, uint32_t index, enum side side)
{
	struct session_record *record = &worker->records[index];
	const int fd = session_record_fd(record, side);

	if (fd < 0) {
		return;
	}
	session_record_set(record, side == SIDE_CLIENT ? RECORD_GONE_CLIENT : RECORD_GONE_BACKEND);
	atomic_signal_fence(memory_order_seq_cst);
	socket_close(fd);
}

/* For a successor that goes on with the ending. */
static void note_blame(struct worker *worker, uint32_t index)
{
	worker->records[index].by = worker->sessions[index].by;
	worker->records[index].reason = worker->sessions[index].reason;
}

/* `victim` is reset once it has acknowledged what it was sent; the other side is gone already. */
static void start_reset(struct worker *worker, uint32_t index, enum side victim)
{
	struct session *session = &worker->sessions[index];
	struct session_record *record = &worker->records[index];

	note_blame(worker, index);
	session_record_set(record, RECORD_RESETTING);
	pump_drop(worker, index, victim);
	close_side(worker, index, other_side(victim));
	session->phase = SESSION_RESETTING;
	session->limit_ns = worker->now_ns + RESET_QUIET_NS;
	session_end_step(worker, index);
}

/* All was said: what still comes is thrown away until both sides have ended. */
static void note_linger(struct worker *worker, uint32_t index)
{
	note_blame(worker, index);
	session_record_set(&worker->records[index], RECORD_LINGERING);
}

static void start_linger(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	note_linger(worker, index);
	session->phase = SESSION_LINGERING;
	session->active_ns = worker->now_ns;
	session->limit_ns = worker->now_ns + LINGER_TOTAL_NS;
	deadlines_set(&worker->deadlines, index, worker->now_ns + LINGER_QUIET_NS);
	session_end_step(worker, index);
}

static void note_first_end(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	for (int side = 0; side < SIDE_COUNT; side++) {
		if (ended(session, (enum side)side, DIRECTION_ENDED)) {
			session_blame(session, blamed((enum side)side), CLOSE_END);
		} else if ((session->side[side] & SIDE_RESET) != 0) {
			session_blame(session, blamed((enum side)side), CLOSE_RESET);
		}
	}
}

/* A reset that comes after the orderly end of the other direction is what ended the session. */
static void note_reset(struct session *session, enum side side)
{
	session->by = (uint8_t)blamed(side);
	session->reason = CLOSE_RESET;
}

/*
 * The client had finished and was reset since: it takes no answer, so the backend need not work on
 * one. Not the other way round: a backend that has answered and ended in order may well reset what
 * the client still sends, and its answer is whole.
 */
static bool client_has_left(const struct session *session, const struct session_record *record)
{
	return ended(session, SIDE_CLIENT, DIRECTION_ENDED) &&
		(session->side[SIDE_CLIENT] & SIDE_BROKEN) != 0 &&
		(record->flags & RECORD_LOCAL_CLIENT) == 0;
}

bool session_end_check(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	const bool first = (session->told & TOLD_END) == 0;

	if (session->direction[SIDE_CLIENT].end == DIRECTION_RUNNING &&
		session->direction[SIDE_BACKEND].end == DIRECTION_RUNNING) {
		return false;
	}
	if (first) {
		session->told |= TOLD_END;
		note_first_end(worker, index);
	}
	if (ended(session, SIDE_CLIENT, DIRECTION_ENDED) &&
		ended(session, SIDE_BACKEND, DIRECTION_ENDED)) {
		session_close(worker, index, 0);
		return true;
	}
	if (client_has_left(session, &worker->records[index])) {
		note_reset(session, SIDE_CLIENT);
		start_reset(worker, index, SIDE_BACKEND);
		return true;
	}
	for (int side = 0; side < SIDE_COUNT; side++) {
		const enum side from = (enum side)side;
		const enum side to = other_side(from);

		if (ended(session, from, DIRECTION_RESET)) {
			note_reset(session, from);
			start_reset(worker, index, to);
			return true;
		}
		if (!ended(session, to, DIRECTION_CUT)) {
			continue;
		}
		/* `from` takes no more of what `to` sends. */
		if (ended(session, from, DIRECTION_ENDED)) {
			session_blame(session, blamed(from), CLOSE_END);
			/* First: a session that lacks a side and does not say why is damaged. */
			note_linger(worker, index);
			close_side(worker, index, from);
			start_linger(worker, index);
			return true;
		}
		if (ended(session, from, DIRECTION_CUT)) {
			session_blame(session, blamed(from), CLOSE_RESET);
			session_close(worker, index, BOTH_SIDES);
			return true;
		}
	}
	if (first) {
		/* Half closed from now on: another limit holds. */
		session_end_watch_idle(worker, index);
	}
	return session->phase != SESSION_OPEN;
}

/*
 * When to ask again: after as long as the phase has lasted. Most have acknowledged at once; those
 * who read nothing may be many, where a backend dies, and would be asked in vain.
 */
static uint64_t next_reset_poll_ns(const struct worker *worker, const struct session *session)
{
	const uint64_t age_ns = worker->now_ns + RESET_QUIET_NS - session->limit_ns;
	uint64_t next_ns = worker->now_ns + RESET_POLL_MAX_NS;

	if (age_ns < RESET_POLL_NS) {
		next_ns = worker->now_ns + RESET_POLL_NS;
	} else if (age_ns < RESET_POLL_MAX_NS) {
		next_ns = worker->now_ns + age_ns;
	}
	return next_ns < session->limit_ns ? next_ns : session->limit_ns;
}

static void step_reset(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	const struct session_record *record = &worker->records[index];
	const enum side victim =
		session_record_fd(record, SIDE_CLIENT) >= 0 ? SIDE_CLIENT : SIDE_BACKEND;
	const bool gone = (session->side[victim] & SIDE_BROKEN) != 0;

	if (gone || socket_unacknowledged(record->fd[victim]) == 0 ||
		worker->now_ns >= session->limit_ns) {
		session_close(worker, index, 1U << victim);
		return;
	}
	deadlines_set(&worker->deadlines, index, next_reset_poll_ns(worker, session));
}

static void step_linger(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	const struct session_record *record = &worker->records[index];
	bool open = false;
	bool again = false;

	for (int side = 0; side < SIDE_COUNT; side++) {
		if (session_record_fd(record, (enum side)side) < 0) {
			continue;
		}
		again |= pump_discard(worker, index, (enum side)side) == PUMP_AGAIN;
		open |= (session->side[side] & (SIDE_EOF | SIDE_RESET)) == 0;
	}
	if (!open) {
		session_close(worker, index, 0);
	} else if (again) {
		worker_queue(worker, index);
	}
}

void session_end_step(struct worker *worker, uint32_t index)
{
	if (worker->sessions[index].phase == SESSION_RESETTING) {
		step_reset(worker, index);
	} else {
		step_linger(worker, index);
	}
}

void session_end_continue(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	const struct session_record *record = &worker->records[index];
	const bool both = session_record_fd(record, SIDE_CLIENT) >= 0 &&
		session_record_fd(record, SIDE_BACKEND) >= 0;
	const unsigned was_reset = record->flags & (RECORD_RESET_CLIENT | RECORD_RESET_BACKEND);

	session->side[SIDE_CLIENT] |= SIDE_READABLE;
	session->side[SIDE_BACKEND] |= SIDE_READABLE;
	if ((record->flags & RECORD_RESETTING) == 0) {
		start_linger(worker, index);
	} else if (!both || was_reset == RECORD_RESET_CLIENT || was_reset == RECORD_RESET_BACKEND) {
		start_reset(worker, index,
			was_reset == RECORD_RESET_CLIENT ||
					session_record_fd(record, SIDE_CLIENT) < 0
				? SIDE_BACKEND
				: SIDE_CLIENT);
	} else {
		session_close(worker, index, BOTH_SIDES);
	}
}

void session_end_on_deadline(struct worker *worker, uint32_t index)
{
	const struct session *session = &worker->sessions[index];
	uint64_t quiet_ns;

	if (session->phase == SESSION_RESETTING) {
		step_reset(worker, index);
		return;
	}
	quiet_ns = session->active_ns + LINGER_QUIET_NS;
	if (worker->now_ns < quiet_ns && worker->now_ns < session->limit_ns) {
		deadlines_set(&worker->deadlines, index,
			quiet_ns < session->limit_ns ? quiet_ns : session->limit_ns);
		return;
	}
	session_close(worker, index, 0);
}

/*
 * Bytes from there are on their way to the other side: here, or, where there is nothing to hold
 * them in, in the queue of the socket they came to.
 */
static bool is_owed(
	const struct session *session, const struct session_record *record, enum side from)
{
	const struct direction *direction = &session->direction[from];

	return direction->held > 0 ||
		(direction->end == DIRECTION_RUNNING && socket_unread(record->fd[from]) > 0);
}

/* No byte for too long. What is owed to a side cannot be passed off as complete. */
static void end_idle(struct worker *worker, uint32_t index, enum close_reason reason)
{
	struct session *session = &worker->sessions[index];
	const struct session_record *record = &worker->records[index];

	session->by = CLOSED_BY_PROXY;
	session->reason = (uint8_t)reason;
	if (is_owed(session, record, SIDE_CLIENT) || is_owed(session, record, SIDE_BACKEND)) {
		session_close(worker, index, BOTH_SIDES);
		return;
	}
	for (int side = 0; side < SIDE_COUNT; side++) {
		(void)shutdown(record->fd[side], SHUT_WR);
	}
	start_linger(worker, index);
}

/* For how long the session may be without a byte now; 0: for ever. */
static uint64_t idle_limit_ns(const struct session *session, const struct listener_entry *options,
	enum close_reason *ret_reason)
{
	const uint64_t half_close_ns = counter_get(&options->half_close_ns);
	const bool half_closed = session->direction[SIDE_CLIENT].end != DIRECTION_RUNNING ||
		session->direction[SIDE_BACKEND].end != DIRECTION_RUNNING;

	if (half_closed && half_close_ns != 0) {
		*ret_reason = CLOSE_HALF_CLOSE_TIMEOUT;
		return half_close_ns;
	}
	*ret_reason = CLOSE_IDLE_TIMEOUT;
	return counter_get(&options->idle_ns);
}

/* Some of what was handed over has been acknowledged since the last look: when? */
static void note_reading(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	const struct session_record *record = &worker->records[index];
	const uint64_t client_ns = stream_silence_ns(record->fd[SIDE_CLIENT]);
	const uint64_t backend_ns = stream_silence_ns(record->fd[SIDE_BACKEND]);
	const uint64_t read_ns = worker->now_ns - (client_ns < backend_ns ? client_ns : backend_ns);

	if (read_ns > session->active_ns && read_ns <= worker->now_ns) {
		session->active_ns = read_ns;
	}
}

/*
 * A slow reader empties the kernel's buffers long before there is room for more from us: that it
 * reads shows in what is not yet acknowledged. Looked at four times per limit, and not at all
 * when there is nothing to acknowledge. Returns when to look again.
 */
static uint64_t look_at_readers(struct worker *worker, uint32_t index, uint64_t limit_ns)
{
	struct session *session = &worker->sessions[index];
	const struct session_record *record = &worker->records[index];
	const uint32_t unread = socket_unacknowledged(record->fd[SIDE_CLIENT]) +
		socket_unacknowledged(record->fd[SIDE_BACKEND]);
	const uint64_t look_ns = worker->now_ns + limit_ns / 4;
	uint64_t end_ns;

	if (unread < session->unread) {
		note_reading(worker, index);
	}
	session->unread = unread;
	end_ns = session->active_ns + limit_ns;
	return unread > 0 && look_ns < end_ns ? look_ns : end_ns;
}

void session_end_watch_idle(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	/* Not in the snapshot: the session may have outlived its listener. */
	const struct listener_entry *options =
		&worker->setup.shm->listeners[worker->records[index].listener];
	enum close_reason reason;
	const uint64_t limit_ns = idle_limit_ns(session, options, &reason);
	uint64_t next_ns = session->aged ? UINT64_MAX : session_of_age_ns(worker, session);

	/* A young session is looked at when it comes of age, unless its limit is short. */
	if (limit_ns != 0 && (session->aged || limit_ns / 4 < SESSION_AGED_NS)) {
		const uint64_t look_ns = look_at_readers(worker, index, limit_ns);

		if (worker->now_ns >= session->active_ns + limit_ns) {
			end_idle(worker, index, reason);
			return;
		}
		next_ns = look_ns < next_ns ? look_ns : next_ns;
	}
	if (next_ns == UINT64_MAX) {
		deadlines_clear(&worker->deadlines, index);
	} else {
		deadlines_set(&worker->deadlines, index, next_ns);
	}
}

static void count_end(
	struct worker *worker, const struct session *session, const struct session_record *record)
{
	struct pool_counters *pool = worker_pool_counters(worker, record->pool);
	struct listener_counters *listener = worker_listener_counters(worker, record->listener);
	const uint64_t duration_ns = worker->now_ns - record->started_ns;
	uint32_t bucket = 0;

	while (bucket < SESSION_BUCKET_COUNT && duration_ns > session_bucket_ns[bucket]) {
		bucket++;
	}
	counter_add(&pool->duration[bucket], 1);
	counter_add(&pool->duration_sum_ns, duration_ns);
	counter_add(&pool->closed[session->by][session->reason], 1);
	counter_add(&listener->closed, 1);
	if (session->claimed) {
		counter_add(&listener->released, 1);
	}
	if (record->slot != RECORD_NONE) {
		counter_add(&worker_slot_counters(worker, record->slot)->finished, 1);
		worker_slot_released(worker, record->slot);
	}
}

static void log_access(
	struct worker *worker, const struct session *session, const struct session_record *record)
{
	const struct snapshot *snapshot = worker_snapshot(worker);
	struct access_record entry = {
		.duration_ns = worker->now_ns - record->started_ns,
		.connect_ns = (uint64_t)record->connect_us * 1000,
		.received_bytes = record->moved[SIDE_CLIENT],
		.sent_bytes = record->moved[SIDE_BACKEND],
		.listener = record->listener,
		.pool = record->pool,
		.slot = record->slot,
		.tries = record->tries,
		.by = session->by,
		.reason = session->reason,
		.local = (record->flags & RECORD_LOCAL_CLIENT) != 0,
	};

	if (worker->setup.access == NULL || !snapshot->access_enabled ||
		(snapshot->access_sample < 1.0 &&
			(double)(rng_next(&worker->rng) >> 11) * 0x1p-53 >=
				snapshot->access_sample)) {
		return;
	}
	entry.wall_ns = clock_wall_ns();
	memcpy(entry.client_address, record->client_address, sizeof entry.client_address);
	(void)access_push(worker->setup.access, &entry);
}

void session_close(struct worker *worker, uint32_t index, unsigned resets)
{
	struct session *session = &worker->sessions[index];
	struct session_record *record = &worker->records[index];

	assert(session->phase != SESSION_FREE && session->phase != SESSION_DEAD);
	assert(session->by < CLOSED_BY_COUNT);
	connector_forget(worker, index);
	deadlines_clear(&worker->deadlines, index);
	record->by = session->by;
	record->reason = session->reason;
	atomic_signal_fence(memory_order_seq_cst);
	for (int side = 0; side < SIDE_COUNT; side++) {
		const int fd = session_record_fd(record, (enum side)side);

		if ((resets & 1U << side) != 0 && fd >= 0) {
			session_record_set(record, RECORD_RESETTING);
			socket_reset_on_close(fd);
		}
	}
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
	/* Only now: what is held is not owed any more. */
	pump_drop(worker, index, SIDE_CLIENT);
	pump_drop(worker, index, SIDE_BACKEND);
	if ((record->flags & RECORD_LOCAL_CLIENT) != 0 && record->cookie[SIDE_CLIENT] == 0 &&
		session_record_fd(record, SIDE_CLIENT) >= 0) {
		/* Nothing else would tell it from a client that was just accepted. */
		record->cookie[SIDE_CLIENT] = socket_cookie(record->fd[SIDE_CLIENT]);
	}
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
	atomic_store_explicit(&record->state, RECORD_CLOSING, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
	socket_close_pair(
		session_record_fd(record, SIDE_CLIENT), session_record_fd(record, SIDE_BACKEND));
	atomic_signal_fence(memory_order_seq_cst);
	session_record_set(record, RECORD_GONE_CLIENT | RECORD_GONE_BACKEND);
	stretch();
	count_end(worker, session, record);
	stretch();
	log_access(worker, session, record);
	atomic_store_explicit(&record->state, RECORD_FREE, memory_order_relaxed);
	session->phase = SESSION_DEAD;
	worker_give_session(worker, index);
}
