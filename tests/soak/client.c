#include "client.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client_class.h"
#include "os/clock.h"
#include "peer.h"

enum { EVENTS = 256, OPENS_PER_TURN = 64, SHORT_MAX = 8000, TICK_MS = 200, RETRY_MS = 20 };

static const uint32_t TAG_SIGNAL = UINT32_MAX;

struct client {
	struct stage stage;
	const struct client_setup *setup; /* borrowed */
	uint32_t weight_sum;
	uint32_t next_session;
	uint32_t population; /* open or opening, probes not counted */
	uint32_t probes;
	uint64_t start_ns;
	uint64_t open_ns;  /* when the next one of the population may be opened */
	uint64_t short_ns; /* when the next short one is due */
	uint64_t stop_ns;  /* when the end began; NEVER */
	struct interval interval;
	struct interval total;
	int signal_fd;
};

static bool stopping(const struct client *client)
{
	return client->stop_ns != NEVER;
}

static enum session_class class_of(const struct peer *peer)
{
	return (enum session_class)peer->class;
}

static void note_worst(struct client *client, struct peer *peer)
{
	if (!client_class_asks(class_of(peer)) || peer->class == CLASS_SHORT) {
		return;
	}
	gaps_add(&client->interval.sessions, peer->worst_us);
	gaps_add(&client->total.sessions, peer->worst_us);
	if (peer->class == CLASS_PROBE) {
		gaps_add(&client->interval.probes, peer->worst_us);
		gaps_add(&client->total.probes, peer->worst_us);
	}
	peer->worst_us = 0;
}

static void forget(struct client *client, struct peer *peer, bool reset)
{
	note_worst(client, peer);
	client->population -= peer->class != CLASS_PROBE && peer->class != CLASS_SHORT;
	client->probes -= peer->class == CLASS_PROBE;
	client->stage.tally->open[SIDE_CLIENT]--;
	stage_remove(&client->stage, peer, reset);
}

static void set_buffers(int fd, enum session_class class)
{
	const int bytes = 32 * 1024;

	/* What is held back is to be held by Loble, not by the kernel. */
	if (class == CLASS_SLOW_CLIENT) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
	}
}

/* Opens a socket and starts to connect. Returns it, -1 when it could not, or -2: try again. */
static int start_connect(struct client *client, enum session_class class, uint32_t session)
{
	const struct client_setup *setup = client->setup;
	const struct sockaddr_any *address = &setup->addresses[session % setup->address_count];
	const int family = address->generic.sa_family;
	const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	const int on = 1;
	int error;

	if (fd < 0) {
		tally_error(setup->tally, SIDE_CLIENT, COUNT_LOCAL, class, session, "socket: %s",
			strerrordesc_np(errno));
		return -1;
	}
	if (family != AF_UNIX) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	}
	set_buffers(fd, class);
	if (connect(fd, &address->generic, address->length) == 0 || errno == EINPROGRESS) {
		return fd;
	}
	error = errno;
	(void)close(fd);
	if (error == EAGAIN && family == AF_UNIX) {
		return -2; /* its queue is full: who blocks would wait */
	}
	tally_error(setup->tally, SIDE_CLIENT,
		error == ECONNREFUSED            ? COUNT_REFUSED
			: error == EADDRNOTAVAIL ? COUNT_LOCAL
						 : COUNT_UNREACHED,
		class, session, "connect: %s", strerrordesc_np(error));
	return -1;
}

/* Returns whether the next one may be opened at once. */
static bool open_one(struct client *client, enum session_class class)
{
	struct stage *stage = &client->stage;
	const uint32_t session = client->next_session;
	const int fd = start_connect(client, class, session);
	struct peer *peer;

	if (fd == -2) {
		return false;
	}
	client->next_session++;
	if (fd < 0) {
		return false;
	}
	peer = stage_add(stage, fd);
	if (peer == NULL) {
		tally_error(stage->tally, SIDE_CLIENT, COUNT_LOCAL, class, session, "no room");
		return false;
	}
	stage->tally->count[SIDE_CLIENT][COUNT_OPENED]++;
	stage->tally->opened[SIDE_CLIENT][class]++;
	stage->tally->open[SIDE_CLIENT]++;
	client->population += class != CLASS_PROBE && class != CLASS_SHORT;
	client->probes += class == CLASS_PROBE;
	peer->connecting = true;
	peer->class = (uint8_t) class;
	peer->session = session;
	client_class_begin(stage, client->setup, peer);
	return true;
}

static enum session_class draw_class(struct client *client)
{
	uint32_t dice = stage_between(&client->stage, 0, client->weight_sum - 1);
	uint32_t class = 0;

	while (dice >= client->setup->weights[class]) {
		dice -= client->setup->weights[class];
		class ++;
	}
	return (enum session_class) class;
}

/* Keeps the population up. */
static void open_population(struct client *client)
{
	struct stage *stage = &client->stage;
	const struct client_setup *setup = client->setup;

	for (int i = 0; i < OPENS_PER_TURN && stage->now_ns >= client->open_ns; i++) {
		const bool probe = client->probes < setup->probes;

		if (!probe && client->population >= setup->sessions) {
			return;
		}
		if (!open_one(client, probe ? CLASS_PROBE : draw_class(client))) {
			client->open_ns = stage->now_ns + RETRY_MS * NS_PER_MS;
			return;
		}
		client->open_ns += NS_PER_S / setup->ramp;
		if (client->open_ns + NS_PER_S / 10 < stage->now_ns) {
			client->open_ns = stage->now_ns; /* what was missed is not made up for */
		}
	}
}

/* An open loop: each has its time, and is opened late rather than never. */
static void open_short(struct client *client)
{
	struct stage *stage = &client->stage;

	if (client->setup->rate == 0) {
		return;
	}
	for (int i = 0; i < OPENS_PER_TURN && stage->now_ns >= client->short_ns; i++) {
		if (!open_one(client, CLASS_SHORT)) {
			break;
		}
		client->short_ns += NS_PER_S / client->setup->rate;
	}
}

/* A response is complete. */
static void on_response(struct client *client, struct peer *peer)
{
	struct stage *stage = &client->stage;
	const uint64_t us = (stage->now_ns - peer->since_ns) / 1000;

	stage->tally->count[SIDE_CLIENT][COUNT_REQUESTS]++;
	if (peer->class == CLASS_SHORT) {
		gaps_add(&client->interval.opens, us);
		gaps_add(&client->total.opens, us);
		return;
	}
	gaps_add(&client->interval.gaps, us);
	gaps_add(&client->total.gaps, us);
	if (us > peer->worst_us) {
		peer->worst_us = us;
	}
}

static void on_connected(struct client *client, struct peer *peer)
{
	peer->connecting = false;
	client_class_connected(&client->stage, client->setup, peer, stopping(client));
}

/* Returns whether the peer is gone. */
static bool on_connect_event(struct client *client, struct peer *peer, uint32_t events)
{
	int error = 0;
	socklen_t length = sizeof error;

	(void)getsockopt(peer->fd, SOL_SOCKET, SO_ERROR, &error, &length);
	if (error == 0 && (events & EPOLLOUT) != 0) {
		on_connected(client, peer);
		return false;
	}
	if (error != 0) {
		tally_error(client->stage.tally, SIDE_CLIENT,
			error == ECONNREFUSED ? COUNT_REFUSED : COUNT_UNREACHED, class_of(peer),
			peer->session, "connect: %s", strerrordesc_np(error));
		forget(client, peer, true);
		return true;
	}
	return false;
}

static void on_failure(struct client *client, struct peer *peer, enum peer_news news)
{
	if (peer->class == CLASS_ABORTED &&
		(news == NEWS_RESET || (news == NEWS_CUT && client->setup->local))) {
		client->stage.tally->count[SIDE_CLIENT][COUNT_ABORTED]++;
	} else {
		peer_blame(&client->stage, peer, news);
	}
	forget(client, peer, true);
}

static void step(struct client *client, struct peer *peer)
{
	struct stage *stage = &client->stage;
	enum peer_news news;
	bool finished;

	if (peer->connecting) {
		return;
	}
	news = peer_receive(stage, peer);
	if (news != NEWS_NONE && news != NEWS_END) {
		on_failure(client, peer, news);
		return;
	}
	switch (client_class_step(stage, client->setup, peer)) {
	case STEP_ANSWERED:
		on_response(client, peer);
		break;
	case STEP_ABORT:
		stage->tally->count[SIDE_CLIENT][COUNT_ABORTED]++;
		forget(client, peer, true);
		return;
	case STEP_STRANGE:
		tally_error(stage->tally, SIDE_CLIENT, COUNT_DAMAGED, class_of(peer), peer->session,
			"greeting");
		forget(client, peer, true);
		return;
	case STEP_GO_ON:
		break;
	}
	finished = peer->out.finished;
	peer_send(stage, peer);
	if (!finished && peer->out.finished) {
		peer->since_ns = stage->now_ns;
	}
	if (peer->ended && peer->out.finished) {
		stage->tally->count[SIDE_CLIENT][COUNT_ENDED]++;
		forget(client, peer, false);
		return;
	}
	peer_plan(stage, peer);
}

static void report(struct client *client, const char *event)
{
	struct stage *stage = &client->stage;

	for (uint32_t i = 0; i < stage->used; i++) {
		struct peer *peer = &stage->peers[i];

		if (peer->fd < 0 || peer->connecting) {
			continue;
		}
		if (peer->asked && (stage->now_ns - peer->since_ns) / 1000 > peer->worst_us) {
			peer->worst_us = (stage->now_ns - peer->since_ns) / 1000;
		}
		note_worst(client, peer);
	}
	tally_print(stage->tally, event, (double)(stage->now_ns - client->start_ns) / 1e9,
		&client->interval, &client->total);
	client->interval = (struct interval){0};
}

/* Every session is ended in order. */
static void begin_stop(struct client *client)
{
	struct stage *stage = &client->stage;

	if (stopping(client)) {
		return;
	}
	client->stop_ns = stage->now_ns;
	report(client, "stopping");
	(void)kill(client->setup->backend, SIGTERM);
	for (uint32_t i = 0; i < stage->used; i++) {
		struct peer *peer = &stage->peers[i];

		if (peer->fd >= 0 && !peer->connecting) {
			client_class_stop(stage, peer);
			peer_plan(stage, peer);
		}
	}
}

static void on_signal(struct client *client)
{
	struct signalfd_siginfo info;

	while (read(client->signal_fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGUSR1) {
			report(client, "report");
		} else {
			begin_stop(client);
		}
	}
}

static void look_for_stalls(struct client *client)
{
	struct stage *stage = &client->stage;

	for (uint32_t i = 0; i < stage->used; i++) {
		struct peer *peer = &stage->peers[i];
		uint64_t since;

		if (peer->fd < 0 || peer->stalled || !client_class_waits(peer, &since) ||
			stage->now_ns < since + stage->stall_ns) {
			continue;
		}
		peer->stalled = true;
		tally_error(stage->tally, SIDE_CLIENT, COUNT_STALLED, class_of(peer), peer->session,
			"%s for %" PRIu64 " ms, in %" PRIu64 ", out %" PRIu64 " of %" PRIu64,
			peer->connecting ? "connecting" : "nothing came",
			(stage->now_ns - since) / NS_PER_MS, peer->in.position, peer->out.position,
			peer->out.target);
	}
}

static void on_event(struct client *client, const struct epoll_event *event)
{
	struct peer *peer = &client->stage.peers[event->data.u32];

	if (peer->fd < 0) {
		return;
	}
	peer->readable |= (event->events & ~(uint32_t)EPOLLOUT) != 0;
	peer->writable |= (event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0;
	if (peer->connecting && on_connect_event(client, peer, event->events)) {
		return;
	}
	step(client, peer);
}

static int wait_ms(const struct client *client)
{
	const uint64_t now = clock_monotonic_ns();
	uint64_t next = heap_earliest(&client->stage.heap);

	if (!stopping(client) && client->setup->rate > 0 && client->short_ns < next) {
		next = client->short_ns;
	}
	if (!stopping(client) && client->population < client->setup->sessions &&
		client->open_ns < next) {
		next = client->open_ns;
	}
	if (next <= now) {
		return 0;
	}
	next -= now;
	return next > TICK_MS * NS_PER_MS ? TICK_MS : (int)(next / NS_PER_MS) + 1;
}

static void turn(struct client *client)
{
	struct stage *stage = &client->stage;
	struct epoll_event events[EVENTS];
	const int n = epoll_wait(stage->epoll_fd, events, EVENTS, wait_ms(client));

	stage->now_ns = clock_monotonic_ns();
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 == TAG_SIGNAL) {
			on_signal(client);
		} else {
			on_event(client, &events[i]);
		}
	}
	for (int i = 0; i < EVENTS && heap_earliest(&stage->heap) <= stage->now_ns; i++) {
		step(client, &stage->peers[heap_take(&stage->heap)]);
	}
	if (!stopping(client)) {
		open_short(client);
		open_population(client);
	}
}

static void count_unfinished(struct client *client)
{
	const struct stage *stage = &client->stage;

	for (uint32_t i = 0; i < stage->used; i++) {
		const struct peer *peer = &stage->peers[i];

		if (peer->fd >= 0) {
			tally_error(stage->tally, SIDE_CLIENT, COUNT_UNFINISHED, class_of(peer),
				peer->session,
				"%sin %" PRIu64 "%s, out %" PRIu64 " of %" PRIu64 "%s",
				peer->connecting ? "connecting, " : "", peer->in.position,
				peer->ended ? " and FIN" : "", peer->out.position, peer->out.target,
				peer->out.finished ? " and FIN" : "");
		}
	}
}

static void run(struct client *client)
{
	struct stage *stage = &client->stage;
	const struct client_setup *setup = client->setup;
	uint64_t look_ns = 0;

	while (!stopping(client) ||
		(stage->tally->open[SIDE_CLIENT] > 0 &&
			stage->now_ns < client->stop_ns + setup->grace_ms * NS_PER_MS)) {
		turn(client);
		if (stage->now_ns >= look_ns) {
			look_ns = stage->now_ns + TICK_MS * NS_PER_MS;
			look_for_stalls(client);
		}
		if (setup->seconds > 0 &&
			(double)(stage->now_ns - client->start_ns) / 1e9 >= setup->seconds) {
			begin_stop(client);
		}
	}
	count_unfinished(client);
}

static bool watch_signals(struct client *client)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = TAG_SIGNAL};
	sigset_t signals;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)sigaddset(&signals, SIGUSR1);
	(void)sigprocmask(SIG_BLOCK, &signals, NULL); /* NOLINT(concurrency-mt-unsafe) */
	client->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	return client->signal_fd >= 0 &&
		epoll_ctl(client->stage.epoll_fd, EPOLL_CTL_ADD, client->signal_fd, &event) == 0;
}

/* Ends the backends, once they have seen the last end or will not. Whether they ended well. */
static bool stop_backends(const struct client_setup *setup)
{
	const uint64_t until = clock_monotonic_ns() + setup->grace_ms * NS_PER_MS;
	const volatile uint64_t *open = &setup->tally->open[SIDE_BACKEND];
	int status = 0;
	pid_t ended;

	while (*open > 0 && clock_monotonic_ns() < until) {
		(void)usleep(1000);
	}
	/* Once for the hurry, once for the end; two that are pending would be one. */
	do {
		(void)kill(setup->backend, SIGTERM);
		(void)usleep(1000);
		ended = waitpid(setup->backend, &status, WNOHANG);
	} while (ended == 0);
	return ended == setup->backend && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool client_run(const struct client_setup *setup)
{
	struct client *client = calloc(1, sizeof *client);
	bool ready;

	if (client == NULL) {
		return false;
	}
	*client = (struct client){
		.setup = setup, .next_session = 1, .stop_ns = NEVER, .signal_fd = -1};
	for (int i = 0; i < CLASS_COUNT; i++) {
		client->weight_sum += setup->weights[i];
	}
	ready = stage_init(&client->stage, SIDE_CLIENT, setup->tally,
			setup->sessions + setup->probes + SHORT_MAX, setup->seed) &&
		watch_signals(client);
	if (ready) {
		client->stage.stall_ns = setup->stall_ms * NS_PER_MS;
		client->stage.now_ns = clock_monotonic_ns();
		client->start_ns = client->stage.now_ns;
		client->open_ns = client->start_ns;
		client->short_ns = client->start_ns;
		report(client, "ready");
		run(client);
	}
	ready = stop_backends(setup) && ready;
	report(client, "end");
	stage_free(&client->stage);
	(void)close(client->signal_fd);
	free(client);
	return ready;
}
