/*
 * Reads the balancer's log while it runs, and tells its changes of state to people.
 *
 * Owner:    the demonstration. Threads: all functions by the first thread; the reading is done on
 * one of its own, which ends with the log.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct error;

/* How far the failing backend has come: each step only after the one before. */
enum demo_step {
	DEMO_STEP_HEALTHY,
	DEMO_STEP_DRAINING,
	DEMO_STEP_UNHEALTHY,
	DEMO_STEP_RECOVERED,
};

struct demo_watch {
	pthread_t thread;
	int fd;           /* owned: the read end of the log */
	char failing[32]; /* the backend that will fail, as the log names it */
	uint64_t start_ns;
	_Atomic int started;            /* the balancer has said that it runs */
	_Atomic int ended;              /* the log has ended */
	_Atomic int step;               /* enum demo_step */
	_Atomic uint64_t other_changes; /* of backends that did not fail */
};

int demo_watch_start(struct demo_watch *watch, int fd, uint16_t failing_port, struct error *err);

/* Waits for the end of the log. */
void demo_watch_join(struct demo_watch *watch);

/* Copies the value of a string field of a JSON log line; empty when there is none. */
void demo_watch_field(const char *line, const char *key, char *text, unsigned size);
