/*
 * Probes: whether a backend accepts a connection. One connect, and an orderly end.
 *
 * A backend that is not healthy is probed every probe_interval, +-10 %. One that has been down for
 * long is probed less often: after `t` of it every t / 30, at most every 10 s, so that the interval
 * grows slowly and a service that restarts is seen at once. A probe that cannot be made for reasons
 * of our own says nothing.
 *
 * Threads: control alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "base/sockaddr.h"
#include "control/timers.h"
#include "model/slot.h"

struct probe {
	struct timer timer; /* the next probe, or the end of the one that is under way */
	uint64_t started_ns;
	uint64_t since_ns;    /* when probing began */
	uint64_t interval_ns; /* as configured */
	uint64_t timeout_ns;
	int fd;         /* owned; -1: none is under way */
	bool repeating; /* until probe_stop() */
};

/* What became of a probe. */
struct probe_outcome {
	enum check_result result;
	bool evidence;      /* false: our own trouble */
	const char *reason; /* of a failure; a constant */
	uint64_t started_ns;
};

struct prober {
	struct probe *probes; /* owned; by backend */
	uint32_t count;
	uint32_t running;
	int epoll_fd;          /* borrowed */
	uint32_t epoll_tag;    /* the upper half of the epoll data; the lower one is the backend */
	uint32_t timer_kind;   /* of all timers here */
	struct timers *timers; /* borrowed */
	struct rng rng;
};

/* Returns 0 or -ENOMEM. */
int prober_init(struct prober *prober, uint32_t count, struct timers *timers, uint64_t seed);
void prober_done(struct prober *prober);

void probe_configure(
	struct prober *prober, uint32_t backend, uint64_t interval_ns, uint64_t timeout_ns);

/* Probes again and again, the first time in an interval from now. */
void probe_start(struct prober *prober, uint32_t backend, uint64_t now_ns);

/* Ends that, and a probe that is under way. */
void probe_stop(struct prober *prober, uint32_t backend);

/* Probes once, at once, unless one is under way. */
void probe_once(struct prober *prober, uint32_t backend, uint64_t now_ns);

/* The timer of the backend fired. Returns whether there is an outcome; else one may be under way. */
bool probe_on_timer(struct prober *prober, uint32_t backend, const struct sockaddr_any *address,
	uint64_t now_ns, struct probe_outcome *ret_outcome);

/* Its socket had an event. Returns whether there is an outcome. */
bool probe_on_event(struct prober *prober, uint32_t backend, uint32_t events, uint64_t now_ns,
	struct probe_outcome *ret_outcome);
