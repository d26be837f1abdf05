#include "data/session.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/bare.h"
#include "base/sockaddr.h"
#include "data/adopt.h"
#include "data/connector.h"
#include "data/pump.h"
#include "data/pump_batch.h"
#include "data/session_end.h"
#include "data/stretch.h"
#include "data/worker.h"

static const uint64_t MS_NS = 1000000;

/* IPv6, or IPv4 mapped into it, and the port; both in network order. */
static void keep_address(struct session_record *record, const struct sockaddr_any *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	memset(record->client_address, 0, sizeof record->client_address);
	if (address->generic.sa_family == AF_INET) {
		memcpy(record->client_address, mapped, sizeof mapped);
		memcpy(record->client_address + 12, &address->ip4.sin_addr, 4);
		memcpy(record->client_address + 16, &address->ip4.sin_port, 2);
	} else if (address->generic.sa_family == AF_INET6) {
		memcpy(record->client_address, &address->ip6.sin6_addr, 16);
		memcpy(record->client_address + 16, &address->ip6.sin6_port, 2);
	}
}

static void init_session(struct session *session, bool claimed)
{
	*session = (struct session){
		.next = RECORD_NONE,
		.attempt = RECORD_NONE,
		.phase = SESSION_WAITING,
		.by = CLOSED_BY_COUNT,
		.claimed = claimed,
	};
}

/* Everything but `state`, which is stored last: from then on the record speaks for the socket. */
static void fill_record(struct worker *worker, uint32_t index, uint32_t listener, uint32_t pool,
	int fd, const struct sockaddr_any *address)
{
	struct session_record *record = &worker->records[index];
	const bool local = address->generic.sa_family == AF_UNIX;

	record->generation++;
	record->fd[SIDE_CLIENT] = fd;
	record->fd[SIDE_BACKEND] = -1;
	memset(record->cookie, 0, sizeof record->cookie);
	record->listener = listener;
	record->pool = pool;
	record->slot = RECORD_NONE;
	record->flags = session_record_flags((local ? RECORD_LOCAL_CLIENT : 0U) |
		(worker->sessions[index].claimed ? RECORD_CLAIMED : 0U));
	record->attempts = 0;
	record->tries = 0;
	record->started_ns = worker->now_ns;
	record->connect_us = 0;
	memset(record->moved, 0, sizeof record->moved);
	memset(record->preamble, 0, sizeof record->preamble);
	for (int side = 0; side < SIDE_COUNT; side++) {
		record->chunk[side] = RECORD_NONE;
		record->pipe[side] = PIPE_NONE;
	}
	keep_address(record, address);
	record->check = session_record_check_client(record, index);
	atomic_signal_fence(memory_order_release);
	stretch();
	atomic_store_explicit(&record->state, RECORD_CONNECTING, memory_order_relaxed);
	stretch();
}

/* Cannot be served: the client is told by a reset. */
static void reject(struct worker *worker, uint32_t listener, int fd, enum reject_reason reason)
{
	counter_add(&worker_listener_counters(worker, listener)->rejected[reason], 1);
	socket_reset_on_close(fd);
	socket_close(fd);
}

void session_accept(struct worker *worker, uint32_t listener, int fd,
	const struct sockaddr_any *address, bool claimed)
{
	struct listener_counters *counters = worker_listener_counters(worker, listener);
	const struct snapshot_listener *options =
		snapshot_listener(worker_snapshot(worker), listener);
	const uint32_t index = options == NULL ? RECORD_NONE : worker_take_session(worker);

	if (index == RECORD_NONE) {
		reject(worker, listener, fd, REJECT_LIMIT);
		if (claimed) {
			counter_add(&counters->released, 1);
		}
		return;
	}
	init_session(&worker->sessions[index], claimed);
	fill_record(worker, index, listener, options->pool, fd, address);
	counter_add(&counters->connections, 1);
	if (worker_watch(worker, index, SIDE_CLIENT, fd) < 0) {
		counter_add(&counters->rejected[REJECT_MEMORY], 1);
		session_blame(&worker->sessions[index], CLOSED_BY_PROXY, CLOSE_ERROR);
		session_close(worker, index, 1 << SIDE_CLIENT);
		return;
	}
	connector_begin(worker, index);
}

/* Milliseconds, modulo 2^32: enough for the age of a young session. */
static uint32_t now_ms(const struct worker *worker)
{
	return (uint32_t)(worker->now_ns / MS_NS);
}

uint64_t session_of_age_ns(const struct worker *worker, const struct session *session)
{
	const uint64_t age_ns = (uint32_t)(now_ms(worker) - session->opened_ms) * MS_NS;

	return worker->now_ns + (age_ns < SESSION_AGED_NS ? SESSION_AGED_NS - age_ns : 0);
}

void session_opened(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	struct session_record *record = &worker->records[index];

	connector_forget(worker, index);
	session->phase = SESSION_OPEN;
	session->active_ns = worker->now_ns;
	session->opened_ms = now_ms(worker);
	session->side[SIDE_BACKEND] |= SIDE_WRITABLE;
	session->side[SIDE_CLIENT] |= SIDE_WRITABLE;
	if ((record->flags & (RECORD_LOCAL_CLIENT | RECORD_LOCAL_BACKEND)) != 0) {
		session->direction[SIDE_CLIENT].mode = PUMP_SPLICE;
		session->direction[SIDE_BACKEND].mode = PUMP_SPLICE;
	}
	record->check = session_record_check(record, index);
	stretch();
	atomic_signal_fence(memory_order_release);
	atomic_store_explicit(&record->state, RECORD_OPEN, memory_order_relaxed);
	stretch();
	atomic_signal_fence(memory_order_seq_cst);
	session_end_watch_idle(worker, index);
	if (!pump_batch_add(worker, index)) {
		session_resume(worker, index);
	}
}

/*
 * A reset before a byte of the client went that way, while the client still wanted something:
 * nothing that a client can provoke, so it counts against the backend.
 */
static bool is_early_reset(const struct worker *worker, uint32_t index)
{
	const struct session *session = &worker->sessions[index];

	return (session->side[SIDE_BACKEND] & SIDE_RESET) != 0 &&
		(session->told & TOLD_RESET) == 0 &&
		worker->records[index].moved[SIDE_CLIENT] == 0 &&
		(session->side[SIDE_CLIENT] & (SIDE_RESET | SIDE_EOF)) == 0;
}

/* The backend has answered, or has been alive for a second: that is a success, and told once. */
static void tell_success(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	if ((session->told & TOLD_SUCCESS) == 0) {
		session->told |= TOLD_SUCCESS;
		connector_report_success(worker, index);
	}
}

void session_resume(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	enum pump_result results[SIDE_COUNT];

	if (session->phase == SESSION_LINGERING || session->phase == SESSION_RESETTING) {
		session_end_step(worker, index);
		return;
	}
	if (session->phase != SESSION_OPEN) {
		return;
	}
	results[SIDE_CLIENT] = pump_run(worker, index, SIDE_CLIENT);
	results[SIDE_BACKEND] = pump_run(worker, index, SIDE_BACKEND);
	if (session->direction[SIDE_BACKEND].end == DIRECTION_CUT) {
		/* The client failed under the backend's bytes: its last ones are still there. */
		results[SIDE_CLIENT] = pump_run(worker, index, SIDE_CLIENT);
	}
	if (is_early_reset(worker, index)) {
		session->told |= TOLD_RESET;
		connector_report_reset(worker, index);
	}
	if (worker->records[index].moved[SIDE_BACKEND] > 0) {
		tell_success(worker, index);
	}
	if (session_end_check(worker, index)) {
		return;
	}
	if (results[SIDE_CLIENT] == PUMP_AGAIN || results[SIDE_BACKEND] == PUMP_AGAIN) {
		worker_queue(worker, index);
	}
}

/*
 * The client's socket while there is no backend yet. A FIN is no reason to stop: a request may have
 * come before it. Neither is a reset while there are bytes from before it: they are delivered, and
 * then it is passed on. It is kept in mind here, as the socket tells it once and reads as an
 * orderly end afterwards.
 */
static void on_waiting_client(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	struct session_record *record = &worker->records[index];

	if ((session->side[SIDE_CLIENT] & SIDE_BROKEN) == 0 ||
		(record->flags & RECORD_LOCAL_CLIENT) != 0) {
		return;
	}
	if (socket_unread(record->fd[SIDE_CLIENT]) == 0) {
		session_blame(session, CLOSED_BY_CLIENT, CLOSE_RESET);
		session_close(worker, index, 1 << SIDE_BACKEND);
		return;
	}
	session->side[SIDE_CLIENT] |= SIDE_RESET;
	session_record_set(record, RECORD_RESET_CLIENT);
}

static uint8_t flags_of(uint32_t events)
{
	uint8_t flags = 0;

	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0) {
		flags |= SIDE_READABLE;
	}
	if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
		flags |= SIDE_WRITABLE;
	}
	if ((events & EPOLLRDHUP) != 0) {
		flags |= SIDE_HUNG;
	}
	if ((events & (EPOLLHUP | EPOLLERR)) != 0) {
		flags |= SIDE_BROKEN;
	}
	if ((events & EPOLLPRI) != 0) {
		flags |= SIDE_URGENT;
	}
	return flags;
}

/*
 * While the far side takes nothing, each segment that comes would wake the worker for nothing. From
 * the first one on the kernel keeps them to itself; the pump asks for them again once it has read
 * what is there.
 */
static void mute_input(struct worker *worker, uint32_t index, enum side side)
{
	const struct session *session = &worker->sessions[index];
	const unsigned watch = session->watch[side];

	if ((watch & WATCH_INPUT) != 0 && (session->side[other_side(side)] & SIDE_WRITABLE) == 0 &&
		session->direction[side].end == DIRECTION_RUNNING) {
		worker_watch_for(worker, index, side, watch & ~(unsigned)WATCH_INPUT);
	}
}

void session_on_event(
	struct worker *worker, uint32_t index, enum side side, uint32_t tag, uint32_t events)
{
	struct session *session;

	if (index >= worker->used) {
		return;
	}
	session = &worker->sessions[index];
	if (session->phase == SESSION_FREE || session->phase == SESSION_DEAD ||
		worker_tag(&worker->records[index], side) != tag) {
		return;
	}
	session->side[side] |= flags_of(events);
	switch ((enum session_phase)session->phase) {
	case SESSION_WAITING:
	case SESSION_CONNECTING:
		if (side == SIDE_CLIENT) {
			on_waiting_client(worker, index);
		} else if (session->phase == SESSION_CONNECTING) {
			connector_on_event(worker, index, events);
		}
		return;
	case SESSION_OPEN:
		if ((events & EPOLLIN) != 0) {
			mute_input(worker, index, side);
		}
		if (!pump_batch_add(worker, index)) {
			session_resume(worker, index);
		}
		return;
	case SESSION_LINGERING:
	case SESSION_RESETTING:
		session_resume(worker, index);
		return;
	case SESSION_INHERITED:
		adopt_session(worker, index); /* has what happened told again */
		return;
	case SESSION_FREE:
	case SESSION_DEAD:
		return;
	}
}

/*
 * A second has passed: the backend has proved itself, and the session is worth a few system calls:
 * probes that find a backend's machine gone, and a second lock against damage of its record.
 */
static void come_of_age(struct worker *worker, uint32_t index)
{
	struct session_record *record = &worker->records[index];

	worker->sessions[index].aged = 1;
	tell_success(worker, index);
	if ((record->flags & RECORD_LOCAL_BACKEND) == 0) {
		(void)socket_keep_alive(
			record->fd[SIDE_BACKEND], worker_snapshot(worker)->keepalive_s);
	}
	if (BARE) {
		return;
	}
	record->cookie[SIDE_CLIENT] = socket_cookie(record->fd[SIDE_CLIENT]);
	record->cookie[SIDE_BACKEND] = socket_cookie(record->fd[SIDE_BACKEND]);
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
	record->check = session_record_check(record, index);
}

void session_on_deadline(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	switch ((enum session_phase)session->phase) {
	case SESSION_WAITING:
	case SESSION_CONNECTING:
		connector_on_deadline(worker, index);
		return;
	case SESSION_OPEN:
		if (!session->aged && session_of_age_ns(worker, session) <= worker->now_ns) {
			come_of_age(worker, index);
		}
		session_end_watch_idle(worker, index);
		return;
	case SESSION_LINGERING:
	case SESSION_RESETTING:
		session_end_on_deadline(worker, index);
		return;
	case SESSION_FREE:
	case SESSION_DEAD:
	case SESSION_INHERITED:
		return;
	}
}

void session_blame(struct session *session, enum closed_by by, enum close_reason reason)
{
	if (session->by == CLOSED_BY_COUNT) {
		session->by = (uint8_t)by;
		session->reason = (uint8_t)reason;
	}
}

void session_cut(struct worker *worker, uint32_t index, enum close_reason reason)
{
	if (worker->sessions[index].phase == SESSION_INHERITED) {
		adopt_session(worker, index); /* what is not proven may not even be closed */
		if (worker->sessions[index].phase == SESSION_DEAD) {
			return;
		}
	}
	session_blame(&worker->sessions[index], CLOSED_BY_PROXY, reason);
	session_close(worker, index, 1 << SIDE_CLIENT | 1 << SIDE_BACKEND);
}
