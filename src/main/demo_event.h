/*
 * What the balancer of the demo says, read from its log: lines of JSON, one event each.
 *
 * Threads: any; pure functions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum demo_event_kind {
	DEMO_EVENT_OTHER,
	DEMO_EVENT_STARTED,  /* clients may come */
	DEMO_EVENT_HEALTH,   /* a backend changed its state */
	DEMO_EVENT_STOPPED,  /* the last line of a graceful stop */
	DEMO_EVENT_NO_EVENT, /* the line is no event: an error before there was a log */
};

enum { DEMO_WORD_MAX = 32 };

struct demo_event {
	enum demo_event_kind kind;
	uint64_t wall_ns;
	char backend[DEMO_WORD_MAX];
	char from[DEMO_WORD_MAX]; /* "healthy", "draining", "unhealthy" */
	char to[DEMO_WORD_MAX];
	char reason[DEMO_WORD_MAX]; /* may be empty */
	uint64_t failures;
	uint64_t successes;
	uint64_t sessions;     /* running on the backend */
	uint64_t sessions_cut; /* of DEMO_EVENT_STOPPED */
};

/* Reads one line, NUL-terminated. What a line lacks is 0 or empty. */
void demo_event_read(const char *line, struct demo_event *ret_event);
