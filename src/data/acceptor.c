#include "data/acceptor.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "data/session.h"
#include "data/worker.h"

enum { ACCEPTS_PER_TURN = 64 };

static const uint64_t FULL_PAUSE_NS = 10 * 1000000ULL;  /* at max_sessions: look again */
static const uint64_t ERROR_PAUSE_NS = 50 * 1000000ULL; /* the system has no room */
static const uint64_t EMPTY_QUEUE_NS = 50 * 1000000ULL; /* at the stop: empty for so long */
static const uint64_t STOP_POLL_NS = 10 * 1000000ULL;

/* Another worker may take a client of a shared UNIX socket first: wake one of them only. */
static int watch(const struct worker *worker, uint32_t number)
{
	const struct listen_socket *socket = &worker->sockets[number];
	struct epoll_event event = {
		.events = EPOLLIN | (socket->local ? EPOLLEXCLUSIVE : 0U),
		.data.u64 = (uint64_t)(WORKER_TAG_LISTENER | number) << 32,
	};

	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, socket->fd, &event) == 0 ? 0 : -errno;
}

int acceptor_start(struct worker *worker)
{
	uint32_t open = 0;

	for (uint32_t i = 0; i < worker->setup.socket_count; i++) {
		const int r = watch(worker, i);

		if (r < 0) {
			return r;
		}
		open++;
	}
	atomic_store_explicit(&worker->setup.shm->worker_states[worker->setup.index].listeners_open,
		open, memory_order_release);
	return 0;
}

static void pause_accepting(struct worker *worker, uint64_t pause_ns)
{
	worker->resume_accept_ns = worker->now_ns + pause_ns;
	if (worker->accept_paused) {
		return;
	}
	worker->accept_paused = true;
	for (uint32_t i = 0; i < worker->setup.socket_count; i++) {
		if (worker->sockets[i].fd >= 0) {
			(void)epoll_ctl(
				worker->epoll_fd, EPOLL_CTL_DEL, worker->sockets[i].fd, NULL);
		}
	}
}

static bool is_full(const struct worker *worker)
{
	return shm_sessions(worker->setup.shm) >= worker->setup.max_sessions;
}

static void resume_accepting(struct worker *worker)
{
	if (is_full(worker)) {
		worker->resume_accept_ns = worker->now_ns + FULL_PAUSE_NS;
		return;
	}
	worker->accept_paused = false;
	worker->resume_accept_ns = 0;
	for (uint32_t i = 0; i < worker->setup.socket_count; i++) {
		if (worker->sockets[i].fd >= 0 && watch(worker, i) < 0) {
			pause_accepting(worker, ERROR_PAUSE_NS);
			return;
		}
	}
}

static enum accept_error count_as(int error)
{
	switch (error) {
	case EMFILE:
		return ACCEPT_EMFILE;
	case ENFILE:
		return ACCEPT_ENFILE;
	case ENOBUFS:
		return ACCEPT_ENOBUFS;
	case ENOMEM:
		return ACCEPT_ENOMEM;
	case ECONNABORTED:
		return ACCEPT_ECONNABORTED;
	case EPROTO:
		return ACCEPT_EPROTO;
	default:
		return ACCEPT_OTHER;
	}
}

/* Whether to go on with this queue now. */
static bool on_accept_error(struct worker *worker, uint32_t listener, int error)
{
	if (error == EAGAIN) {
		return false;
	}
	if (error == EINTR) {
		return true;
	}
	counter_add(&worker_listener_counters(worker, listener)->accept_errors[count_as(error)], 1);
	if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
		/* Asking again would not help: leave the clients in the queue for a while. */
		pause_accepting(worker, ERROR_PAUSE_NS);
		return false;
	}
	/* The rest concerns one connection that has failed already (accept(2), Linux errors). */
	return error != EINVAL && error != EBADF && error != ENOTSOCK;
}

/*
 * Claims a place before the client is let in. Workers that do so at once see each other's claims:
 * the fence orders the store before the loads, so the limit is never exceeded.
 */
static bool claim(struct worker *worker, uint32_t listener, uint32_t limit)
{
	struct listener_counters *counters = worker_listener_counters(worker, listener);

	counter_add(&counters->claimed, 1);
	atomic_thread_fence(memory_order_seq_cst);
	if (shm_listener_claims(worker->setup.shm, listener) <= limit) {
		return true;
	}
	counter_add(&counters->released, 1);
	return false;
}

static void admit(
	struct worker *worker, uint32_t listener, int fd, const struct sockaddr_any *address)
{
	const struct snapshot_listener *options =
		snapshot_listener(worker_snapshot(worker), listener);
	const uint32_t limit = options == NULL ? 0 : options->max_connections;

	if (limit > 0 && !claim(worker, listener, limit)) {
		counter_add(&worker_listener_counters(worker, listener)->rejected[REJECT_LIMIT], 1);
		socket_reset_on_close(fd);
		socket_close(fd);
		return;
	}
	session_accept(worker, listener, fd, address, limit > 0);
}

/* Takes up to a turn's worth of clients. Returns how many came. */
static uint32_t accept_some(struct worker *worker, uint32_t number)
{
	const struct listen_socket *socket = &worker->sockets[number];
	uint32_t count = 0;

	while (count < ACCEPTS_PER_TURN && socket->fd >= 0 && !worker->accept_paused) {
		struct sockaddr_any address = {.length = sizeof address.local};
		int fd;

		if (is_full(worker)) {
			pause_accepting(worker, FULL_PAUSE_NS);
			break;
		}
		fd = accept4(socket->fd, &address.generic, &address.length, SOCK_NONBLOCK);
		if (fd >= 0) {
			admit(worker, socket->listener, fd, &address);
			count++;
		} else if (!on_accept_error(worker, socket->listener, errno)) {
			break;
		}
	}
	return count;
}

void acceptor_on_event(struct worker *worker, uint32_t number)
{
	if (number < worker->setup.socket_count && accept_some(worker, number) > 0 &&
		worker->stopping) {
		worker->refuse_since_ns = worker->now_ns;
	}
}

void acceptor_begin_stop(struct worker *worker)
{
	if (worker->stopping) {
		return;
	}
	worker->stopping = true;
	worker->refuse_since_ns = worker->now_ns;
	for (uint32_t i = 0; i < worker->setup.socket_count; i++) {
		if (worker->sockets[i].fd >= 0) {
			(void)socket_refuse_new(worker->sockets[i].fd, worker->sockets[i].local);
		}
	}
}

void acceptor_close(struct worker *worker)
{
	for (uint32_t i = 0; i < worker->setup.socket_count; i++) {
		socket_close(worker->sockets[i].fd);
		worker->sockets[i].fd = -1;
	}
	atomic_store_explicit(&worker->setup.shm->worker_states[worker->setup.index].listeners_open,
		0, memory_order_release);
}

static bool is_closing(const struct worker *worker)
{
	return worker->stopping &&
		atomic_load_explicit(
			&worker->setup.shm->worker_states[worker->setup.index].listeners_open,
			memory_order_relaxed) > 0;
}

void acceptor_on_turn(struct worker *worker)
{
	if (worker->accept_paused && worker->now_ns >= worker->resume_accept_ns) {
		resume_accepting(worker);
	}
	if (!is_closing(worker) || worker->accept_paused) {
		return;
	}
	/* Also without an event: the last look before an empty queue is believed. */
	for (uint32_t i = 0; i < worker->setup.socket_count; i++) {
		acceptor_on_event(worker, i);
	}
	if (!worker->accept_paused && worker->now_ns - worker->refuse_since_ns >= EMPTY_QUEUE_NS) {
		acceptor_close(worker);
		worker_report(worker, EVIDENCE_FINISHED, FAILURE_REFUSED, 0, worker->now_ns);
	}
}

uint64_t acceptor_next_ns(const struct worker *worker)
{
	uint64_t next = worker->accept_paused ? worker->resume_accept_ns : UINT64_MAX;

	if (is_closing(worker)) {
		const uint64_t poll = worker->now_ns + STOP_POLL_NS;

		next = poll < next ? poll : next;
	}
	return next;
}
