#include "data/connector.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "balance/balance.h"
#include "data/attempt.h"
#include "data/proxy_header.h"
#include "data/stretch.h"
#include "data/worker.h"
#include "os/clock.h"
#include "os/stream.h"

static const uint64_t PASS_PAUSE_NS = 1000 * 1000000ULL; /* between two passes over the pool */
static const uint64_t FULL_PAUSE_NS = 20 * 1000000ULL;   /* all backends are at their limit */

static void try_next(struct worker *worker, uint32_t index);

/* There is one for each session of the worker, so this cannot fail. */
static uint32_t take_attempt(struct worker *worker)
{
	uint32_t number = worker->attempt_free;

	if (number != RECORD_NONE) {
		worker->attempt_free = worker->attempts[number].next;
		return number;
	}
	assert(worker->attempt_used < worker->capacity);
	number = worker->attempt_used;
	worker->attempt_used++;
	return number;
}

static struct attempt *attempt_of(struct worker *worker, uint32_t index)
{
	const uint32_t number = worker->sessions[index].attempt;

	assert(number < worker->attempt_used);
	return &worker->attempts[number];
}

void connector_forget(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	if (session->attempt != RECORD_NONE) {
		worker->attempts[session->attempt].next = worker->attempt_free;
		worker->attempt_free = session->attempt;
		session->attempt = RECORD_NONE;
	}
}

/* The next backend would fail the same way: only time helps. */
static bool is_exhaustion(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS ||
		error == ENOSPC || error == EADDRNOTAVAIL;
}

static bool slot_is_full(const void *context, uint32_t slot, uint32_t max_connections)
{
	const struct worker *worker = context;

	return max_connections > 0 && shm_slot_sessions(worker->setup.shm, slot) >= max_connections;
}

static bool is_listed(const uint32_t *slots, uint32_t count, uint32_t slot)
{
	for (uint32_t i = 0; i < count; i++) {
		if (slots[i] == slot) {
			return true;
		}
	}
	return false;
}

/* The client is told by a reset: an orderly end would look like an answer. */
static void give_up(struct worker *worker, uint32_t index, enum close_reason reason)
{
	session_blame(&worker->sessions[index], CLOSED_BY_PROXY, reason);
	session_close(worker, index, 1 << SIDE_CLIENT);
}

static void no_backend(struct worker *worker, uint32_t index)
{
	counter_add(&worker_pool_counters(worker, worker->records[index].pool)->no_backend, 1);
	give_up(worker, index, CLOSE_NO_BACKEND);
}

/* Waits for `pause_ns` and begins a new pass, or gives up where connect_total would be over. */
static void wait_for_pass(struct worker *worker, uint32_t index, uint64_t pause_ns)
{
	struct session *session = &worker->sessions[index];
	struct attempt *attempt = attempt_of(worker, index);

	if (worker->now_ns + pause_ns >= attempt->limit_ns) {
		give_up(worker, index, CLOSE_CONNECT_FAILED);
		return;
	}
	attempt->tried_count = 0;
	session->phase = SESSION_WAITING;
	deadlines_set(&worker->deadlines, index, worker->now_ns + pause_ns);
}

/* Gives back what belongs to the try that has failed. */
static void undo_try(struct worker *worker, uint32_t index)
{
	struct session_record *record = &worker->records[index];

	if (record->fd[SIDE_BACKEND] >= 0) {
		const int fd = record->fd[SIDE_BACKEND];

		/* From here on the record does not speak for the socket any more. */
		record->check = session_record_check_client(record, index);
		atomic_signal_fence(memory_order_seq_cst);
		stretch();
		record->fd[SIDE_BACKEND] = -1;
		atomic_signal_fence(memory_order_seq_cst);
		socket_close(fd);
	}
	if (record->slot != RECORD_NONE) {
		counter_add(&worker_slot_counters(worker, record->slot)->finished, 1);
		worker_slot_released(worker, record->slot);
		record->slot = RECORD_NONE;
	}
	record->preamble[SIDE_BACKEND] = 0;
	record->connect_us = 0; /* it was one that had succeeded, maybe, and was taken over */
	worker->sessions[index].side[SIDE_BACKEND] = 0;
}

/* A session adds at most one failure per backend. */
static void report_failure(
	struct worker *worker, uint32_t index, uint32_t slot, enum failure_reason reason)
{
	struct attempt *attempt = attempt_of(worker, index);

	counter_add(&worker_slot_counters(worker, slot)->failures[reason], 1);
	if (reason == FAILURE_RESOURCE ||
		is_listed(attempt->reported, attempt->reported_count, slot) ||
		attempt->reported_count == PICK_TRIED_MAX) {
		return;
	}
	attempt->reported[attempt->reported_count] = slot;
	attempt->reported_count++;
	worker_report(worker, EVIDENCE_FAILURE, reason, slot, attempt->started_ns);
}

static void note_tried(struct attempt *attempt, uint32_t slot)
{
	if (attempt->tried_count < PICK_TRIED_MAX) {
		attempt->tried[attempt->tried_count] = slot;
		attempt->tried_count++;
	}
}

/* A try has failed with `error`: what next? */
static void on_failure(struct worker *worker, uint32_t index, int error)
{
	struct session_record *record = &worker->records[index];
	struct attempt *attempt = attempt_of(worker, index);
	const struct snapshot_pool *pool = snapshot_pool(worker_snapshot(worker), record->pool);
	const enum failure_reason reason = failure_reason_of_errno(error);
	const uint32_t slot = record->slot;

	report_failure(worker, index, slot, reason);
	undo_try(worker, index);

	if (pool == NULL || pool->backend_count == 0) {
		no_backend(worker, index);
	} else if (pool->retries == 0 || worker->now_ns >= attempt->limit_ns) {
		give_up(worker, index, CLOSE_CONNECT_FAILED);
	} else if (is_exhaustion(error)) {
		wait_for_pass(worker, index, PASS_PAUSE_NS);
	} else {
		note_tried(attempt, slot);
		try_next(worker, index);
	}
}

/*
 * Claims a place on the backend before it is used. Two workers that do so at once see each other:
 * the fence orders the store before the loads, so at most both step back.
 */
static bool claim_slot(struct worker *worker, const struct snapshot_backend *backend)
{
	struct slot_counters *counters = worker_slot_counters(worker, backend->slot);

	counter_add(&counters->started, 1);
	if (backend->max_connections == 0) {
		return true;
	}
	atomic_thread_fence(memory_order_seq_cst);
	if (shm_slot_sessions(worker->setup.shm, backend->slot) <= backend->max_connections) {
		return true;
	}
	counter_add(&counters->finished, 1);
	return false;
}

static const struct snapshot_backend *pick_backend(
	struct worker *worker, const struct snapshot_pool *pool, const struct attempt *attempt)
{
	const struct pick pick = {
		.turn = &worker->setup.shm->pools[pool->id].turn,
		.rng = &worker->rng,
		.tried = attempt->tried,
		.tried_count = attempt->tried_count,
		.is_full = pool->limited ? slot_is_full : NULL,
		.context = worker,
	};
	const int chosen = balance_pick(pool, &pick);

	return chosen == BALANCE_NONE ? NULL : &pool->backends[chosen];
}

static uint64_t max_buffered_of(const struct worker *worker, const struct session_record *record,
	const struct snapshot_pool *pool)
{
	const struct snapshot_listener *listener =
		snapshot_listener(worker_snapshot(worker), record->listener);

	if (pool->max_buffered != 0) {
		return pool->max_buffered;
	}
	return listener == NULL ? 0 : listener->max_buffered;
}

/* Until the backend has answered, or its time is over. */
static void await_answer(struct worker *worker, uint32_t index, const struct snapshot_pool *pool)
{
	struct session *session = &worker->sessions[index];
	const uint64_t deadline_ns = worker->now_ns + pool->connect_ns;
	const uint64_t limit_ns = attempt_of(worker, index)->limit_ns;
	int r;

	session->phase = SESSION_CONNECTING;
	deadlines_set(&worker->deadlines, index, deadline_ns < limit_ns ? deadline_ns : limit_ns);
	r = worker_watch(worker, index, SIDE_BACKEND, worker->records[index].fd[SIDE_BACKEND]);
	if (r < 0) {
		on_failure(worker, index, -r);
	}
}

/* Starts one connect. */
static void connect_to(struct worker *worker, uint32_t index, const struct snapshot_pool *pool,
	const struct snapshot_backend *backend)
{
	struct session_record *record = &worker->records[index];
	int fd;
	int r;

	record->slot = backend->slot;
	if (record->tries < UINT8_MAX) {
		record->tries++;
	}
	attempt_of(worker, index)->started_ns = worker->now_ns;
	attempt_of(worker, index)->may_be_self = backend->may_be_self;

	r = socket_open(&backend->address, max_buffered_of(worker, record, pool), &fd);
	if (r < 0) {
		on_failure(worker, index, -r);
		return;
	}
	record->fd[SIDE_BACKEND] = fd;
	session_record_clear(record, RECORD_LOCAL_BACKEND);
	if (backend->address.generic.sa_family == AF_UNIX) {
		session_record_set(record, RECORD_LOCAL_BACKEND);
	}
	/* From here on the record speaks for the socket: what the backend accepts is not lost. */
	atomic_signal_fence(memory_order_release);
	stretch();
	record->check = session_record_check_try(record, index);
	stretch();
	atomic_signal_fence(memory_order_seq_cst);
	r = socket_connect(fd, &backend->address);
	if (r < 0) {
		on_failure(worker, index, -r);
		return;
	}
	await_answer(worker, index, pool);
}

/*
 * Of thousands that wait for a place one pick per turn is enough to learn that there is none: it
 * draws from a counter that all workers share, and looks at the whole pool then.
 */
static bool is_known_full(const struct worker *worker, const struct snapshot_pool *pool)
{
	return worker->full_pool == pool->id && worker->full_ns == worker->now_ns;
}

static void note_full(struct worker *worker, const struct snapshot_pool *pool)
{
	worker->full_pool = pool->id;
	worker->full_ns = worker->now_ns;
}

static void try_next(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];
	struct attempt *attempt = attempt_of(worker, index);
	const struct snapshot_pool *pool = snapshot_pool(worker_snapshot(worker), record->pool);
	const struct snapshot_backend *backend;

	if (pool == NULL || pool->backend_count == 0) {
		no_backend(worker, index);
		return;
	}
	if (attempt->tried_count > pool->retries && attempt->tried_count < pool->backend_count) {
		give_up(worker, index, CLOSE_CONNECT_FAILED);
		return;
	}
	if (attempt->tried_count == 0 && is_known_full(worker, pool)) {
		wait_for_pass(worker, index, FULL_PAUSE_NS);
		return;
	}
	backend = pick_backend(worker, pool, attempt);
	if (backend == NULL && attempt->tried_count == 0) {
		note_full(worker, pool);
	}
	if (backend == NULL || !claim_slot(worker, backend)) {
		const bool all_full = attempt->tried_count == 0;

		wait_for_pass(worker, index, all_full ? FULL_PAUSE_NS : PASS_PAUSE_NS);
		return;
	}
	if (record->tries > 0) {
		counter_add(&worker_pool_counters(worker, record->pool)->retries, 1);
	}
	connect_to(worker, index, pool, backend);
}

void connector_move_on(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];
	struct attempt *attempt = attempt_of(worker, index);
	const struct snapshot_pool *pool = snapshot_pool(worker_snapshot(worker), record->pool);
	const uint32_t slot = record->slot;

	undo_try(worker, index);
	if (worker->now_ns >= attempt->limit_ns) {
		give_up(worker, index, CLOSE_CONNECT_FAILED);
		return;
	}
	if (pool != NULL && attempt->tried_count < pool->retries) { /* it was no failure */
		note_tried(attempt, slot);
	}
	try_next(worker, index);
}

static const struct snapshot_pool *begin_attempt(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	const struct snapshot_pool *pool =
		snapshot_pool(worker_snapshot(worker), worker->records[index].pool);

	session->attempt = take_attempt(worker);
	*attempt_of(worker, index) = (struct attempt){
		.limit_ns = worker->now_ns + (pool == NULL ? 0 : pool->connect_total_ns),
	};
	return pool;
}

void connector_begin(struct worker *worker, uint32_t index)
{
	(void)begin_attempt(worker, index);
	try_next(worker, index);
}

/*
 * What has become of a connect that the worker process before this one began: 0, it goes on; an
 * errno value that it has failed with; or negative: it was never begun, or something was sent that
 * the record does not know of.
 */
static int look_at_try(const struct session_record *record, const struct snapshot_pool *pool)
{
	const int fd = record->fd[SIDE_BACKEND];
	const uint16_t preamble = record->preamble[SIDE_BACKEND];
	struct stream_position position;
	int r;

	if (pool == NULL) {
		return -ENOENT;
	}
	if ((record->flags & RECORD_LOCAL_BACKEND) != 0) {
		/* What was sent cannot be told. */
		return socket_is_connected(fd) && preamble == 0 &&
				pool->proxy_protocol == PROXY_PROTOCOL_OFF
			? 0
			: -ENOTCONN;
	}
	r = stream_position_get(fd, true, &position);
	if (r < 0) {
		return r;
	}
	if (position.closed) { /* never connected, or its failure was told before */
		return position.error == 0 || position.error == ENOTCONN ? -ENOTCONN
									 : position.error;
	}
	return position.consumed == 0 && position.handed == preamble ? 0 : -EPROTO;
}

void connector_continue(struct worker *worker, uint32_t index)
{
	struct session_record *record = &worker->records[index];
	const struct snapshot_pool *pool = begin_attempt(worker, index);
	const int found = look_at_try(record, pool);

	/* When it began is forgotten. It was not before the session did. */
	attempt_of(worker, index)->started_ns = record->started_ns;
	attempt_of(worker, index)->may_be_self = true; /* so is what was known of the address */
	if (found == 0) {
		await_answer(worker, index, pool);
	} else if (found > 0) {
		on_failure(worker, index, found);
	} else {
		socket_reset_on_close(record->fd[SIDE_BACKEND]);
		undo_try(worker, index);
		try_next(worker, index);
	}
}

/* Once in a session, also where the worker process before this one died right after it. */
static void count_connected(struct worker *worker, uint32_t index, uint64_t took_ns)
{
	struct session_record *record = &worker->records[index];
	struct slot_counters *counters = worker_slot_counters(worker, record->slot);
	const uint64_t took_us = took_ns / 1000;
	uint32_t bucket = 0;

	if (record->connect_us != 0) {
		return;
	}
	while (bucket < CONNECT_BUCKET_COUNT && took_ns > connect_bucket_ns[bucket]) {
		bucket++;
	}
	counter_add(&counters->connect[bucket], 1);
	counter_add(&counters->connect_sum_ns, took_ns);
	counter_add(&counters->established, 1);
	record->connect_us = took_us >= UINT32_MAX ? UINT32_MAX : (uint32_t)(took_us + 1);
	atomic_signal_fence(memory_order_seq_cst);
}

/* A client that was reset while it waited: what accept() has said of it. */
static struct sockaddr_any remembered_client(const struct session_record *record)
{
	struct sockaddr_any address = {.length = sizeof address.ip6};

	address.ip6.sin6_family = AF_INET6;
	memcpy(&address.ip6.sin6_addr, record->client_address, 16);
	memcpy(&address.ip6.sin6_port, record->client_address + 16, 2);
	return address;
}

/* Says who the client is. The socket is new, so all of it fits, or something is very wrong. */
static int send_header(struct worker *worker, uint32_t index)
{
	struct session_record *record = &worker->records[index];
	const struct snapshot_pool *pool = snapshot_pool(worker_snapshot(worker), record->pool);
	struct sockaddr_any source = {.length = sizeof(struct sockaddr_un)};
	struct sockaddr_any destination = {.length = sizeof(struct sockaddr_un)};
	uint8_t header[PROXY_HEADER_MAX];
	size_t length;
	ssize_t n;

	if (pool == NULL || pool->proxy_protocol == PROXY_PROTOCOL_OFF ||
		record->preamble[SIDE_BACKEND] > 0) { /* the worker process before has sent it */
		return 0;
	}
	if (getsockname(record->fd[SIDE_CLIENT], &destination.generic, &destination.length) < 0) {
		destination.generic.sa_family = AF_UNSPEC;
	}
	if (getpeername(record->fd[SIDE_CLIENT], &source.generic, &source.length) < 0) {
		source = remembered_client(record);
	}
	length = proxy_header_write(pool->proxy_protocol, &source, &destination, header);
	n = send(record->fd[SIDE_BACKEND], header, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0) {
		return errno;
	}
	if ((size_t)n < length) {
		return ENOBUFS;
	}
	record->preamble[SIDE_BACKEND] = (uint16_t)length;
	return 0;
}

static bool wants_success(const struct worker *worker, uint32_t slot)
{
	return atomic_load_explicit(
		       &worker_slot(worker, slot)->wants_success, memory_order_relaxed) != 0;
}

/*
 * Whether our own socket has answered in place of a backend that is down. Such a client would get
 * its own bytes back, and the backend could not bind its port any more. What the snapshot says may
 * be out of date: ports and addresses of the machine change. But only one in thousands of connects
 * chooses that port, and those before it fail, so it does for a slot without a failure.
 */
static bool is_self(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];
	const uint32_t health = atomic_load_explicit(
		&worker_slot(worker, record->slot)->health, memory_order_relaxed);

	return (attempt_of(worker, index)->may_be_self || health != HEALTH_HEALTHY ||
		       wants_success(worker, record->slot)) &&
		(record->flags & RECORD_LOCAL_BACKEND) == 0 &&
		socket_is_self(record->fd[SIDE_BACKEND]);
}

void connector_on_event(struct worker *worker, uint32_t index, uint32_t events)
{
	struct session_record *record = &worker->records[index];
	struct attempt *attempt = attempt_of(worker, index);
	int error = 0;

	if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
		error = socket_take_error(record->fd[SIDE_BACKEND]);
		if (error == 0 && (events & EPOLLERR) != 0) {
			error = ECONNRESET;
		}
	} else if ((events & EPOLLOUT) == 0) {
		return;
	}
	if (error == 0 && is_self(worker, index)) {
		/* An orderly end would keep the port from the backend for a minute more. */
		socket_reset_on_close(record->fd[SIDE_BACKEND]);
		error = ECONNREFUSED;
	}
	if (error == 0) {
		error = send_header(worker, index);
	}
	if (error != 0) {
		on_failure(worker, index, error);
		return;
	}
	count_connected(worker, index, clock_monotonic_ns() - attempt->started_ns);
	session_opened(worker, index);
}

void connector_on_deadline(struct worker *worker, uint32_t index)
{
	if (worker->sessions[index].phase == SESSION_WAITING) {
		try_next(worker, index);
	} else {
		on_failure(worker, index, ETIMEDOUT);
	}
}

/*
 * The start of the attempt is forgotten by now. That of the session stands in for it: it is not
 * later, so evidence is never taken for newer than it is.
 */
void connector_report_reset(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];

	counter_add(&worker_slot_counters(worker, record->slot)->failures[FAILURE_RESET], 1);
	worker_report(worker, EVIDENCE_FAILURE, FAILURE_RESET, record->slot, record->started_ns);
}

void connector_report_success(struct worker *worker, uint32_t index)
{
	const struct session_record *record = &worker->records[index];

	if (wants_success(worker, record->slot)) {
		worker_report(worker, EVIDENCE_SUCCESS, FAILURE_REFUSED, record->slot,
			record->started_ns);
	}
}
