/*
 * What the clients of the demo have seen, added up.
 *
 * A session counts for the phase in which it both began and got its first answer; one that began
 * in one phase and was answered in another counts for none, since nobody can tell which rules it
 * met.
 *
 * Threads: the clients' threads add, the first one reads; the lock protects everything.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "main/demo_latency.h"

enum { DEMO_BACKEND_COUNT = 3, DEMO_VICTIM = 1, DEMO_SUSPECT_MAX = 1024 };

enum demo_phase {
	DEMO_BEFORE, /* all backends are healthy */
	DEMO_OUT,    /* from just before the victim fails until it is healthy again */
	DEMO_AFTER,
	DEMO_PHASE_COUNT,
};

/* A session with the victim that began in DEMO_OUT, by the wall clock, as in the log. */
struct demo_suspect {
	uint64_t begun_ns;
	uint64_t answered_ns;
};

/* Since the last line of the live view. */
struct demo_interval {
	uint64_t sessions[DEMO_BACKEND_COUNT];
	struct demo_latency latency;
};

struct demo_numbers {
	enum demo_phase phase;
	uint64_t sessions[DEMO_PHASE_COUNT][DEMO_BACKEND_COUNT];
	struct demo_latency
		latency[DEMO_PHASE_COUNT]; /* of requests; a first one with its connect */
	uint64_t requests;
	uint64_t bytes;       /* of answers, checked */
	uint64_t old_answers; /* in DEMO_OUT by the victim, to sessions that it had before */
	uint64_t errors;
	char first_error[160];
	uint32_t suspect_count; /* may exceed DEMO_SUSPECT_MAX: then not all were kept */
	struct demo_suspect suspects[DEMO_SUSPECT_MAX];
};

struct demo_tally {
	pthread_mutex_t lock;
	struct demo_numbers numbers;
	struct demo_interval interval;
};

/* One answered request. */
struct demo_answer {
	enum demo_phase begun_phase; /* of the session */
	uint64_t begun_ns;           /* of the session, wall clock */
	bool first;                  /* of the session */
	uint32_t backend;            /* below DEMO_BACKEND_COUNT */
	uint32_t bytes;
	uint64_t latency_ns;
	uint64_t now_ns; /* wall clock */
};

void demo_tally_init(struct demo_tally *tally);
void demo_tally_done(struct demo_tally *tally);

void demo_tally_enter(struct demo_tally *tally, enum demo_phase phase);
enum demo_phase demo_tally_phase(struct demo_tally *tally);
void demo_tally_answer(struct demo_tally *tally, const struct demo_answer *answer);
void demo_tally_error(struct demo_tally *tally, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* A copy of everything so far; the interval starts anew when it is asked for. NULL: not asked. */
void demo_tally_read(struct demo_tally *tally, struct demo_numbers *ret_numbers,
	struct demo_interval *ret_interval);
