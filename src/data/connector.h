/*
 * From an accepted client to a connected backend: picks, connects, and tries elsewhere.
 *
 * One pass over the pool tries each backend at most once, and at most `retries` further ones after
 * the first. When all have been tried the next pass begins a second later, until connect_total
 * has passed. Local trouble (ports, descriptors, memory) costs the session a second as well and is
 * held against nobody.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdint.h>

#include "model/slot.h"

struct worker;

/* Starts with the first try. The session is closed when there is no backend at all. */
void connector_begin(struct worker *worker, uint32_t index);

/*
 * Goes on with a connect that the worker process before this one began, as the record has it; with
 * another one if something was sent that the record does not know of.
 */
void connector_continue(struct worker *worker, uint32_t index);

/* An event on the backend's socket while it connects. */
void connector_on_event(struct worker *worker, uint32_t index, uint32_t events);

/* The deadline of a session that connects or waits has come. */
void connector_on_deadline(struct worker *worker, uint32_t index);

/*
 * The backend that it is connecting to takes no more sessions: goes on to another one. Nobody is
 * blamed.
 */
void connector_move_on(struct worker *worker, uint32_t index);

/* The backend has reset the connection before a byte of the client went there. */
void connector_report_reset(struct worker *worker, uint32_t index);

/* Reports success to control, if it wants to know; once per session. */
void connector_report_success(struct worker *worker, uint32_t index);

/* Gives back the struct attempt, if the session has one. */
void connector_forget(struct worker *worker, uint32_t index);
