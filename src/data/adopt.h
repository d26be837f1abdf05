/*
 * Goes on with the sessions of a worker process that has died.
 *
 * The private half of every session is made again from its record and from what the kernel says
 * about its sockets. A session is proven before it is touched: its sockets are the ones that the
 * record means, and what was consumed on one side is what was handed over on the other plus what
 * is held. One that cannot be proven is reset; none is ever joined to a stranger or corrupted.
 *
 * To be fast the worker serves at once: a session is proven at its first event, and a share of
 * those that have none in each turn.
 *
 * Threads: adopt_begin() by the first thread, before the worker's own exists; the rest by the
 * worker's own.
 */
#pragma once

#include <stdint.h>

struct worker;

/*
 * Builds the worker's lists and counters from shared memory, in which claims_take() has left what
 * is valid. Returns 0 or -ENOMEM.
 */
int adopt_begin(struct worker *worker);

/*
 * Before anything else is received: saves the bytes in the receive buffer and lanes, and starts a
 * session for clients that the dead process had accepted and not yet recorded.
 */
void adopt_start(struct worker *worker);

/*
 * With which of `count` sessions the process after so many restarts begins: where deaths come
 * faster than all sessions can be looked at, each one's turn comes soon. Below `count`, or 0.
 */
uint32_t adopt_first(uint64_t restarts, uint32_t count);

/* Takes a share of those that are left. */
void adopt_some(struct worker *worker);

/* Proves a session that is SESSION_INHERITED, and goes on with it or ends it. */
void adopt_session(struct worker *worker, uint32_t index);
