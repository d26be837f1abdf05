/*
 * The parts of the supervisor. Private to main/supervisor*.c.
 *
 * Threads: the first one, and there is no other. Nothing here allocates.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "main/hang.h"
#include "main/restarts.h"
#include "main/stop_orders.h"
#include "main/upgrade.h"
#include "model/event.h"
#include "model/shm.h"

struct config;

enum { STORY_MAX = TAKEOVER_REASON_MAX };

struct supervisor {
	const struct config *config; /* borrowed: as it was read; NULL after an upgrade */
	const char *path;            /* borrowed: of its file; NULL: none */
	const char *warnings;        /* borrowed: about it; NULL after an upgrade */
	struct shm shm;
	pid_t self;
	pid_t worker;
	bool served;  /* a worker process has served, so a death is a crash from now on */
	bool serving; /* the present one does */
	struct stop_orders orders;
	bool reload_ordered;    /* to the present worker process */
	uint64_t reload_before; /* when there had last been one then */
	uint64_t born_ns;       /* when the present one was made */
	uint64_t serving_ns;    /* since when it serves */
	uint64_t watchdog_ns;
	uint64_t notify_ns; /* how often systemd wants to hear from us; 0: never */
	uint64_t notified_ns;
	uint64_t beats[WORKERS_MAX]; /* of each worker when it was made, or began to serve */
	struct hang hangs[WORKERS_MAX];
	bool hung; /* one of them did, or it never served: it is ended for that */
	struct restarts restarts;
	sigset_t signals; /* that it waits for */
	sigset_t before;  /* the mask of whoever started us */
	int oom_score;
	bool has_oom_score;
	enum event_kind story_kind;
	char story[STORY_MAX]; /* of the last death, or upgrade */
	struct upgrade upgrade;
	uint64_t wanted;           /* upgrades that the worker process has asked for so far */
	bool asked;                /* for one that has not begun */
	struct held_file previous; /* the program file of the image before */
	uint64_t probation_ns;     /* since when this image has its place; 0: it has not yet */
};

/* Returns the child's id, 0 in the child, or a negative errno. */
pid_t supervisor_start_worker(struct supervisor *supervisor);

void supervisor_pause(uint64_t ns);

/* Takes orders to stop while there is no worker process to pass them on to. */
void supervisor_take_orders(struct supervisor *supervisor);

/* A number that changes with each reload that has ended. */
uint64_t supervisor_last_reload(const struct supervisor *supervisor);

/* Tells the next process of the orders that the last worker process has not obeyed. */
void supervisor_pass_on_orders(struct supervisor *supervisor, pid_t process);

/* A stop was ordered, and no worker process comes up to do it. Returns the exit code. */
int supervisor_stop_alone(const struct supervisor *supervisor);

/* Since the worker process began to serve, no worker has stayed in one and the same turn. */
bool supervisor_all_go_on(const struct supervisor *supervisor);

/* This image is a new one that has not yet proved itself. */
bool supervisor_takes_over(const struct supervisor *supervisor);

/* The worker process serves: an image that is new has to go on doing so for a moment. */
void supervisor_begin_settling(const struct supervisor *supervisor);

/*
 * Begins the upgrade that was asked for, and goes on with it. Each time something may have
 * changed. Returns false in a child that is to serve.
 */
bool supervisor_step_upgrade(struct supervisor *supervisor, uint64_t now_ns);

/*
 * The worker process of a new binary has died, and was waited for: executes the one before, if it
 * is still kept.
 */
void supervisor_go_back(struct supervisor *supervisor);

void supervisor_set_upgrade(
	struct supervisor *supervisor, enum upgrade_state state, const char *reason);
