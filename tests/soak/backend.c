#include "backend.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/clock.h"
#include "peer.h"

enum {
	EVENTS = 256,
	ACCEPTS_PER_EVENT = 256,
	SESSIONS_SEEN = 64 * 1024 * 1024, /* bits: numbers of sessions that have come */
	TAG_LISTENER = 0x40000000,
	TAG_SIGNAL = 0x7fffffff,
	TICK_MS = 500,
	SLOW_BUFFER_BYTES = 32 * 1024, /* so that others hold the bytes back */
};

struct backend {
	struct stage stage;
	const struct backend_setup *setup; /* borrowed */
	uint8_t *seen;                     /* owned: bits by session */
	uint64_t nonce;
	int signal_fd;
	int stops;
};

static bool hurried(const struct backend *backend)
{
	return backend->stops > 0;
}

static void forget(struct backend *backend, struct peer *peer, bool reset)
{
	struct stage *stage = &backend->stage;

	stage_remove(stage, peer, reset);
	stage->tally->open[SIDE_BACKEND]--;
}

static void take(struct backend *backend, int fd)
{
	struct stage *stage = &backend->stage;
	struct peer *peer = stage_add(stage, fd);
	struct greeting greeting;

	if (peer == NULL) {
		tally_error(stage->tally, SIDE_BACKEND, COUNT_LOCAL, CLASS_COUNT, 0, "no room");
		return;
	}
	stage->tally->open[SIDE_BACKEND]++;
	stage->tally->count[SIDE_BACKEND][COUNT_OPENED]++;
	peer->nonce = ++backend->nonce;
	greeting = wire_greeting(peer->nonce);
	memcpy(peer->out.prefix, &greeting, sizeof greeting);
	peer->out.prefix_length = GREETING_BYTES;
	peer->in.prefix_length = HELLO_BYTES + (backend->setup->proxy ? PROXY_HEADER_BYTES : 0);
}

static void accept_all(struct backend *backend, int listener)
{
	for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
		const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			take(backend, fd);
		} else if (errno != EINTR && errno != ECONNABORTED) {
			if (errno != EAGAIN) {
				tally_error(backend->stage.tally, SIDE_BACKEND, COUNT_LOCAL,
					CLASS_COUNT, 0, "accept: %s", strerrordesc_np(errno));
			}
			return;
		}
	}
}

/* Whether a session of that number has come before; from now on it has. */
static bool seen_before(struct backend *backend, uint32_t session)
{
	uint8_t *byte = &backend->seen[session / 8 % (SESSIONS_SEEN / 8)];
	const uint8_t bit = (uint8_t)(1U << session % 8);
	const bool before = (*byte & bit) != 0;

	*byte |= bit;
	return before;
}

/* The hello is there: who it is, and how to behave. False: not to be believed. */
static bool introduce(struct backend *backend, struct peer *peer)
{
	struct stage *stage = &backend->stage;
	struct hello hello;

	memcpy(&hello, peer->in.prefix + peer->in.prefix_length - HELLO_BYTES, sizeof hello);
	if (!wire_hello_ok(&hello) ||
		(backend->setup->proxy && !wire_proxy_header_ok(peer->in.prefix))) {
		tally_error(stage->tally, SIDE_BACKEND, COUNT_DAMAGED, CLASS_COUNT, 0, "hello");
		return false;
	}
	peer->session = hello.session;
	peer->class = (uint8_t)hello.class;
	stage->tally->opened[SIDE_BACKEND][peer->class]++;
	if (hello.nonce != 0 && hello.nonce != peer->nonce) {
		tally_error(stage->tally, SIDE_BACKEND, COUNT_STRANGERS,
			(enum session_class)peer->class, peer->session,
			"greeted by connection %" PRIu64 ", came by %" PRIu64, hello.nonce,
			peer->nonce);
		return false;
	}
	if (seen_before(backend, peer->session)) {
		tally_error(stage->tally, SIDE_BACKEND, COUNT_REPEATED,
			(enum session_class)peer->class, peer->session, "came twice");
		return false;
	}
	peer->in.key = pattern_key(peer->session, DIRECTION_UP);
	peer->out.key = pattern_key(peer->session, DIRECTION_DOWN);
	peer->send = (struct pace){.bytes = hello.burst, .every_ms = hello.every_ms};
	if (!hurried(backend) && hello.read_bytes > 0) {
		const int bytes = SLOW_BUFFER_BYTES;

		peer->read =
			(struct pace){.bytes = hello.read_bytes, .every_ms = hello.read_every_ms};
		(void)setsockopt(peer->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	}
	peer->limit = hello.limit;
	if (hello.hold_ms > 0) {
		peer->end_ns = hurried(backend) ? stage->now_ns
						: stage->now_ns + hello.hold_ms * NS_PER_MS;
	}
	return true;
}

/* Whether the class asks and answers. */
static bool answers(const struct peer *peer)
{
	return peer->class == CLASS_PROBE || peer->class == CLASS_PING ||
		peer->class == CLASS_SHORT;
}

static void answer(struct stage *stage, struct peer *peer)
{
	const enum session_class class = (enum session_class)peer->class;

	while (answers(peer) && !peer->out.ending) {
		const uint64_t need =
			peer->need + wire_request_bytes(class, peer->session, peer->round);

		if (peer->in.position < need) {
			return;
		}
		peer->need = need;
		peer->out.target += wire_response_bytes(class, peer->session, peer->round);
		peer->round++;
		stage->tally->count[SIDE_BACKEND][COUNT_REQUESTS]++;
	}
}

/* Its own time has come: an end in order, or a reset. Returns whether the peer is gone. */
static bool on_time(struct backend *backend, struct peer *peer)
{
	if (backend->stage.now_ns < peer->end_ns) {
		return false;
	}
	peer->end_ns = NEVER;
	if (peer->class == CLASS_ABORTED) {
		backend->stage.tally->count[SIDE_BACKEND][COUNT_ABORTED]++;
		forget(backend, peer, true);
		return true;
	}
	peer_finish(peer);
	return false;
}

/* The client's end is the backend's, but where it was asked to hold on. */
static void on_end(struct peer *peer)
{
	if (peer->class == CLASS_HALF_UP) {
		return;
	}
	if (!peer->out.ending) {
		if (answers(peer)) {
			peer->out.ending = true; /* after the last response */
		} else {
			peer_finish(peer);
		}
	}
}

static void on_failure(struct backend *backend, struct peer *peer, enum peer_news news)
{
	struct stage *stage = &backend->stage;

	if (peer->class == CLASS_COUNT && news != NEWS_WRONG) {
		stage->tally->count[SIDE_BACKEND][COUNT_ABANDONED]++;
	} else if (peer->class == CLASS_ABORT &&
		(news == NEWS_RESET || (news == NEWS_CUT && backend->setup->local))) {
		stage->tally->count[SIDE_BACKEND][COUNT_ABORTED]++;
	} else {
		peer_blame(stage, peer, news);
	}
	forget(backend, peer, true);
}

/* True: the peer is gone. */
static bool receive(struct backend *backend, struct peer *peer)
{
	struct stage *stage = &backend->stage;

	for (;;) {
		const enum peer_news news = peer_receive(stage, peer);

		if (news == NEWS_END) {
			on_end(peer);
		} else if (news != NEWS_NONE) {
			on_failure(backend, peer, news);
			return true;
		}
		if (peer->class != CLASS_COUNT || peer->in.prefix_got < peer->in.prefix_length) {
			return false;
		}
		if (!introduce(backend, peer)) {
			forget(backend, peer, true);
			return true;
		}
	}
}

static void step(struct backend *backend, struct peer *peer)
{
	struct stage *stage = &backend->stage;

	if (receive(backend, peer) || on_time(backend, peer)) {
		return;
	}
	answer(stage, peer);
	peer_send(stage, peer);
	if (peer->ended && peer->out.finished) {
		stage->tally->count[SIDE_BACKEND][COUNT_ENDED]++;
		forget(backend, peer, false);
		return;
	}
	peer_plan(stage, peer);
}

/* Nobody waits any longer than needed. */
static void hurry(struct backend *backend)
{
	struct stage *stage = &backend->stage;

	for (uint32_t i = 0; i < stage->used; i++) {
		struct peer *peer = &stage->peers[i];

		if (peer->fd < 0) {
			continue;
		}
		peer->read = (struct pace){0};
		if (peer->end_ns != NEVER) {
			peer->end_ns = stage->now_ns;
		}
		peer_plan(stage, peer);
	}
}

static void on_signal(struct backend *backend)
{
	struct signalfd_siginfo info;

	while (read(backend->signal_fd, &info, sizeof info) == sizeof info) {
		if (backend->stops++ == 0) {
			hurry(backend);
		}
	}
}

/* Sessions that bring nothing although their client has to send all the time. */
static void look_for_stalls(struct backend *backend)
{
	struct stage *stage = &backend->stage;

	for (uint32_t i = 0; i < stage->used; i++) {
		struct peer *peer = &stage->peers[i];
		const bool steady = peer->class == CLASS_BULK_UP ||
			peer->class == CLASS_BULK_BOTH || peer->class == CLASS_SLOW_BACKEND ||
			peer->class == CLASS_HALF_DOWN;

		if (peer->fd >= 0 && steady && !peer->ended && !peer->stalled &&
			!hurried(backend) && stage->now_ns - peer->moved_ns > stage->stall_ns) {
			peer->stalled = true;
			tally_error(stage->tally, SIDE_BACKEND, COUNT_STALLED,
				(enum session_class)peer->class, peer->session,
				"nothing came for %" PRIu64 " ms after %" PRIu64 " bytes",
				(stage->now_ns - peer->moved_ns) / NS_PER_MS, peer->in.position);
		}
	}
}

static void on_event(struct backend *backend, const struct epoll_event *event)
{
	struct peer *peer = &backend->stage.peers[event->data.u32];

	if (peer->fd < 0) {
		return;
	}
	peer->readable |= (event->events & ~(uint32_t)EPOLLOUT) != 0;
	peer->writable |= (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0;
	step(backend, peer);
}

static void turn(struct backend *backend, int wait_ms)
{
	struct stage *stage = &backend->stage;
	struct epoll_event events[EVENTS];
	const int n = epoll_wait(stage->epoll_fd, events, EVENTS, wait_ms);

	stage->now_ns = clock_monotonic_ns();
	for (int i = 0; i < n; i++) {
		const uint32_t tag = events[i].data.u32;

		if (tag == TAG_SIGNAL) {
			on_signal(backend);
		} else if (tag >= TAG_LISTENER) {
			accept_all(backend, backend->setup->listeners[tag - TAG_LISTENER]);
		} else {
			on_event(backend, &events[i]);
		}
	}
	for (int i = 0; i < EVENTS && heap_earliest(&stage->heap) <= stage->now_ns; i++) {
		step(backend, &stage->peers[heap_take(&stage->heap)]);
	}
}

static void run(struct backend *backend)
{
	struct stage *stage = &backend->stage;
	uint64_t look_ns = 0;

	while (backend->stops < 2) {
		const uint64_t next = heap_earliest(&stage->heap);
		const uint64_t wait = next <= stage->now_ns ? 0 : next - stage->now_ns;

		turn(backend,
			wait > TICK_MS * NS_PER_MS ? TICK_MS
						   : (int)(wait / NS_PER_MS) + (wait > 0));
		if (stage->now_ns >= look_ns) {
			look_ns = stage->now_ns + TICK_MS * NS_PER_MS;
			look_for_stalls(backend);
		}
	}
	for (uint32_t i = 0; i < stage->used; i++) {
		const struct peer *peer = &stage->peers[i];

		if (peer->fd >= 0 && peer->class != CLASS_COUNT) {
			tally_error(stage->tally, SIDE_BACKEND, COUNT_UNFINISHED,
				(enum session_class)peer->class, peer->session,
				"in %" PRIu64 "%s, out %" PRIu64 " of %" PRIu64 "%s",
				peer->in.position, peer->ended ? " and FIN" : "",
				peer->out.position, peer->out.target,
				peer->out.finished ? " and FIN" : "");
		}
	}
}

static bool watch(const struct backend *backend, int fd, uint32_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = tag};

	return epoll_ctl(backend->stage.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

int backend_run(const struct backend_setup *setup)
{
	struct backend backend = {.setup = setup};
	struct stage *stage = &backend.stage;
	sigset_t signals;
	bool ready;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL); /* NOLINT(concurrency-mt-unsafe) */
	backend.signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	backend.seen = calloc(SESSIONS_SEEN / 8, 1);
	ready = stage_init(stage, SIDE_BACKEND, setup->tally, setup->capacity, setup->seed) &&
		backend.seen != NULL && watch(&backend, backend.signal_fd, TAG_SIGNAL);
	for (uint32_t i = 0; ready && i < setup->listener_count; i++) {
		ready = watch(&backend, setup->listeners[i], TAG_LISTENER + i);
	}
	if (ready) {
		stage->stall_ns = setup->stall_ms * NS_PER_MS;
		stage->now_ns = clock_monotonic_ns();
		run(&backend);
	} else {
		(void)fprintf(
			stderr, "torture: the backend cannot start: %s\n", strerrordesc_np(errno));
	}
	stage_free(stage);
	free(backend.seen);
	(void)close(backend.signal_fd);
	return ready ? EXIT_SUCCESS : EXIT_FAILURE;
}
