/*
 * The life of the process that serves: from a checked configuration to its end.
 *
 * It is the only process, or the worker process of a supervisor; then it may go on where another
 * one has died.
 *
 * Threads: called by the first thread, before there is any other.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "model/event.h"

struct config;
struct shm;

struct lifecycle {
	const struct config *config; /* borrowed: as it was read */
	const char *path;            /* borrowed: of its file; NULL: there is none to reload */
	const char *warnings;        /* borrowed: lines about it for the log; NULL: none */
	struct shm *shm;             /* borrowed: the supervisor's; NULL: makes its own */
	pid_t supervisor;            /* 0: none */
	bool inherit;                /* goes on with what is in the shared memory */
	enum event_kind story_kind;  /* what the log says about that */
	const char *story;           /* and why; borrowed */
	const int *keep;             /* borrowed: descriptors that are the supervisor's */
	uint32_t keep_count;
};

/*
 * Fills in what the configuration leaves open: the number of workers, and of sessions from the
 * limit of descriptors, which is raised. Returns that limit.
 */
uint64_t lifecycle_settle(struct config *config);

/* Adds the signals that must wait until the process can answer them, and that would kill it. */
void lifecycle_hold_signals(sigset_t *mask);

/*
 * Runs the balancer until it is told to stop. Returns an enum exit_code; what went wrong has
 * been logged or written to standard error then.
 */
int lifecycle_run(const struct lifecycle *setup);
