/*
 * The control plane: health from evidence and probes, snapshots, signals, the stop of the process.
 *
 * control_run() is the loop of the first thread. It takes what workers report, feeds the health
 * machine, probes what is not healthy, looks names up again, and publishes a snapshot when, and
 * only when, something that the data plane reads has changed.
 *
 * Threads: all functions by the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/diag.h"
#include "model/event.h"

struct access_ring;
struct config;
struct control;
struct error;
struct request_box;
struct shm;
struct snapshot_store;

/* What the loader brings, all owned by control then; zeroed before it is asked. */
struct control_loaded {
	struct config *config;     /* NULL: it cannot be used */
	enum diag_failure failure; /* why */
	char *problems;            /* for people: what is wrong with it; also warnings */
	char *problem_lines;       /* the same, one line for each */
	char *text;                /* of the configuration, as config_print() writes it */
	size_t text_length;
};

/* What main gives to control; all borrowed, for as long as control lives. */
struct control_setup {
	struct shm *shm;
	struct snapshot_store *store;
	const struct config *config;
	int wake_fd;                  /* eventfd: workers write to it after they have reported */
	const int *worker_fds;        /* eventfd of each worker: written after a command */
	struct request_box *requests; /* of the admin thread; NULL: none */
	int signal_fd;                /* signalfd of SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2 */
	uint64_t seed;
	enum event_kind story_kind;
	const char *story;                  /* why a predecessor has died; NULL: there was none */
	void (*reopen_logs)(void *context); /* SIGUSR1 */
	/*
	 * A reload. `load` reads the configuration anew, on a thread of its own; NULL: there is no
	 * file. `prepare` does what can fail of all that control does not know about: returns 0, or
	 * a negative errno with nothing changed; one of the other two follows.
	 */
	void (*load)(void *context, struct control_loaded *ret_loaded);
	int (*prepare)(void *context, const struct config *next, struct error *err);
	void (*commit)(void *context, const struct config *next);
	void (*abandon)(void *context);
	void *context;
};

/*
 * Resolves the names, makes the slots and publishes the first snapshot. The configuration's
 * pools and listeners have their indexes in shared memory afterwards. A name that does not
 * resolve is no error: its backend is unhealthy and tried again.
 */
int control_create(
	const struct control_setup *setup, struct control **ret_control, struct error *err);

/*
 * Runs until the process has stopped: returns the number of sessions that had to be cut at the
 * drain deadline or by a second signal. When it returns, the workers have been told to exit and
 * have left their loops, but for those that hang.
 */
uint64_t control_run(struct control *control);

/* Whether control_run() has returned for an upgrade: nothing may be closed then. */
bool control_parked(const struct control *control);

/* How many workers have not left their loops; after control_run(): those that hang. */
uint32_t control_workers_left(const struct control *control);

/*
 * The configuration that a reload has put in force, owned by the caller from here on; NULL: it is
 * the one that control was given. The last thing before control_free().
 */
struct config *control_take_config(struct control *control);

void control_free(struct control *control);
