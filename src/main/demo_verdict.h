/*
 * What the demo claims, and whether it holds: a pure function from what was seen to sentences.
 *
 * Threads: any.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "main/demo_event.h"
#include "main/demo_tally.h"

enum { DEMO_TRANSITION_MAX = 16, DEMO_CHECK_TEXT_MAX = 320 };

enum demo_check_id {
	DEMO_CHECK_ERRORS,
	DEMO_CHECK_SHARES,
	DEMO_CHECK_PATH,
	DEMO_CHECK_INTRUDERS,
	DEMO_CHECK_OLD_SESSIONS,
	DEMO_CHECK_RETURN,
	DEMO_CHECK_STOP,
	DEMO_CHECK_COUNT,
};

/* Everything that was seen. */
struct demo_outcome {
	struct demo_numbers numbers;
	uint64_t clients;          /* that ran at the same time */
	uint64_t damaged;          /* requests that did not arrive whole at a backend */
	uint32_t transition_count; /* may exceed DEMO_TRANSITION_MAX: then not all were kept */
	struct demo_event transitions[DEMO_TRANSITION_MAX];
	bool stopped; /* the balancer said that it had stopped */
	uint64_t sessions_cut;
	int exit_code; /* of the balancer */
};

struct demo_check {
	bool held;
	char text[DEMO_CHECK_TEXT_MAX]; /* one sentence, of what is the case */
};

/* Returns whether all checks held. */
bool demo_judge(
	const struct demo_outcome *outcome, struct demo_check checks[static DEMO_CHECK_COUNT]);
