/*
 * The parts of the control loop. Private to control/control*.c; all by the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "control/intake.h"
#include "control/outbox.h"
#include "control/probe.h"
#include "control/registry.h"
#include "control/resolve.h"
#include "control/stop.h"
#include "control/timers.h"
#include "model/event.h"

enum control_source { SOURCE_WAKE, SOURCE_SIGNAL, SOURCE_RESOLVER, SOURCE_PROBE };
enum control_timer { TIMER_PROBE, TIMER_RESOLVE };

struct control {
	struct control_setup setup;
	struct event_log events;
	struct registry registry;
	struct timers timers;
	struct prober prober;
	struct probe *probes;   /* owned; by backend */
	uint64_t *confirmed_ns; /* owned; by backend: when a probe was last sent out of turn */
	struct intake intake;
	struct outbox outbox;
	struct resolver *resolver;    /* NULL: all addresses are numeric */
	struct timer *resolve_timers; /* owned; by backend */
	bool *unresolved; /* owned; by backend: it has been said that it has no address */
	bool *cut;        /* owned; by backend: its sessions are to be cut */
	uint32_t cut_count;
	struct stop stop;
	uint32_t stop_signals; /* not yet seen by the machine */
	uint64_t version;      /* of the current snapshot */
	uint64_t cut_sessions; /* at the stop */
	bool listening;        /* it has not been said that the listeners are closed */
	int epoll_fd;
	uint64_t drain_look_ns; /* when to look again at the sessions of draining backends */
	bool outbox_waits;      /* a worker's ring was full */
	bool failed_snapshot;   /* there was no memory for one: try again */
};

/* Publishes what has changed, waits for the grace period, cuts what is to be cut. */
void control_publish(struct control *control, uint64_t now_ns);

/* Takes up the phase that the process is in: it starts, or a predecessor has begun to stop it. */
void control_begin(struct control *control);

/* Feeds the stop machine and does what it says. Returns whether the process has stopped. */
bool control_step_stop(struct control *control, uint64_t now_ns);

/* Looks up all names, and waits a little for the answers. Returns 0 or a negative errno. */
int control_resolve_at_start(struct control *control, struct error *err);
void control_on_answers(struct control *control, uint64_t now_ns);
void control_on_resolve_timer(struct control *control, uint32_t backend);
