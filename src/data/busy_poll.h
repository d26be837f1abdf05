/*
 * When a worker looks again for a while before it sleeps: only where more mostly comes in time.
 *
 * To be woken takes the kernel longer than an answer takes to come, where it comes from nearby.
 * Whether one is to be expected depends on what has moved since the last wait: a question to a
 * backend brings an answer, a piece of a long stream brings the next one, but that one is worth
 * more when more of the stream has gathered behind it. So after the latter alone a worker sleeps
 * at once, and for the other two a counter of four states each learns from every wait whether the
 * event came within the limit; looking begins in its upper half. That is the two-bit counter of
 * branch prediction (Smith, "A study of branch prediction strategies", 1981).
 *
 * Pure; zero is the initial state. Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct busy_poll {
	uint8_t trust[2]; /* 0 to 3, by whether a backend was asked */
	bool asked;       /* since the last wait something went to a backend */
	bool bulk;        /* since then a piece of a long stream was moved */
	bool looking;     /* in the present wait */
};

static inline void busy_poll_asked(struct busy_poll *poll)
{
	poll->asked = true;
}

static inline void busy_poll_bulk(struct busy_poll *poll)
{
	poll->bulk = true;
}

/*
 * A wait begins. Returns for how long to look before the sleep, in ns: `limit_ns`, or 0 where that
 * is not worth it.
 */
uint64_t busy_poll_begin(struct busy_poll *poll, uint64_t limit_ns);

/* It has ended after so long, looking and sleep together; UINT64_MAX when no event has come. */
void busy_poll_end(struct busy_poll *poll, uint64_t waited_ns, uint64_t limit_ns);
