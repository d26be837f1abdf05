#include "data/acceptor.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "data/session.h"
#include "data/stretch.h"
#include "data/worker.h"

enum { ACCEPTS_PER_TURN = 64 };

static const uint32_t FULL_PAUSE_NS = 10 * 1000000U;    /* at max_sessions: look again */
static const uint64_t FREED_PAUSE_NS = 1 * 1000000ULL;  /* the same when a place gets free */
static const uint64_t ERROR_PAUSE_NS = 50 * 1000000ULL; /* the system has no room */
static const uint64_t EMPTY_QUEUE_NS = 50 * 1000000ULL; /* at the stop: empty for so long */
static const uint64_t STOP_POLL_NS = 10 * 1000000ULL;

static struct worker_state *state_of(const struct worker *worker)
{
	return &worker->setup.shm->worker_states[worker->setup.index];
}

static uint32_t count_open(const struct worker *worker)
{
	return atomic_load_explicit(&state_of(worker)->listeners_open, memory_order_relaxed);
}

/* Control waits for 0 of them: who sees it sees the sessions that they accepted. */
static void set_open(struct worker *worker, uint32_t count)
{
	atomic_store_explicit(&state_of(worker)->listeners_open, count, memory_order_release);
}

static bool is_local(const struct listen_record *record)
{
	return (listen_record_flags(record) & LISTEN_LOCAL) != 0;
}

static void unwatch(const struct worker *worker, const struct listen_record *record)
{
	(void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, record->fd, NULL);
}

/*
 * Another worker may take a client of a shared UNIX socket first: wake one of them only. One that
 * refuses new clients is readable for ever: close_quiet() empties it.
 */
static int watch(const struct worker *worker, uint32_t number)
{
	const struct listen_record *record = &worker->listen[number];
	const bool local = is_local(record);
	struct epoll_event event = {
		.events = EPOLLIN | (local ? EPOLLEXCLUSIVE : 0U),
		.data.u64 = (uint64_t)(WORKER_TAG_LISTENER | number) << 32,
	};

	if (local && listen_record_state(record) == LISTEN_REFUSING) {
		unwatch(worker, record); /* another version has left it in an inherited epoll */
		return 0;
	}
	/* An inherited epoll may know it already. */
	return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, record->fd, &event) == 0 ||
			errno == EEXIST
		? 0
		: -errno;
}

/* What is queued is served from here on, and nothing comes any more. */
static void refuse_new(struct worker *worker, struct listen_record *record)
{
	record->quiet_since_ns = worker->now_ns;
	listen_record_set_state(record, LISTEN_REFUSING);
	worker->refusing_count++;
	if (is_local(record)) {
		unwatch(worker, record);
	}
	(void)socket_refuse_new(record->fd, is_local(record));
}

static void pause_accepting(struct worker *worker, uint64_t pause_ns)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);

	worker->resume_accept_ns = worker->now_ns + pause_ns;
	worker->freed_accept_ns = UINT64_MAX;
	if (worker->accept_paused) {
		return;
	}
	worker->accept_paused = true;
	for (uint32_t i = 0; i < limit; i++) {
		if (listen_record_is_live(&worker->listen[i])) {
			unwatch(worker, &worker->listen[i]);
		}
	}
}

static bool is_full(const struct worker *worker)
{
	return shm_sessions(worker->setup.shm) >= worker->setup.max_sessions ||
		!worker_has_session(worker);
}

/* With release: who sees 0 sees the sessions that have been let in. */
static void set_accepting(struct worker *worker, uint32_t accepting)
{
	atomic_store_explicit(&state_of(worker)->accepting, accepting, memory_order_release);
}

/*
 * Takes a place for the next client, until set_accepting(0). Workers that do so at once see each
 * other's places: the fence orders the stores before the loads, so max_sessions is never exceeded.
 */
static bool take_place(struct worker *worker)
{
	const struct worker_setup *setup = &worker->setup;

	set_accepting(worker, 1);
	atomic_thread_fence(memory_order_seq_cst);
	return shm_places_taken(setup->shm) <= setup->max_sessions && worker_has_session(worker);
}

/*
 * Workers that took the last place from each other do not come again at the same time, and none is
 * always before another one. So only a worker that is alone need not wait for the end of a pause
 * when a session of its own has ended: it would always be the first.
 */
static void pause_full(struct worker *worker)
{
	pause_accepting(worker, FULL_PAUSE_NS / 2 + rng_below(&worker->rng, FULL_PAUSE_NS));
	if (worker->setup.shm->workers == 1) {
		worker->freed_accept_ns = worker->now_ns + FREED_PAUSE_NS;
	}
}

void acceptor_on_place(struct worker *worker)
{
	if (worker->freed_accept_ns < worker->resume_accept_ns) {
		worker->resume_accept_ns = worker->freed_accept_ns;
	}
}

static void resume_accepting(struct worker *worker)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);

	if (is_full(worker)) {
		pause_full(worker);
		return;
	}
	worker->accept_paused = false;
	worker->resume_accept_ns = 0;
	worker->freed_accept_ns = UINT64_MAX;
	for (uint32_t i = 0; i < limit; i++) {
		if (listen_record_is_live(&worker->listen[i]) && watch(worker, i) < 0) {
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

/* accept(2) has these as reasons to ask again: a connection that failed before it was let in. */
static bool concerns_one_client(int error)
{
	switch (error) {
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		return true;
	default:
		return false;
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
	if (concerns_one_client(error)) {
		return true;
	}
	/* Asking again would not help: leave the clients in the queue for a while. */
	if (error != EINVAL && error != EBADF && error != ENOTSOCK) { /* no queue any more */
		pause_accepting(worker, ERROR_PAUSE_NS);
	}
	return false;
}

/*
 * Claims a place before the client is let in. Workers that do so at once see each other's claims:
 * the fence orders the store before the loads, so the limit is never exceeded.
 */
static bool claim(struct worker *worker, uint32_t listener, uint32_t limit)
{
	struct listener_counters *counters = worker_listener_counters(worker, listener);

	counter_add(&counters->claimed, 1);
	if (limit == 0) {
		return true; /* counted all the same: a reload may set a limit */
	}
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

	if (!claim(worker, listener, limit)) {
		counter_add(&worker_listener_counters(worker, listener)->rejected[REJECT_LIMIT], 1);
		socket_reset_on_close(fd);
		socket_close(fd);
		return;
	}
	session_accept(worker, listener, fd, address, true);
}

void acceptor_admit(struct worker *worker, uint32_t listener, int fd)
{
	struct sockaddr_any address = {.length = sizeof address.local};

	if (getpeername(fd, &address.generic, &address.length) < 0) {
		socket_close(fd); /* it has gone already */
	} else {
		admit(worker, listener, fd, &address);
	}
	set_accepting(worker,
		atomic_load_explicit(&state_of(worker)->accepting, memory_order_relaxed) - 1);
}

/* Takes up to a turn's worth of clients, also of those who fail. Returns how many came. */
static uint32_t accept_some(struct worker *worker, uint32_t number)
{
	const struct listen_record *record = &worker->listen[number];
	uint32_t count = 0;

	for (uint32_t i = 0; i < ACCEPTS_PER_TURN && !worker->accept_paused; i++) {
		const uint32_t listener =
			atomic_load_explicit(&record->listener, memory_order_relaxed);
		struct sockaddr_any address = {.length = sizeof address.local};
		int fd;

		if (!take_place(worker)) {
			pause_full(worker);
			break;
		}
		fd = accept4(record->fd, &address.generic, &address.length, SOCK_NONBLOCK);
		stretch_long();
		if (fd >= 0) {
			admit(worker, listener, fd, &address);
			count++;
		} else if (!on_accept_error(worker, listener, errno)) {
			break;
		}
	}
	set_accepting(worker, 0);
	return count;
}

void acceptor_on_event(struct worker *worker, uint32_t number)
{
	struct listen_record *record;

	if (number >= LISTEN_SOCKETS_MAX) {
		return;
	}
	record = &worker->listen[number];
	if (listen_record_is_live(record) && accept_some(worker, number) > 0 &&
		listen_record_state(record) == LISTEN_REFUSING) {
		record->quiet_since_ns = worker->now_ns;
	}
}

/* Watches what is live, and begins to empty what is retired. Returns 0 or a negative errno. */
static int look_at_table(struct worker *worker)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);
	uint32_t open = 0;
	int failure = 0;

	for (uint32_t i = 0; i < limit; i++) {
		struct listen_record *record = &worker->listen[i];
		int r;

		if (!listen_record_is_live(record)) {
			continue;
		}
		open++;
		r = worker->accept_paused ? 0 : watch(worker, i);
		failure = r < 0 && r != -EEXIST ? r : failure;
		if (listen_record_state(record) == LISTEN_OPEN &&
			(listen_record_flags(record) & LISTEN_RETIRED) != 0) {
			refuse_new(worker, record);
		}
	}
	set_open(worker, open);
	return failure;
}

int acceptor_start(struct worker *worker)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);

	/* A predecessor may have died there: who was let in has a place until it is admitted. */
	set_accepting(worker, worker->setup.orphan_count);
	for (uint32_t i = 0; i < limit; i++) {
		if (listen_record_state(&worker->listen[i]) == LISTEN_REFUSING) {
			worker->refusing_count++;
		}
	}
	return look_at_table(worker);
}

void acceptor_review(struct worker *worker)
{
	if (look_at_table(worker) < 0) {
		pause_accepting(worker, ERROR_PAUSE_NS);
	}
}

void acceptor_begin_stop(struct worker *worker)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);

	if (worker->stopping) {
		return;
	}
	worker->stopping = true;
	for (uint32_t i = 0; i < limit; i++) {
		if (listen_record_state(&worker->listen[i]) == LISTEN_OPEN) {
			refuse_new(worker, &worker->listen[i]);
		}
	}
}

/* In this order, so that an open record never names a descriptor of somebody else. */
static void close_record(struct worker *worker, struct listen_record *record)
{
	worker->refusing_count -= listen_record_state(record) == LISTEN_REFUSING ? 1 : 0;
	if (is_local(record)) {
		/* A close would not do it while another worker has a duplicate. */
		unwatch(worker, record);
	}
	listen_record_set_state(record, LISTEN_CLOSING);
	atomic_thread_fence(memory_order_seq_cst);
	socket_close(record->fd);
	listen_record_set_state(record, LISTEN_FREE);
}

void acceptor_close(struct worker *worker)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);

	for (uint32_t i = 0; i < limit; i++) {
		if (listen_record_is_live(&worker->listen[i])) {
			close_record(worker, &worker->listen[i]);
		}
	}
	set_open(worker, 0);
}

/* Those whose queues have been empty for long enough. Returns how many. */
static uint32_t close_quiet(struct worker *worker)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);
	uint32_t closed = 0;

	for (uint32_t i = 0; i < limit; i++) {
		struct listen_record *record = &worker->listen[i];

		if (listen_record_state(record) != LISTEN_REFUSING) {
			continue;
		}
		/* Also without an event: the last look before an empty queue is believed. */
		acceptor_on_event(worker, i);
		if (!worker->accept_paused &&
			worker->now_ns - record->quiet_since_ns >= EMPTY_QUEUE_NS) {
			close_record(worker, record);
			closed++;
		}
	}
	return closed;
}

void acceptor_on_turn(struct worker *worker)
{
	uint32_t closed;

	if (worker->accept_paused && worker->now_ns >= worker->resume_accept_ns) {
		resume_accepting(worker);
	}
	if (worker->refusing_count == 0 || worker->accept_paused) {
		return;
	}
	closed = close_quiet(worker);
	if (closed > 0) {
		set_open(worker, count_open(worker) - closed);
		worker_report(worker, EVIDENCE_FINISHED, FAILURE_REFUSED, 0, worker->now_ns);
	}
}

/* Whether one that is being emptied gave a client in this turn: there may be more. */
static bool is_giving(const struct worker *worker)
{
	const uint32_t limit = shm_listen_limit(worker->setup.shm);

	for (uint32_t i = 0; i < limit; i++) {
		if (listen_record_state(&worker->listen[i]) == LISTEN_REFUSING &&
			worker->listen[i].quiet_since_ns == worker->now_ns) {
			return true;
		}
	}
	return false;
}

uint64_t acceptor_next_ns(const struct worker *worker)
{
	uint64_t next = worker->accept_paused ? worker->resume_accept_ns : UINT64_MAX;

	if (worker->refusing_count > 0) {
		const uint64_t poll = worker->now_ns + (is_giving(worker) ? 0 : STOP_POLL_NS);

		next = poll < next ? poll : next;
	}
	return next;
}
