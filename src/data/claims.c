#include "data/claims.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "os/pipe.h"
#include "os/socket.h"
#include "os/steering.h"
#include "os/stream.h"

enum {
	ORPHANS_MAX = 1024,   /* per worker: more than a turn accepts */
	EMPTY_RUN_MAX = 1024, /* so many free numbers in a row: nothing is open above */
};

/* What is known of each descriptor: two bits. */
struct table {
	struct shm *shm;
	struct claims *claims;
	uint8_t *marks; /* owned; by descriptor: enum mark */
	uint32_t limit;
	uint32_t highest; /* of those claimed or kept */
	bool damaged;     /* a record was not valid */
};

enum mark {
	MARK_NONE = 0,
	MARK_CLAIMED,
	MARK_DISPUTED, /* claimed twice: by nobody */
	MARK_KEPT,     /* not to be claimed */
};

static bool is_in_range(const struct table *table, int fd)
{
	return fd > STDERR_FILENO && (uint32_t)fd < table->limit;
}

static void claim(struct table *table, int fd)
{
	if (table->marks[fd] == MARK_NONE) {
		table->marks[fd] = MARK_CLAIMED;
		table->highest = (uint32_t)fd > table->highest ? (uint32_t)fd : table->highest;
	} else if (table->marks[fd] == MARK_CLAIMED) {
		table->marks[fd] = MARK_DISPUTED;
	}
}

static bool is_its_own(const struct table *table, int fd)
{
	return is_in_range(table, fd) && table->marks[fd] == MARK_CLAIMED;
}

static uint32_t at_most(uint32_t value, uint32_t limit)
{
	return value < limit ? value : limit;
}

static uint32_t records_used(const struct table *table, uint32_t worker)
{
	return at_most(
		table->shm->worker_states[worker].records_used, table->shm->sessions_per_worker);
}

static enum record_state state_of(const struct session_record *record)
{
	return (enum record_state)atomic_load_explicit(&record->state, memory_order_relaxed);
}

static void forget(struct table *table, uint32_t worker, struct session_record *record)
{
	table->damaged = true;
	counter_add(&table->shm->worker_states[worker].lost[LOST_DAMAGED], 1);
	atomic_store_explicit(&record->state, RECORD_FREE, memory_order_relaxed);
}

/* The numbers in it may be used as indexes. */
static bool is_sound(const struct session_record *record)
{
	return record->listener < LISTENERS_MAX && record->pool < POOLS_MAX &&
		(record->slot < SLOTS_MAX ||
			(record->slot == RECORD_NONE && state_of(record) != RECORD_OPEN));
}

/* The descriptors that a record speaks for: -1 where it has none. */
static void list_descriptors(
	const struct session_record *record, uint32_t index, int ret_fds[static SIDE_COUNT])
{
	ret_fds[SIDE_CLIENT] = session_record_fd(record, SIDE_CLIENT);
	ret_fds[SIDE_BACKEND] = session_record_has_backend(record, index)
		? session_record_fd(record, SIDE_BACKEND)
		: -1;
}

static void claim_session(struct table *table, uint32_t worker, uint32_t index)
{
	struct session_record *record = shm_record(table->shm, worker, index);
	enum record_state state;
	int fds[SIDE_COUNT];

	session_record_settle(record, index);
	state = state_of(record);
	if (state == RECORD_FREE || state == RECORD_CLOSING) {
		return;
	}
	if (!session_record_valid(record, index) || !is_sound(record)) {
		forget(table, worker, record);
		return;
	}
	list_descriptors(record, index, fds);
	for (int side = 0; side < SIDE_COUNT; side++) {
		if (fds[side] >= 0 && !is_in_range(table, fds[side])) {
			forget(table, worker, record);
			return;
		}
	}
	for (int side = 0; side < SIDE_COUNT; side++) {
		if (fds[side] >= 0) {
			claim(table, fds[side]);
		}
	}
}

static void release(struct table *table, const int fds[static SIDE_COUNT])
{
	for (int side = 0; side < SIDE_COUNT; side++) {
		if (is_in_range(table, fds[side]) && table->marks[fds[side]] == MARK_CLAIMED) {
			table->marks[fds[side]] = MARK_NONE;
		}
	}
}

/* Forgets the record when somebody else claims one of its descriptors, too. */
static void confirm_session(struct table *table, uint32_t worker, uint32_t index)
{
	struct session_record *record = shm_record(table->shm, worker, index);
	int fds[SIDE_COUNT];

	if (state_of(record) != RECORD_CONNECTING && state_of(record) != RECORD_OPEN) {
		return;
	}
	list_descriptors(record, index, fds);
	for (int side = 0; side < SIDE_COUNT; side++) {
		if (fds[side] >= 0 && !is_its_own(table, fds[side])) {
			forget(table, worker, record);
			release(table, fds);
			return;
		}
	}
}

static void for_each_session(
	struct table *table, void (*visit)(struct table *table, uint32_t worker, uint32_t index))
{
	for (uint32_t worker = 0; worker < table->shm->workers; worker++) {
		for (uint32_t index = 0; index < records_used(table, worker); index++) {
			visit(table, worker, index);
		}
	}
}

/* Whose descriptors and owner are what they were when it was lent to a session. */
static bool is_intact(const struct table *table, const struct pipe_record *pipe, uint32_t number)
{
	const int fds[] = {pipe->fd[0], pipe->fd[1]};
	uint64_t inode;

	if (pipe->check != pipe_record_check(pipe)) {
		return false;
	}
	for (int i = 0; i < 2; i++) {
		if (!is_in_range(table, fds[i]) || table->marks[fds[i]] != MARK_NONE) {
			return false;
		}
	}
	inode = pipe_inode(fds);
	return inode != 0 && pipe->identity == pipe_record_identity(pipe, number, inode);
}

/*
 * A pipe counts when the session that it is lent to names it. One that is not named is empty, or
 * what was in it is thrown away: else the session has been made to forget it.
 */
static void claim_pipe(struct table *table, uint32_t worker, uint32_t number)
{
	struct shm *shm = table->shm;
	struct pipe_record *pipe = &shm->pipes[(size_t)worker * PIPES_PER_WORKER + number];
	const uint32_t index = pipe->owner >> 1;
	const uint32_t from = pipe->owner & 1;
	const unsigned discard =
		from == SIDE_CLIENT ? RECORD_DISCARD_CLIENT : RECORD_DISCARD_BACKEND;

	if (pipe->owner != RECORD_NONE && index < records_used(table, worker) &&
		is_intact(table, pipe, number)) {
		struct session_record *record = shm_record(shm, worker, index);

		if (state_of(record) == RECORD_OPEN && record->pipe[from] == number) {
			claim(table, pipe->fd[0]);
			claim(table, pipe->fd[1]);
			return;
		}
		if (state_of(record) == RECORD_OPEN && pipe_bytes(pipe->fd[0]) > 0 &&
			(record->flags & (discard | RECORD_RESETTING | RECORD_LINGERING)) == 0) {
			session_record_spoil(record);
		}
	}
	pipe->fd[0] = -1;
	pipe->fd[1] = -1;
}

static void claim_pipes(struct table *table)
{
	for (uint32_t worker = 0; worker < table->shm->workers; worker++) {
		const uint32_t used =
			at_most(table->shm->worker_states[worker].pipes_used, PIPES_PER_WORKER);

		for (uint32_t number = 0; number < used; number++) {
			claim_pipe(table, worker, number);
		}
	}
}

static bool is_listening(int fd)
{
	int listening = 0;
	socklen_t length = sizeof listening;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) == 0 &&
		listening != 0;
}

/* One that was shut for new connections is not listening any more, but has its queue. */
static bool is_listener(const struct listen_record *record)
{
	return socket_cookie(record->fd) == record->cookie &&
		(is_listening(record->fd) || (record->flags & LISTEN_LOCAL) != 0);
}

static void keep_one(struct table *table, int fd)
{
	if (is_in_range(table, fd)) {
		table->marks[fd] = MARK_KEPT;
		table->highest = (uint32_t)fd > table->highest ? (uint32_t)fd : table->highest;
	}
}

static void claim_listeners(struct table *table)
{
	for (uint32_t worker = 0; worker < table->shm->workers; worker++) {
		for (uint32_t i = 0; i < LISTEN_SOCKETS_MAX; i++) {
			struct listen_record *record = shm_listen_record(table->shm, worker, i);

			if (listen_record_is_live(record) && is_in_range(table, record->fd) &&
				record->listener < LISTENERS_MAX && is_listener(record)) {
				/* Its cookie has proved it: no session can dispute it. */
				keep_one(table, record->fd);
			} else {
				listen_record_set_state(record, LISTEN_FREE);
			}
		}
	}
}

static bool is_kind(int fd, const char *kind)
{
	char link[64];
	char target[64];
	ssize_t length;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, target, sizeof target - 1);
	if (length <= 0) {
		return false;
	}
	target[length] = '\0';
	return strcmp(target, kind) == 0;
}

static void claim_epolls(struct table *table)
{
	for (uint32_t worker = 0; worker < table->shm->workers; worker++) {
		struct worker_state *state = &table->shm->worker_states[worker];
		const int epoll = state->epoll_fd;
		const int wake = state->wake_fd;

		if (is_in_range(table, epoll) && is_in_range(table, wake) &&
			table->marks[epoll] == MARK_NONE && table->marks[wake] == MARK_NONE &&
			is_kind(epoll, "anon_inode:[eventpoll]") &&
			is_kind(wake, "anon_inode:[eventfd]")) {
			claim(table, epoll);
			claim(table, wake);
		} else {
			state->epoll_fd = 0;
			state->wake_fd = 0;
		}
	}
}

/* Whether an accepted socket came from that listener's address, a wildcard included. */
static bool is_address_of(const struct sockaddr_any *listener, const struct sockaddr_any *local)
{
	static const struct in6_addr any = IN6ADDR_ANY_INIT;

	if (listener->generic.sa_family != local->generic.sa_family) {
		return false;
	}
	switch (listener->generic.sa_family) {
	case AF_INET:
		return listener->ip4.sin_port == local->ip4.sin_port &&
			(listener->ip4.sin_addr.s_addr == htonl(INADDR_ANY) ||
				listener->ip4.sin_addr.s_addr == local->ip4.sin_addr.s_addr);
	case AF_INET6:
		return listener->ip6.sin6_port == local->ip6.sin6_port &&
			(memcmp(&listener->ip6.sin6_addr, &any, sizeof any) == 0 ||
				memcmp(&listener->ip6.sin6_addr, &local->ip6.sin6_addr,
					sizeof any) == 0);
	case AF_UNIX:
		return listener->length == local->length &&
			memcmp(&listener->local, &local->local, local->length) == 0;
	default:
		return false;
	}
}

/* The listener that the socket was accepted from, or -1. */
static int listener_of(const struct table *table, int fd)
{
	struct sockaddr_any local = {.length = sizeof local.local};
	struct sockaddr_any listener;

	if (getsockname(fd, &local.generic, &local.length) < 0) {
		return -1;
	}
	for (uint32_t i = 0; i < LISTEN_SOCKETS_MAX; i++) {
		const struct listen_record *record = shm_listen_record(table->shm, 0, i);

		listener.length = sizeof listener.local;
		if (listen_record_is_live(record) &&
			getsockname(record->fd, &listener.generic, &listener.length) == 0 &&
			is_address_of(&listener, &local)) {
			return (int)record->listener;
		}
	}
	return -1;
}

/*
 * Nothing has gone through it in either direction, and nobody was about to reset it: so no session
 * can have had it. Of a UNIX socket that cannot be told: it is believed unless a record was
 * damaged.
 */
static bool is_untouched(const struct table *table, int fd)
{
	struct stream_position position;
	const int r = stream_position_get(fd, false, &position);

	if (r == -EOPNOTSUPP) {
		return !table->damaged;
	}
	return r == 0 && !socket_resets_on_close(fd) && stream_position_is_start(&position);
}

/* Accepted, and not yet recorded: a session of its own begins with it. */
static bool adopt_orphan(struct table *table, int fd)
{
	const int listener = is_listening(fd) ? -1 : listener_of(table, fd);
	const uint32_t worker = (uint32_t)fd % table->shm->workers;
	struct claims *claims = table->claims;

	if (listener < 0 || !is_untouched(table, fd) ||
		claims->orphan_count[worker] == ORPHANS_MAX) {
		return false;
	}
	if (claims->orphans[worker] == NULL) {
		claims->orphans[worker] = calloc(ORPHANS_MAX, sizeof **claims->orphans);
		if (claims->orphans[worker] == NULL) {
			return false;
		}
	}
	claims->orphans[worker][claims->orphan_count[worker]] =
		(struct orphan){.fd = fd, .listener = (uint32_t)listener};
	claims->orphan_count[worker]++;
	return true;
}

/*
 * Without a word about how, a session is closed only once both ends have been read. Else its state
 * is damaged, and a FIN would look like the end of what was cut.
 */
static bool is_cut(const struct session_record *record, int fd)
{
	struct stream_position position;

	return (record->flags & (RECORD_RESETTING | RECORD_LINGERING)) == 0 &&
		stream_position_get(fd, false, &position) == 0 && !position.fin_received;
}

/* Ends what a session was ending when it died: its last bytes may still be on their way. */
static void finish_closing(struct table *table, uint32_t worker, uint32_t index)
{
	struct session_record *record = shm_record(table->shm, worker, index);

	if (state_of(record) != RECORD_CLOSING) {
		return;
	}
	if (!session_record_valid(record, index) || !is_sound(record)) {
		forget(table, worker, record);
		return;
	}
	for (int side = 0; side < SIDE_COUNT; side++) {
		const int fd = session_record_fd(record, (enum side)side);
		/* Who closes a local client stores its cookie: else the state is damaged. */
		const bool is_known = record->cookie[side] != 0 ||
			(side == SIDE_CLIENT && (record->flags & RECORD_LOCAL_CLIENT) != 0);

		/* Its number may be somebody else's by now, who has not said so yet. */
		if (!is_in_range(table, fd) || table->marks[fd] != MARK_NONE ||
			(record->cookie[side] != 0 && socket_cookie(fd) != record->cookie[side]) ||
			(!is_known && adopt_orphan(table, fd))) {
			continue;
		}
		if ((record->flags & RECORD_RESETTING) != 0 || is_cut(record, fd)) {
			socket_reset_on_close(fd);
		}
		socket_close(fd);
	}
	session_record_set(record, RECORD_GONE_CLIENT | RECORD_GONE_BACKEND);
}

static bool is_orphan(const struct claims *claims, const struct shm *shm, int fd)
{
	const uint32_t worker = (uint32_t)fd % shm->workers;

	for (uint32_t i = 0; i < claims->orphan_count[worker]; i++) {
		if (claims->orphans[worker][i].fd == fd) {
			return true;
		}
	}
	return false;
}

/* Not with a FIN: a peer would take what it has got for all there is. */
static void close_unclaimed(struct table *table, int fd)
{
	if (is_orphan(table->claims, table->shm, fd) || adopt_orphan(table, fd)) {
		return;
	}
	socket_reset_on_close(fd); /* of no effect on what is no socket */
	socket_close(fd);
}

static void sweep(struct table *table)
{
	uint32_t empty = 0;

	for (uint32_t fd = STDERR_FILENO + 1; fd < table->limit; fd++) {
		if (table->marks[fd] == MARK_CLAIMED || table->marks[fd] == MARK_KEPT) {
			empty = 0;
			continue;
		}
		if (fcntl((int)fd, F_GETFD) < 0) {
			empty++;
			if (fd > table->highest && empty >= EMPTY_RUN_MAX) {
				(void)close_range(fd, ~0U, 0);
				return;
			}
			continue;
		}
		empty = 0;
		close_unclaimed(table, (int)fd);
	}
}

static uint32_t descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > UINT32_MAX) {
		return 1U << 20;
	}
	return (uint32_t)limit.rlim_cur;
}

/* It goes on steering for its workers. A number that was damaged is looked at no more. */
static void keep_steering(struct table *table)
{
	_Atomic int32_t *number = &table->shm->header->process.steering_fd;
	const int fd = atomic_load_explicit(number, memory_order_relaxed);

	if (is_in_range(table, fd) && table->marks[fd] == MARK_NONE && steering_is_array(fd)) {
		keep_one(table, fd);
		return;
	}
	atomic_store_explicit(number, 0, memory_order_relaxed);
}

int claims_take(struct shm *shm, const int *keep, uint32_t keep_count, struct claims *ret_claims,
	struct error *err)
{
	struct table table = {.shm = shm, .claims = ret_claims, .limit = descriptor_limit()};

	memset(ret_claims, 0, sizeof *ret_claims);
	table.marks = calloc(table.limit, sizeof *table.marks);
	if (table.marks == NULL) {
		return error_set(err, ENOMEM, "cannot sort %u descriptors", table.limit);
	}
	for (uint32_t i = 0; i < keep_count; i++) {
		keep_one(&table, keep[i]);
	}
	keep_steering(&table);
	claim_listeners(&table);
	for_each_session(&table, claim_session);
	for_each_session(&table, confirm_session);
	claim_pipes(&table);
	claim_epolls(&table);
	for_each_session(&table, finish_closing);
	sweep(&table);
	free(table.marks);
	return 0;
}

void claims_done(struct claims *claims)
{
	for (uint32_t worker = 0; worker < WORKERS_MAX; worker++) {
		free(claims->orphans[worker]);
	}
	memset(claims, 0, sizeof *claims);
}
