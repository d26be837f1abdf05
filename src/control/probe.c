#include "control/probe.h"

#include <assert.h>
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/socket.h"

static const uint64_t BACKOFF_MAX_NS = 10000000000;
static const uint64_t LINGER_NS = 200000000;
enum {
	BACKOFF_PART = 30,
	JITTER_PERCENT = 10,
	DRAIN_READS = 16, /* per wake-up: a backend that floods is not listened to for long */
};

uint64_t probe_delay(uint64_t interval_ns, uint64_t down_ns)
{
	uint64_t delay_ns = down_ns / BACKOFF_PART;

	delay_ns = delay_ns < BACKOFF_MAX_NS ? delay_ns : BACKOFF_MAX_NS;
	return delay_ns > interval_ns ? delay_ns : interval_ns;
}

uint64_t probe_jitter(struct rng *rng, uint64_t delay_ns)
{
	const uint32_t permille = rng_below(rng, 20 * JITTER_PERCENT + 1);

	return delay_ns / 1000 * (1000 - 10 * JITTER_PERCENT + permille);
}

enum check_result probe_classify(int code)
{
	static const enum check_result results[FAILURE_REASON_COUNT] = {
		[FAILURE_REFUSED] = CHECK_REFUSED,
		[FAILURE_TIMEOUT] = CHECK_TIMEOUT,
		[FAILURE_UNREACHABLE] = CHECK_TIMEOUT, /* nobody answered us */
		[FAILURE_RESET] = CHECK_REFUSED,
		[FAILURE_RESOURCE] = CHECK_ERROR,
	};

	return code == 0 ? CHECK_SUCCESS : results[failure_reason_of_errno(code)];
}

static void close_socket(struct prober *prober, struct probe *probe)
{
	(void)close(probe->fd); /* leaves the epoll by itself: there is no other descriptor of it */
	probe->fd = -1;
	assert(prober->active > 0);
	prober->active--;
}

static void enqueue(struct prober *prober, struct probe *probe)
{
	probe->state = PROBE_QUEUED;
	probe->next_queued = NULL;
	if (prober->queue_last != NULL) {
		prober->queue_last->next_queued = probe;
	} else {
		prober->queue_first = probe;
	}
	prober->queue_last = probe;
}

static void dequeue(struct prober *prober, struct probe *probe)
{
	struct probe **place = &prober->queue_first;
	struct probe *before = NULL;

	while (*place != probe) {
		before = *place;
		place = &before->next_queued;
	}
	*place = probe->next_queued;
	if (prober->queue_last == probe) {
		prober->queue_last = before;
	}
	probe->next_queued = NULL;
}

/* The next one, counted from the start of this one. */
static void wait_for_next(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	const uint64_t delay_ns = probe_delay(probe->interval_ns, now_ns - probe->down_since_ns);
	const uint64_t at_ns = probe->started_ns + probe_jitter(&prober->rng, delay_ns);

	if (!probe->wanted) {
		probe->state = PROBE_OFF;
		timers_cancel(prober->timers, &probe->timer);
		return;
	}
	probe->state = PROBE_WAITING;
	timers_set(prober->timers, &probe->timer, at_ns > now_ns ? at_ns : now_ns);
}

static void tell(struct prober *prober, struct probe *probe, int code, uint64_t now_ns)
{
	const enum check_result result = probe_classify(code);
	const struct probe_outcome outcome = {
		.result = result,
		.reason = code == 0 ? NULL : failure_reason_name(failure_reason_of_errno(code)),
		.started_ns = probe->started_ns,
		.now_ns = now_ns,
	};

	if (result == CHECK_SUCCESS) {
		probe->down_since_ns = now_ns;
	}
	prober->on_done(prober->context, probe->timer.index, &outcome);
}

/* A probe is over with an error; its socket, if there was one, is closed. */
static void fail(struct prober *prober, struct probe *probe, int code, uint64_t now_ns)
{
	wait_for_next(prober, probe, now_ns);
	tell(prober, probe, code, now_ns);
}

static void succeed(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP,
		.data.u64 = prober->epoll_tag | probe->timer.index,
	};

	if (socket_is_self(probe->fd)) {
		socket_reset_on_close(probe->fd); /* an orderly end would keep the port longer */
		close_socket(prober, probe);
		fail(prober, probe, ECONNREFUSED, now_ns);
		return;
	}
	probe->state = PROBE_CLOSING;
	timers_set(prober->timers, &probe->timer, now_ns + LINGER_NS);
	if (shutdown(probe->fd, SHUT_WR) < 0 ||
		epoll_ctl(prober->epoll_fd, EPOLL_CTL_MOD, probe->fd, &event) < 0) {
		close_socket(prober, probe);
		wait_for_next(prober, probe, now_ns);
	}
	tell(prober, probe, 0, now_ns);
}

/* Returns 0 when it is connected or under way, or a positive errno. */
static int begin_connect(struct prober *prober, struct probe *probe)
{
	struct epoll_event event = {
		.events = EPOLLOUT,
		.data.u64 = prober->epoll_tag | probe->timer.index,
	};
	const struct sockaddr_any *address = probe->address;
	int code;
	int fd;

	fd = socket(address->generic.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return errno;
	}
	if (connect(fd, &address->generic, address->length) < 0 && errno != EINPROGRESS) {
		goto fail_close;
	}
	if (epoll_ctl(prober->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		goto fail_close;
	}
	probe->fd = fd;
	return 0;

fail_close:
	code = errno;
	(void)close(fd);
	return code;
}

static void begin(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	int code;

	if (prober->active >= PROBES_AT_ONCE) {
		timers_cancel(prober->timers, &probe->timer);
		enqueue(prober, probe);
		return;
	}
	probe->started_ns = now_ns;
	code = begin_connect(prober, probe);
	if (code != 0) {
		fail(prober, probe, code, now_ns);
		return;
	}
	prober->active++;
	probe->state = PROBE_CONNECTING;
	timers_set(prober->timers, &probe->timer, now_ns + probe->timeout_ns);
}

/*
 * The next ones of the queue, into all places that are free: one that fails at once gives its
 * place back, and several may have been abandoned.
 */
void probe_begin_queued(struct prober *prober, uint64_t now_ns)
{
	while (prober->queue_first != NULL && prober->active < PROBES_AT_ONCE) {
		struct probe *probe = prober->queue_first;

		dequeue(prober, probe);
		begin(prober, probe, now_ns);
	}
}

void probe_start(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	probe->wanted = true;
	probe->down_since_ns = now_ns;
	if (probe->state == PROBE_OFF) {
		probe->started_ns = now_ns;
		probe->state = PROBE_WAITING;
		timers_set(prober->timers, &probe->timer,
			now_ns + probe_jitter(&prober->rng, probe->interval_ns));
	}
}

/* One that is connecting or closing ends by itself; what it finds out is still told. */
void probe_stop(struct prober *prober, struct probe *probe)
{
	probe->wanted = false;
	if (probe->state == PROBE_QUEUED) {
		dequeue(prober, probe);
		probe->state = PROBE_OFF;
	} else if (probe->state == PROBE_WAITING) {
		timers_cancel(prober->timers, &probe->timer);
		probe->state = PROBE_OFF;
	}
}

void probe_at_once(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	if (probe->state == PROBE_OFF || probe->state == PROBE_WAITING) {
		probe->state = PROBE_WAITING;
		timers_set(prober->timers, &probe->timer, now_ns);
	}
}

void probe_on_timer(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	switch (probe->state) {
	case PROBE_WAITING:
		begin(prober, probe, now_ns);
		break;
	case PROBE_CONNECTING:
		close_socket(prober, probe);
		fail(prober, probe, ETIMEDOUT, now_ns);
		break;
	case PROBE_CLOSING:
		close_socket(prober, probe);
		wait_for_next(prober, probe, now_ns);
		break;
	case PROBE_OFF:
	case PROBE_QUEUED:
		break;
	}
	probe_begin_queued(prober, now_ns);
}

/* Reads what a backend says to somebody who has already said goodbye. True: nothing will come. */
static bool read_to_end(int fd)
{
	char dropped[4096];

	for (int i = 0; i < DRAIN_READS; i++) {
		const ssize_t n = recv(fd, dropped, sizeof dropped, 0);

		if (n == 0) {
			return true;
		}
		if (n < 0) {
			return errno != EAGAIN && errno != EINTR;
		}
	}
	return false;
}

static void on_connected(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	socklen_t length = sizeof(int);
	int code = 0;

	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0) {
		code = errno;
	}
	if (code == 0) {
		succeed(prober, probe, now_ns);
		return;
	}
	close_socket(prober, probe);
	fail(prober, probe, code, now_ns);
}

void probe_on_ready(struct prober *prober, struct probe *probe, uint64_t now_ns)
{
	if (probe->state == PROBE_CONNECTING) {
		on_connected(prober, probe, now_ns);
	} else if (probe->state == PROBE_CLOSING && read_to_end(probe->fd)) {
		close_socket(prober, probe);
		wait_for_next(prober, probe, now_ns);
	}
	probe_begin_queued(prober, now_ns);
}

void probe_abandon(struct prober *prober, struct probe *probe)
{
	probe_stop(prober, probe);
	if (probe->state == PROBE_CONNECTING || probe->state == PROBE_CLOSING) {
		timers_cancel(prober->timers, &probe->timer);
		close_socket(prober, probe);
		probe->state = PROBE_OFF;
	}
}

/* False when the socket cannot be watched under its new name: it stays the other's. */
static bool take_socket(
	struct prober *prober, struct probe *probe, struct prober *other, struct probe *before)
{
	struct epoll_event event = {
		.events = before->state == PROBE_CONNECTING ? EPOLLOUT : EPOLLIN | EPOLLRDHUP,
		.data.u64 = prober->epoll_tag | probe->timer.index,
	};

	if (epoll_ctl(prober->epoll_fd, EPOLL_CTL_MOD, before->fd, &event) < 0) {
		return false;
	}
	probe->fd = before->fd;
	before->fd = -1;
	prober->active++;
	other->active--;
	return true;
}

void probe_take(struct prober *prober, struct probe *probe, struct prober *other,
	struct probe *before, uint64_t now_ns)
{
	const uint64_t next_ns = now_ns + probe->interval_ns;
	uint64_t at_ns = before->timer.at_ns;

	assert(probe->state == PROBE_OFF);
	probe->wanted = before->wanted;
	probe->started_ns = before->started_ns;
	probe->down_since_ns = before->down_since_ns;
	switch (before->state) {
	case PROBE_OFF:
		return;
	case PROBE_QUEUED:
		probe_stop(other, before);
		probe_at_once(prober, probe, now_ns);
		return;
	case PROBE_WAITING:
		probe_stop(other, before);
		probe->state = PROBE_WAITING;
		at_ns = at_ns < next_ns ? at_ns : next_ns; /* the interval may be shorter now */
		break;
	case PROBE_CONNECTING:
	case PROBE_CLOSING:
		if (!take_socket(prober, probe, other, before)) {
			probe_at_once(prober, probe, now_ns);
			return;
		}
		timers_cancel(other->timers, &before->timer);
		probe->state = before->state;
		before->state = PROBE_OFF;
		break;
	}
	timers_set(prober->timers, &probe->timer, at_ns);
}
