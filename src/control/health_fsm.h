/*
 * The health of one backend, as a pure state machine.
 *
 * It reads no clock, opens no socket, allocates nothing and logs nothing: the caller feeds it
 * what was observed, with the time, and carries out the actions that come back. That is what
 * lets the simulation run millions of steps from one seed.
 *
 *   HEALTHY ---(failures, sessions)---> DRAINING ---(grace period over, no session)---> UNHEALTHY
 *      |  \_____(failures, no session)____________________________________________________^ |
 *      ^------(successful probes, hold-down over)------ DRAINING, UNHEALTHY <---------------'
 *
 * Threads: control alone; a struct health belongs to its backend.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/slot.h"

/* What was observed. */
enum health_signal {
	SIGNAL_TRAFFIC_FAILURE, /* counts in HEALTHY alone */
	SIGNAL_TRAFFIC_SUCCESS, /* counts in HEALTHY alone */
	SIGNAL_PROBE_FAILURE,
	SIGNAL_PROBE_SUCCESS,
	SIGNAL_GRACE,    /* no worker can see a snapshot any more that had the backend healthy */
	SIGNAL_SESSIONS, /* the number of sessions may have changed */
	SIGNAL_REVIEW,   /* the pool's verdict may have changed: the hold-down may be void */
	SIGNAL_READY,    /* an operator says that it is in order: clears the hold-down */
	SIGNAL_COUNT,
};

/* What the rules of the pool say at this moment, a set of bits. See control/pool_health.h. */
enum health_verdict {
	VERDICT_CONFIRM = 1 << 0,   /* traffic alone may not eject: a probe has to fail too */
	VERDICT_HOLD_VOID = 1 << 1, /* the pool has no healthy backend: no hold-down */
};

/* What the caller must do, a set of bits. */
enum health_action {
	HEALTH_DO_PUBLISH = 1 << 0, /* the set of healthy backends has changed */
	HEALTH_DO_PROBE = 1 << 1,   /* start to probe */
	HEALTH_DO_REST = 1 << 2,    /* stop to probe */
	HEALTH_DO_CONFIRM = 1 << 3, /* an ejection is withheld: send one probe now */
};

struct health_limits {
	uint32_t failures;         /* consecutive ones that eject, >= 1 */
	uint32_t successes;        /* consecutive ones that bring back, >= 1 */
	uint64_t flap_window_ns;   /* an ejection this soon after a recovery is flapping */
	uint64_t hold_down_max_ns; /* upper bound of the hold-down */
};

struct health {
	enum health_state state;
	uint32_t failures;      /* consecutive; a success sets it to 0 */
	uint32_t successes;     /* consecutive probes outside HEALTHY; a failure sets it to 0 */
	uint32_t holds;         /* hold-downs in a row: the next one is 2^holds seconds */
	bool graced;            /* DRAINING: the grace period is over */
	uint64_t changed_ns;    /* when HEALTHY was entered or left: older evidence is void */
	uint64_t recovered_ns;  /* when HEALTHY was entered again; 0: never */
	uint64_t held_until_ns; /* not HEALTHY before; 0: no hold-down */
};

struct health_input {
	enum health_signal signal;
	unsigned verdict;    /* enum health_verdict */
	uint64_t now_ns;     /* never before that of an earlier input */
	uint64_t started_ns; /* of evidence: when the attempt or the probe began */
	uint64_t sessions;   /* on the backend now */
};

/* What happened. The counts are those that led to it: before they start anew. */
struct health_step {
	enum health_state from;
	enum health_state to;
	unsigned actions; /* enum health_action */
	uint32_t failures;
	uint32_t successes;
	uint64_t hold_down_ns; /* on the way out of HEALTHY: for how long at least */
};

/* `state` is HEALTHY, or UNHEALTHY for a backend whose name has no address yet. */
void health_init(struct health *health, enum health_state state, uint64_t now_ns);

struct health_step health_feed(struct health *health, const struct health_limits *limits,
	const struct health_input *input);

/* Whether a success by traffic would change anything: only then do workers report them. */
bool health_wants_success(const struct health *health);
