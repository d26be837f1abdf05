/*
 * The parts of the control loop. Private to control/control*.c; all by the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "control/outbox.h"
#include "control/reload.h"
#include "control/resolve.h"
#include "control/roster.h"
#include "control/stop.h"
#include "model/event.h"
#include "model/request.h"

enum control_source {
	SOURCE_WAKE,
	SOURCE_SIGNAL,
	SOURCE_RESOLVER,
	SOURCE_PROBE,
	SOURCE_RELOAD,
	SOURCE_REQUEST,
};

struct control {
	struct control_setup setup;
	struct event_log events;
	struct roster *roster; /* owned */
	struct outbox outbox;
	struct reload reload;
	struct sockets_closing closing; /* listening sockets that workers are emptying */
	struct config *owned_config;    /* setup.config, once a reload has brought it; else NULL */
	uint64_t drain_next_ns;         /* when to look at backends that were taken out */
	struct stop stop;
	uint32_t stop_signals; /* not yet seen by the machine */
	uint64_t version;      /* of the current snapshot */
	uint64_t cut_sessions; /* at the stop */
	bool listening;        /* it has not been said that the listeners are closed */
	bool parking;          /* an upgrade: the workers were told to leave all as it is */
	int epoll_fd;
	uint64_t drain_look_ns; /* when to look again at the sessions of draining backends */
	bool outbox_waits;      /* a worker's ring was full */
	bool failed_snapshot;   /* there was no memory for one: try again */
	uint32_t waiting_count; /* requests to be answered when the reload is over */
	struct request waiting[REQUESTS_MAX];
};

/* Has the descriptor named in events. Returns 0 or a negative errno. */
int control_watch(struct control *control, int fd, enum control_source source);

/* Carries out what the admin thread asks for. */
void control_on_requests(struct control *control);

/* A roster for the configuration, on the shared memory as it is; not in force yet. */
int control_make_roster(struct control *control, const struct config *config,
	struct roster **ret_roster, struct error *err);

/* Publishes what has changed, waits for the grace period, cuts what is to be cut. */
void control_publish(struct control *control, uint64_t now_ns);

/* The supervisor has changed what it says about an upgrade. */
void control_on_upgrade(struct control *control);

/* Takes up the phase that the process is in: it starts, or a predecessor has begun to stop it. */
void control_begin(struct control *control);

/* Feeds the stop machine and does what it says. Returns whether the process has stopped. */
bool control_step_stop(struct control *control, uint64_t now_ns);

/* Looks up all names, and waits a little for the answers. Returns 0 or a negative errno. */
int control_resolve_at_start(struct control *control, struct error *err);
void control_on_answers(struct control *control, uint64_t now_ns);
void control_on_resolve_timer(struct control *control, uint32_t backend);
