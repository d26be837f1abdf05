/*
 * How a session ends: who ended it, what each side still gets, and when it is over.
 *
 * Both directions passed on: close. One side reset: the other is reset as soon as it has
 * acknowledged all it was sent. One side takes no more while its answer is through: the other
 * gets a FIN and a lingering close, so that its unread input does not reset the answer away. Idle:
 * FIN to both and a lingering close, or a reset where bytes are still owed.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker;

/*
 * Looks whether the open session ends, after its directions were pumped. Returns whether the
 * session has left SESSION_OPEN.
 */
bool session_end_check(struct worker *worker, uint32_t index);

/* Goes on with one that lingers or is being reset. */
void session_end_step(struct worker *worker, uint32_t index);

/*
 * Goes on with one of the worker process before this one, of which the record says that it lingers
 * or is being reset. It has been blamed.
 */
void session_end_continue(struct worker *worker, uint32_t index);

/* The deadline of such a session has come. */
void session_end_on_deadline(struct worker *worker, uint32_t index);

/* Ends an open session that has been idle for too long, or sets its deadline anew. */
void session_end_watch_idle(struct worker *worker, uint32_t index);
