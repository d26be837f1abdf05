#include "control/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/socket.h"

enum { PROBES_AT_ONCE = 256, SLOWER_BY = 30 };

static const uint64_t SLOWEST_NS = 10 * 1000000000ULL;
static const uint64_t CROWDED_NS = 10 * 1000000ULL; /* too many are under way: try again */

int prober_init(struct prober *prober, uint32_t count, struct timers *timers, uint64_t seed)
{
	*prober = (struct prober){.count = count, .timers = timers, .epoll_fd = -1};
	rng_init(&prober->rng, seed);
	prober->probes = calloc(count, sizeof *prober->probes);
	if (prober->probes == NULL) {
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) {
		prober->probes[i].fd = -1;
	}
	return 0;
}

/* The connection is ended in order: a FIN, since nothing was received that is unread. */
static void close_probe(struct prober *prober, struct probe *probe)
{
	if (probe->fd >= 0) {
		(void)close(probe->fd);
		probe->fd = -1;
		prober->running--;
	}
}

void prober_done(struct prober *prober)
{
	for (uint32_t i = 0; i < prober->count && prober->probes != NULL; i++) {
		close_probe(prober, &prober->probes[i]);
	}
	free(prober->probes);
	*prober = (struct prober){.probes = NULL};
}

static void set_timer(struct prober *prober, uint32_t backend, uint64_t at_ns)
{
	struct probe *probe = &prober->probes[backend];

	probe->timer.kind = prober->timer_kind;
	probe->timer.index = backend;
	timers_set(prober->timers, &probe->timer, at_ns);
}

void probe_configure(
	struct prober *prober, uint32_t backend, uint64_t interval_ns, uint64_t timeout_ns)
{
	prober->probes[backend].interval_ns = interval_ns;
	prober->probes[backend].timeout_ns = timeout_ns;
}

/* From now until the next probe: the longer it has been down the longer, give or take 10 %. */
static uint64_t pause_of(struct prober *prober, const struct probe *probe, uint64_t now_ns)
{
	uint64_t pause_ns = (now_ns - probe->since_ns) / SLOWER_BY;
	uint64_t tenth;

	if (pause_ns > SLOWEST_NS) {
		pause_ns = SLOWEST_NS;
	}
	if (pause_ns < probe->interval_ns) {
		pause_ns = probe->interval_ns;
	}
	tenth = pause_ns / 10;
	return pause_ns - tenth + rng_next(&prober->rng) % (2 * tenth + 1);
}

void probe_start(struct prober *prober, uint32_t backend, uint64_t now_ns)
{
	struct probe *probe = &prober->probes[backend];

	probe->repeating = true;
	probe->since_ns = now_ns;
	if (probe->fd < 0) {
		set_timer(prober, backend, now_ns + pause_of(prober, probe, now_ns));
	}
}

void probe_stop(struct prober *prober, uint32_t backend)
{
	struct probe *probe = &prober->probes[backend];

	probe->repeating = false;
	timers_cancel(prober->timers, &probe->timer);
	close_probe(prober, probe);
}

void probe_once(struct prober *prober, uint32_t backend, uint64_t now_ns)
{
	if (prober->probes[backend].fd < 0) {
		set_timer(prober, backend, now_ns);
	}
}

/* How an errno of connect() reads as the result of a probe. */
static struct probe_outcome judge(int error, uint64_t started_ns)
{
	struct probe_outcome outcome = {
		.result = CHECK_ERROR, .evidence = true, .started_ns = started_ns};

	switch (error) {
	case 0:
		outcome.result = CHECK_SUCCESS;
		break;
	case ECONNREFUSED:
	case ENOENT:
	case ENOTSOCK:
	case EPROTOTYPE:
		outcome.result = CHECK_REFUSED;
		outcome.reason = failure_reason_name(FAILURE_REFUSED);
		break;
	case ETIMEDOUT:
	case EAGAIN: /* the queue of a UNIX socket is full */
		outcome.result = CHECK_TIMEOUT;
		outcome.reason = failure_reason_name(FAILURE_TIMEOUT);
		break;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENONET:
		outcome.reason = failure_reason_name(FAILURE_UNREACHABLE);
		break;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case EPROTO:
		outcome.reason = failure_reason_name(FAILURE_RESET);
		break;
	default: /* ports, descriptors, memory, routes, rights: our own trouble */
		outcome.evidence = false;
		break;
	}
	return outcome;
}

/* Ends the probe and, for one that repeats, sets the time of the next. */
static struct probe_outcome conclude(
	struct prober *prober, uint32_t backend, int error, uint64_t now_ns)
{
	struct probe *probe = &prober->probes[backend];

	close_probe(prober, probe);
	timers_cancel(prober->timers, &probe->timer);
	if (probe->repeating) {
		if (error == 0) {
			probe->since_ns = now_ns; /* it is coming back: look closely */
		}
		set_timer(prober, backend, now_ns + pause_of(prober, probe, now_ns));
	}
	return judge(error, probe->started_ns);
}

static int watch(const struct prober *prober, uint32_t backend, int fd)
{
	struct epoll_event event = {
		.events = EPOLLOUT,
		.data.u64 = (uint64_t)prober->epoll_tag << 32 | backend,
	};

	return epoll_ctl(prober->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

/* Returns 0 when the connect is under way, else an errno. */
static int begin(struct prober *prober, uint32_t backend, const struct sockaddr_any *address,
	uint64_t now_ns)
{
	static const struct connect_spec plain = {.keepalive_s = 0};
	struct probe *probe = &prober->probes[backend];
	const int r = socket_connect(address, &plain, &probe->fd);

	probe->started_ns = now_ns;
	if (r < 0) {
		probe->fd = -1;
		return -r;
	}
	prober->running++;
	set_timer(prober, backend, now_ns + probe->timeout_ns);
	return watch(prober, backend, probe->fd);
}

bool probe_on_timer(struct prober *prober, uint32_t backend, const struct sockaddr_any *address,
	uint64_t now_ns, struct probe_outcome *ret_outcome)
{
	int error;

	if (prober->probes[backend].fd >= 0) {
		*ret_outcome = conclude(prober, backend, ETIMEDOUT, now_ns);
		return true;
	}
	if (prober->running >= PROBES_AT_ONCE) {
		set_timer(prober, backend, now_ns + CROWDED_NS);
		return false;
	}
	error = begin(prober, backend, address, now_ns);
	if (error != 0) {
		*ret_outcome = conclude(prober, backend, error, now_ns);
		return true;
	}
	return false;
}

bool probe_on_event(struct prober *prober, uint32_t backend, uint32_t events, uint64_t now_ns,
	struct probe_outcome *ret_outcome)
{
	const struct probe *probe = &prober->probes[backend];
	int error = 0;

	if (probe->fd < 0) {
		return false;
	}
	if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
		error = socket_take_error(probe->fd);
	} else if ((events & EPOLLOUT) == 0) {
		return false;
	}
	*ret_outcome = conclude(prober, backend, error, now_ns);
	return true;
}
