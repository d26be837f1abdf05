/*
 * Probes: a connect, and a FIN, to each backend that is not healthy.
 *
 * Non-blocking, in control's epoll, each with a deadline, a bounded number at once. What a probe
 * found is told through a callback; whether it counts is the health machine's business. A success
 * is told at once; the connection is then ended politely (FIN first, what the backend says is
 * read and dropped for a moment), since a close with unread bytes would be a reset.
 *
 * Local trouble (descriptors, ports, memory, no route, no permission) is CHECK_ERROR: neither
 * success nor failure.
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

enum { PROBES_AT_ONCE = 256 };

enum probe_state {
	PROBE_OFF,
	PROBE_WAITING,    /* until its timer says so */
	PROBE_QUEUED,     /* until another one is over */
	PROBE_CONNECTING, /* until the answer, or probe_timeout */
	PROBE_CLOSING,    /* has answered; until its FIN, or a moment */
};

struct probe_outcome {
	enum check_result result;
	const char *reason; /* of anything but success: a constant */
	uint64_t started_ns;
	uint64_t now_ns;
};

/* One backend's. */
struct probe {
	struct timer timer; /* kind and index are the owner's */
	enum probe_state state;
	bool wanted; /* goes on until probe_stop() */
	int fd;      /* owned while connecting and closing */
	uint64_t started_ns;
	uint64_t down_since_ns; /* since when no probe has succeeded */
	uint64_t interval_ns;
	uint64_t timeout_ns;
	const struct sockaddr_any *address; /* borrowed; changes only while not connecting */
	struct probe *next_queued;
};

typedef void probe_on_done(void *context, uint32_t index, const struct probe_outcome *outcome);

struct prober {
	int epoll_fd;          /* borrowed */
	uint64_t epoll_tag;    /* upper half of the epoll data; the lower is timer.index */
	struct timers *timers; /* borrowed */
	struct rng rng;
	probe_on_done *on_done;
	void *context;
	uint32_t active;
	struct probe *queue_first;
	struct probe *queue_last;
};

/* From now on, each interval, until probe_stop(). The first one after an interval. */
void probe_start(struct prober *prober, struct probe *probe, uint64_t now_ns);
void probe_stop(struct prober *prober, struct probe *probe);

/* One now, or as soon as one of the backend that is being closed is out of the way. */
void probe_at_once(struct prober *prober, struct probe *probe, uint64_t now_ns);

void probe_on_timer(struct prober *prober, struct probe *probe, uint64_t now_ns);
void probe_on_ready(struct prober *prober, struct probe *probe, uint64_t now_ns);

/*
 * Goes on where the probe of another prober was, with its socket and in its time: a reload is no
 * reason to ask later. The other one is off then. Both probers watch the same epoll.
 */
void probe_take(struct prober *prober, struct probe *probe, struct prober *other,
	struct probe *before, uint64_t now_ns);

/*
 * Closes what is open. The probe may be started again. A place that becomes free is not given to
 * the queue, where the next one may be abandoned, too: that is probe_begin_queued().
 */
void probe_abandon(struct prober *prober, struct probe *probe);

/* Begins what is queued, as far as there are places. */
void probe_begin_queued(struct prober *prober, uint64_t now_ns);

/*
 * How long to wait between the starts of two probes, before jitter: the interval, and for a
 * backend that has been down for long a thirtieth of that time, at most 10 s. So a return is seen
 * late by a thirtieth of the outage at worst. After a success it is the interval again.
 */
uint64_t probe_delay(uint64_t interval_ns, uint64_t down_ns);

/* Between 90 % and 110 % of it, so that the probes of many do not march in step. */
uint64_t probe_jitter(struct rng *rng, uint64_t delay_ns);

/* What a connect's errno (> 0) says about the backend. */
enum check_result probe_classify(int code);
