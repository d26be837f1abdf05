/*
 * The parts of the control loop. Private to control/control*.c; all by the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "control/probe.h"
#include "control/registry.h"
#include "control/resolve.h"
#include "control/stop.h"
#include "control/timers.h"
#include "model/event.h"

enum control_source { SOURCE_WAKE, SOURCE_SIGNAL, SOURCE_RESOLVER, SOURCE_PROBE };
enum control_timer { TIMER_PROBE, TIMER_RESOLVE };

/* What control remembers of a slot's counters, for the time when reports are lost. */
struct seen {
	uint64_t failures;
	uint64_t established;
};

struct control {
	struct control_setup setup;
	struct event_log events;
	struct registry registry;
	struct timers timers;
	struct prober prober;
	struct resolver *resolver;    /* NULL: all addresses are numeric */
	struct timer *resolve_timers; /* owned; by backend */
	struct seen *seen;            /* owned; by backend */
	bool *cut;                    /* owned; by backend: its sessions are to be cut */
	uint32_t cut_count;
	struct stop stop;
	uint32_t stop_signals; /* not yet seen by the machine */
	uint64_t version;      /* of the current snapshot */
	uint64_t cut_sessions; /* at the stop */
	int epoll_fd;
	bool failed_snapshot; /* there was no memory for one: try again */
};

/* Takes all reports of the workers. */
void control_take_evidence(struct control *control, uint64_t now_ns);

/* Publishes what has changed, waits for the grace period, cuts what is to be cut. */
void control_publish(struct control *control, uint64_t now_ns);

/* Gives a command to all workers. */
void control_command(struct control *control, const struct command *command);

/* Starts the look-up of all names, and waits a little for the answers. */
void control_resolve_at_start(struct control *control);
void control_on_answers(struct control *control, uint64_t now_ns, bool at_start);
void control_on_resolve_timer(struct control *control, uint32_t backend);
