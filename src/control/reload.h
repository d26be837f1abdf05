/*
 * A reload: the running process goes over to another configuration, and no client notices.
 *
 *   IDLE -> LOADING (a thread reads, parses, compares) -> NAMES (the resolver looks them up)
 *        -> SOCKETS (an address that is wanted again may still be closing) -> applied, or refused
 *
 * All that can fail comes first and changes nothing: so a configuration is applied as a whole or
 * not at all. What is applied then:
 *
 *   1. a new roster on the same shared memory, where names, health, counters stay with the slots
 *   2. the new snapshot, after whose grace period no worker uses the old one
 *   3. listening sockets: new ones go on record, others get another listener, others are retired
 *
 * Listeners and pools that were taken out are kept in the snapshot for as long as a session may
 * be waiting for its backend: what came before the reload is served as it was.
 *
 * Threads: the first thread, but for the loader, which touches nothing but what it is given.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "config/difference.h"
#include "control/control.h"
#include "control/naming.h"
#include "control/reload_keep.h"
#include "control/sockets.h"
#include "model/event.h"

enum reload_stage {
	RELOAD_IDLE,
	RELOAD_LOADING,
	RELOAD_NAMES,
	RELOAD_SOCKETS,
	RELOAD_PUBLISHING, /* there was no memory for the snapshot: the sockets wait for it */
};

enum reload_outcome {
	RELOAD_APPLIED,
	RELOAD_INVALID, /* the configuration cannot be used: the text says why */
	RELOAD_REFUSED, /* it cannot be had here and now */
};

/* What became of it, for whoever asked; `text` is for people, of one line or more. */
typedef void reload_on_done(void *context, enum reload_outcome outcome, const char *text);

struct reload {
	enum reload_stage stage;
	enum event_cause cause;
	bool again; /* somebody has asked since it began: once more after it */
	enum event_cause again_cause;
	int done_fd; /* owned: the loader is done */
	pthread_t thread;
	struct control_setup setup;   /* what the loader needs of it */
	const struct config *running; /* borrowed: does not change while the loader runs */
	/* The loader's until it is joined. */
	struct control_loaded loaded;
	struct config_difference difference;
	/* Of what is being applied. */
	struct lookup lookup;
	struct sockets_plan *plan;
	uint64_t deadline_ns;        /* of NAMES and SOCKETS */
	struct kept next_kept;       /* what `loaded` keeps */
	const struct config *before; /* PUBLISHING: what was running until now */
	struct config *before_owned; /* the same, unless main owns it */
	/* Of the running configuration. */
	struct kept kept;
	/* Whoever waits: told once the reload is over that began after they asked. */
	reload_on_done *on_done;
	void *on_done_context;
};

struct control;

int reload_init(struct reload *reload, struct control *control);
void reload_done(struct reload *reload);

/* One line of the log for each, so that an operator finds the file, the line and the column. */
void reload_log_problems(const char *lines);

/* Begins one, or has it begin after the one that runs. */
void reload_request(struct control *control, enum event_cause cause);

/* The loader is done, or time has passed: goes on as far as it can. Once per turn. */
void reload_step(struct control *control, uint64_t now_ns);

/* When reload_step() wants to be called without an event; UINT64_MAX: never. */
uint64_t reload_next_ns(const struct control *control, uint64_t now_ns);
