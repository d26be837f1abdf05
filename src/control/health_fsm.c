#include "control/health_fsm.h"

#include <assert.h>
#include <stdlib.h>

static const uint64_t HOLD_DOWN_FIRST_NS = 1000000000;
enum { HOLD_DOUBLINGS_MAX = 32 }; /* far above any bound, far below the end of 64 bits */

/* What an input means, once the counts have been brought up to date. */
enum event {
	EVENT_NONE,
	EVENT_DOUBTED,   /* the failure limit is reached, and the pool wants it confirmed */
	EVENT_SICK,      /* the failure limit is reached, and sessions are running */
	EVENT_SICK_IDLE, /* the failure limit is reached, and none is */
	EVENT_IDLE,      /* the last session ended, and none can start any more */
	EVENT_HEALED,    /* the success limit is reached, and no hold-down is in force */
	EVENT_COUNT,
};

struct transition {
	enum health_state next;
	unsigned actions;
};

#define DOWN (HEALTH_DO_PUBLISH | HEALTH_DO_PROBE)
#define UP   (HEALTH_DO_PUBLISH | HEALTH_DO_REST)

/*
 * The whole machine. A cell that is left out cannot happen: it reads HEALTH_UNSET, which
 * health_feed() refuses.
 *
 * Sessions may start in any state: a worker may still hold the snapshot before the one that took
 * the backend out, and a pool without a healthy backend may try all. So UNHEALTHY may have
 * sessions for a while; it does not go back to DRAINING for them.
 */
/* clang-format off */
static const struct transition machine[HEALTH_STATE_COUNT][EVENT_COUNT] = {
	[HEALTH_HEALTHY] = {
		[EVENT_NONE]      = { HEALTH_HEALTHY,   0 },
		[EVENT_DOUBTED]   = { HEALTH_HEALTHY,   HEALTH_DO_CONFIRM },
		[EVENT_SICK]      = { HEALTH_DRAINING,  DOWN },
		[EVENT_SICK_IDLE] = { HEALTH_UNHEALTHY, DOWN },
	},
	[HEALTH_DRAINING] = {
		[EVENT_NONE]      = { HEALTH_DRAINING,  0 },
		[EVENT_IDLE]      = { HEALTH_UNHEALTHY, 0 },
		[EVENT_HEALED]    = { HEALTH_HEALTHY,   UP },
	},
	[HEALTH_UNHEALTHY] = {
		[EVENT_NONE]      = { HEALTH_UNHEALTHY, 0 },
		[EVENT_HEALED]    = { HEALTH_HEALTHY,   UP },
	},
};
/* clang-format on */

void health_init(struct health *health, enum health_state state, uint64_t now_ns)
{
	assert(state == HEALTH_HEALTHY || state == HEALTH_UNHEALTHY);
	*health = (struct health){.state = state, .changed_ns = now_ns};
}

/* Counts stop at the top instead of starting again at 0. */
static void count(uint32_t *counter)
{
	if (*counter < UINT32_MAX) {
		(*counter)++;
	}
}

static enum event sick(const struct health_input *input)
{
	return input->sessions > 0 ? EVENT_SICK : EVENT_SICK_IDLE;
}

/*
 * In HEALTHY the failure of a probe counts like any other, and needs no confirmation: it is one.
 * Outside, it only breaks the row of successes.
 */
static enum event absorb_failure(
	struct health *health, const struct health_limits *limits, const struct health_input *input)
{
	const bool probe = input->signal == SIGNAL_PROBE_FAILURE;

	if (health->state != HEALTH_HEALTHY) {
		if (probe) {
			health->successes = 0;
			count(&health->failures);
		}
		return EVENT_NONE;
	}
	count(&health->failures);
	if (health->failures < limits->failures) {
		return EVENT_NONE;
	}
	if (!probe && (input->verdict & VERDICT_CONFIRM) != 0) {
		return EVENT_DOUBTED;
	}
	return sick(input);
}

static enum event healed(const struct health *health, const struct health_limits *limits,
	const struct health_input *input)
{
	if (health->state == HEALTH_HEALTHY || health->successes < limits->successes) {
		return EVENT_NONE;
	}
	if (input->now_ns < health->held_until_ns && (input->verdict & VERDICT_HOLD_VOID) == 0) {
		return EVENT_NONE;
	}
	return EVENT_HEALED;
}

static enum event absorb_success(
	struct health *health, const struct health_limits *limits, const struct health_input *input)
{
	if (health->state == HEALTH_HEALTHY) {
		health->failures = 0;
		return EVENT_NONE;
	}
	if (input->signal == SIGNAL_TRAFFIC_SUCCESS) {
		return EVENT_NONE;
	}
	health->failures = 0;
	count(&health->successes);
	return healed(health, limits, input);
}

static enum event idle(const struct health *health, const struct health_input *input)
{
	return health->state == HEALTH_DRAINING && health->graced && input->sessions == 0
		? EVENT_IDLE
		: EVENT_NONE;
}

/* Brings the counts up to date, and says what that amounts to. */
static enum event absorb(
	struct health *health, const struct health_limits *limits, const struct health_input *input)
{
	switch (input->signal) {
	case SIGNAL_TRAFFIC_FAILURE:
	case SIGNAL_PROBE_FAILURE:
		return input->started_ns < health->changed_ns
			? EVENT_NONE
			: absorb_failure(health, limits, input);
	case SIGNAL_TRAFFIC_SUCCESS:
	case SIGNAL_PROBE_SUCCESS:
		return input->started_ns < health->changed_ns
			? EVENT_NONE
			: absorb_success(health, limits, input);
	case SIGNAL_GRACE:
		health->graced = true;
		return idle(health, input);
	case SIGNAL_SESSIONS:
		return idle(health, input);
	case SIGNAL_READY:
		health->holds = 0;
		health->held_until_ns = 0;
		health->recovered_ns = 0;
		return healed(health, limits, input);
	case SIGNAL_REVIEW:
		return healed(health, limits, input);
	case SIGNAL_COUNT:
		break;
	}
	abort(); /* every signal returns above */
}

/*
 * 1 s, 2 s, 4 s ... for an ejection soon after a recovery: a port that accepts is no proof that
 * the service works. One after flap_window of health is an ordinary one, and starts the row anew.
 */
static uint64_t hold_down(
	struct health *health, const struct health_limits *limits, uint64_t now_ns)
{
	uint64_t hold_ns;

	if (health->recovered_ns == 0 || now_ns - health->recovered_ns > limits->flap_window_ns) {
		health->holds = 0;
		return 0;
	}
	hold_ns = HOLD_DOWN_FIRST_NS << health->holds;
	if (health->holds < HOLD_DOUBLINGS_MAX) {
		health->holds++;
	}
	return hold_ns < limits->hold_down_max_ns ? hold_ns : limits->hold_down_max_ns;
}

/*
 * The end of the last session says nothing about the backend: DRAINING to UNHEALTHY keeps the
 * counts, and the evidence that is on its way.
 */
static void start_anew(struct health *health, uint64_t now_ns)
{
	health->failures = 0;
	health->successes = 0;
	health->graced = false;
	health->changed_ns = now_ns;
}

struct health_step health_feed(
	struct health *health, const struct health_limits *limits, const struct health_input *input)
{
	assert(limits->failures >= 1);
	assert(limits->successes >= 1);

	const enum health_state from = health->state;
	const enum event event = absorb(health, limits, input);
	const struct transition transition = machine[from][event];
	struct health_step step = {
		.from = from,
		.to = transition.next,
		.actions = transition.actions,
		.failures = health->failures,
		.successes = health->successes,
	};

	assert(step.to != HEALTH_UNSET);
	health->state = step.to;
	if (from == HEALTH_HEALTHY && step.to != HEALTH_HEALTHY) {
		step.hold_down_ns = hold_down(health, limits, input->now_ns);
		health->held_until_ns =
			step.hold_down_ns > 0 ? input->now_ns + step.hold_down_ns : 0;
		start_anew(health, input->now_ns);
	} else if (from != HEALTH_HEALTHY && step.to == HEALTH_HEALTHY) {
		health->held_until_ns = 0;
		health->recovered_ns = input->now_ns;
		start_anew(health, input->now_ns);
	}
	assert(from != HEALTH_DRAINING || step.to != HEALTH_UNHEALTHY || input->sessions == 0);
	return step;
}

bool health_wants_success(const struct health *health)
{
	return health->state == HEALTH_HEALTHY && health->failures > 0;
}
