/*
 * What the two sides of the torture have counted, in memory that both share; and the report.
 *
 * Each side writes its own counters and messages; the client's process prints.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

enum count {
	COUNT_OPENED,
	COUNT_ENDED,     /* in order, with everything checked */
	COUNT_ABORTED,   /* by a reset that was meant, and was seen as one */
	COUNT_ABANDONED, /* connections closed before they said who they are */
	COUNT_SENT_BYTES,
	COUNT_CHECKED_BYTES,
	COUNT_REQUESTS, /* answered in full */
	/* From here on: errors. */
	COUNT_DAMAGED,    /* streams with bytes that nobody sent */
	COUNT_DISPLACED,  /* with bytes lost or repeated */
	COUNT_STRANGERS,  /* with bytes of another session */
	COUNT_RESET,      /* by nobody's will */
	COUNT_CUT,        /* ended by a FIN before the end, or where a reset was due */
	COUNT_REFUSED,    /* connections */
	COUNT_UNREACHED,  /* that failed otherwise */
	COUNT_REPEATED,   /* sessions that came to backends twice */
	COUNT_STALLED,    /* sessions that stood still */
	COUNT_UNFINISHED, /* left over at the end */
	COUNT_LOCAL,      /* troubles of the torture itself */
	COUNT_COUNT,
};

enum side { SIDE_CLIENT, SIDE_BACKEND, SIDE_COUNT };

enum { GAP_BUCKETS = 64 * 16 }; /* 16 per power of two: 6 % wide */

struct gaps {
	uint64_t count;
	uint64_t worst_us;
	uint64_t bucket[GAP_BUCKETS];
};

struct tally {
	uint64_t count[SIDE_COUNT][COUNT_COUNT];
	uint64_t opened[SIDE_COUNT][CLASS_COUNT];
	uint64_t open[SIDE_COUNT];
	uint64_t messages[SIDE_COUNT];
};

/* Shared with children; NULL when there is no memory. */
struct tally *tally_create(void);

/* Whether the count is an error. */
bool tally_is_error(enum count count);

/* All errors of both sides. */
uint64_t tally_errors(const struct tally *tally);

/* Counts an error, and prints it as long as there were few. `class` may be CLASS_COUNT. */
void tally_error(struct tally *tally, enum side side, enum count count, enum session_class class,
	uint32_t session, const char *format, ...) __attribute__((format(printf, 6, 7)));

void gaps_add(struct gaps *gaps, uint64_t us);

/* The value below which the share lies, 0 when there is none. */
uint64_t gaps_quantile(const struct gaps *gaps, double share);

/* What the sessions saw since the last report: the worst gap of each. */
struct interval {
	struct gaps gaps;     /* all of them */
	struct gaps sessions; /* the worst of each session */
	struct gaps probes;   /* the worst of each probe */
	struct gaps opens;    /* from connect() to the response of short ones */
};

/* One line of JSON. `total` are the gaps since the start. */
void tally_print(const struct tally *tally, const char *event, double seconds,
	const struct interval *interval, const struct interval *total);
