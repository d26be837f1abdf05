#include "control/stop.h"

#include <assert.h>

static const uint64_t NS_PER_MS = 1000000;

/* For how long a worker that was told to leave may do nothing at all. */
static const uint64_t EXIT_NS = 2000000000;

/* How often one looks whether the last session has ended: a stop is to end 100 ms after it. */
static const uint64_t POLL_NS = 10000000;

enum event {
	EVENT_NONE,
	EVENT_SIGNAL,
	EVENT_ELAPSED, /* the state's deadline has passed */
	EVENT_EMPTY,   /* nothing is left to wait for */
	EVENT_ENDED,   /* the workers have left */
	EVENT_COUNT,
};

struct transition {
	enum stop_state next;
	unsigned actions;
};

#define CUT (STOP_DO_CUT | STOP_DO_EXIT)

/*
 * LAME_DUCK is for load balancers in front of this one, so it lasts even when nothing is open.
 * EXITING waits for the workers while they get on: their threads hold what is freed afterwards.
 * A cell that is left out is refused.
 */
/* clang-format off */
static const struct transition machine[STOP_STATE_COUNT][EVENT_COUNT] = {
	[STOP_RUNNING] = {
		[EVENT_NONE]    = { STOP_RUNNING,   0 },
		[EVENT_SIGNAL]  = { STOP_LAME_DUCK, STOP_DO_LAME_DUCK },
		[EVENT_EMPTY]   = { STOP_RUNNING,   0 },
		[EVENT_ENDED]   = { STOP_RUNNING,   0 },
	},
	[STOP_LAME_DUCK] = {
		[EVENT_NONE]    = { STOP_LAME_DUCK, 0 },
		[EVENT_SIGNAL]  = { STOP_EXITING,   CUT },
		[EVENT_ELAPSED] = { STOP_DRAINING,  STOP_DO_DRAIN },
		[EVENT_EMPTY]   = { STOP_LAME_DUCK, 0 },
		[EVENT_ENDED]   = { STOP_LAME_DUCK, 0 },
	},
	[STOP_DRAINING] = {
		[EVENT_NONE]    = { STOP_DRAINING,  0 },
		[EVENT_SIGNAL]  = { STOP_EXITING,   CUT },
		[EVENT_ELAPSED] = { STOP_EXITING,   CUT },
		[EVENT_EMPTY]   = { STOP_EXITING,   STOP_DO_EXIT },
		[EVENT_ENDED]   = { STOP_EXITING,   STOP_DO_EXIT },
	},
	[STOP_EXITING] = {
		[EVENT_NONE]    = { STOP_EXITING,   0 },
		[EVENT_SIGNAL]  = { STOP_EXITING,   0 },
		[EVENT_ELAPSED] = { STOP_DONE,      STOP_DO_ABANDON },
		[EVENT_EMPTY]   = { STOP_EXITING,   0 },
		[EVENT_ENDED]   = { STOP_DONE,      0 },
	},
	[STOP_DONE] = {
		[EVENT_NONE]    = { STOP_DONE,      0 },
		[EVENT_SIGNAL]  = { STOP_DONE,      0 },
		[EVENT_EMPTY]   = { STOP_DONE,      0 },
		[EVENT_ENDED]   = { STOP_DONE,      0 },
	},
};
/* clang-format on */

void stop_init(struct stop *stop, uint64_t lame_duck_ms, uint64_t drain_ms)
{
	*stop = (struct stop){
		.state = STOP_RUNNING,
		.lame_duck_ns = lame_duck_ms * NS_PER_MS,
		.drain_ns = drain_ms * NS_PER_MS,
		.deadline_ns = UINT64_MAX,
	};
}

void stop_set_times(struct stop *stop, uint64_t lame_duck_ms, uint64_t drain_ms)
{
	assert(stop->state == STOP_RUNNING);
	stop->lame_duck_ns = lame_duck_ms * NS_PER_MS;
	stop->drain_ns = drain_ms * NS_PER_MS;
}

static unsigned step(struct stop *stop, enum event event, uint64_t now_ns)
{
	const struct transition transition = machine[stop->state][event];

	assert(transition.next != STOP_UNSET);
	if (transition.next != stop->state) {
		stop->deadline_ns = UINT64_MAX;
		if (transition.next == STOP_LAME_DUCK) {
			stop->deadline_ns = now_ns + stop->lame_duck_ns;
		} else if (transition.next == STOP_DRAINING) {
			stop->deadline_ns = now_ns + stop->drain_ns;
		} else if (transition.next == STOP_EXITING) {
			stop->deadline_ns = now_ns + EXIT_NS;
			stop->sessions = UINT64_MAX;
		}
	}
	stop->state = transition.next;
	return transition.actions;
}

/*
 * Several things may be true at once. An end by itself goes before a deadline, so that what has
 * just finished is not counted as cut.
 */
unsigned stop_feed(struct stop *stop, const struct stop_input *input)
{
	unsigned actions = 0;

	for (uint32_t i = 0; i < input->signals; i++) {
		actions |= step(stop, EVENT_SIGNAL, input->now_ns);
	}
	if (input->now_ns >= stop->deadline_ns && stop->state == STOP_LAME_DUCK) {
		actions |= step(stop, EVENT_ELAPSED, input->now_ns);
	}
	if (input->empty) {
		actions |= step(stop, EVENT_EMPTY, input->now_ns);
	}
	if (input->now_ns >= stop->deadline_ns && stop->state == STOP_DRAINING) {
		actions |= step(stop, EVENT_ELAPSED, input->now_ns);
	}
	if (input->workers_ended) {
		actions |= step(stop, EVENT_ENDED, input->now_ns);
	}
	if (stop->state == STOP_EXITING) {
		if (input->sessions < stop->sessions) {
			/* A million sessions are not cut in a moment. */
			stop->sessions = input->sessions;
			stop->deadline_ns = input->now_ns + EXIT_NS;
		} else if (input->now_ns >= stop->deadline_ns) {
			actions |= step(stop, EVENT_ELAPSED, input->now_ns);
		}
	}
	return actions;
}

uint64_t stop_deadline(const struct stop *stop, uint64_t now_ns)
{
	switch (stop->state) {
	case STOP_LAME_DUCK:
		return stop->deadline_ns;
	case STOP_DRAINING:
	case STOP_EXITING:
		return now_ns + POLL_NS < stop->deadline_ns ? now_ns + POLL_NS : stop->deadline_ns;
	case STOP_RUNNING:
	case STOP_DONE:
	case STOP_UNSET:
	case STOP_STATE_COUNT:
		break;
	}
	return UINT64_MAX;
}
