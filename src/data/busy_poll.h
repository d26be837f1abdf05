/*
 * When a worker looks again for a while before it sleeps: only where more mostly comes in time.
 *
 * To be woken takes the kernel longer than an answer takes to come, where it comes from nearby.
 * Whether one is to be expected depends on what has moved since the last wait. A question to a
 * backend brings an answer, and an answer a question, maybe. A stream, whose bytes go on in one
 * direction, brings its next piece, but that one is worth more when more has gathered behind it:
 * after a stream alone a worker sleeps at once.
 *
 * What follows a question and what follows the rest are learnt apart, from whether the event came
 * within the limit, in the manner of the saturating counters of branch prediction (Smith, "A study
 * of branch prediction strategies", 1981). Looking ends once it was in vain twice more than not. A
 * sleep is a poorer witness than a look, as it ends later than the event came: it takes two good
 * ones more than bad ones to look again, and twice as many each time that looking has found
 * nothing at all.
 *
 * Pure; zero is the initial state. Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct busy_poll_guess {
	uint8_t trust; /* 0: it sleeps; else how many looks in vain end it, at most 2 */
	uint8_t good;  /* asleep: good sleeps less bad ones */
	uint8_t vain;  /* how often in a row looking has ended without a find; stops at a limit */
};

struct busy_poll {
	struct busy_poll_guess guess[2]; /* by whether a backend was asked */
	bool asked;                      /* since the last wait: a backend, something */
	bool streamed;                   /* since the last wait: more of a stream has moved */
	bool looking;                    /* in the present wait */
};

/* What one session has said last. Zero: nothing yet. */
struct busy_poll_talk {
	uint8_t speaker; /* one more than the side */
	uint8_t pieces;  /* of it in a row, up to those that are still talk */
};

/*
 * The side has said something. Whether that is more of a stream: two pieces in a row are not, as a
 * question may come as a head and a body.
 */
bool busy_poll_is_stream(struct busy_poll_talk *talk, unsigned side);

static inline void busy_poll_asked(struct busy_poll *poll)
{
	poll->asked = true;
}

static inline void busy_poll_streamed(struct busy_poll *poll)
{
	poll->streamed = true;
}

/* Whether only more of streams has moved since the last wait. */
static inline bool busy_poll_is_for_stream(const struct busy_poll *poll)
{
	return poll->streamed && !poll->asked;
}

/* The present wait is of another kind, and no lesson. */
static inline void busy_poll_skip(struct busy_poll *poll)
{
	poll->asked = false;
	poll->streamed = false;
}

/*
 * A wait begins. Returns for how long to look before the sleep, in ns: `limit_ns`, or 0 where that
 * is not worth it.
 */
uint64_t busy_poll_begin(struct busy_poll *poll, uint64_t limit_ns);

/* It has ended after so long, looking and sleep together; UINT64_MAX when no event has come. */
void busy_poll_end(struct busy_poll *poll, uint64_t waited_ns, uint64_t limit_ns);
