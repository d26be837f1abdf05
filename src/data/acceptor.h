/*
 * The listening sockets of a worker: takes clients from their queues, backs off when the system
 * has no room, and closes them at the stop without losing what is in the queues.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct worker;

/* Watches all listening sockets of its table. Returns 0 or a negative errno. */
int acceptor_start(struct worker *worker);

/*
 * Lets in a client whose connection a predecessor had accepted, or turns it away at the listener's
 * limit; takes the socket in any case. Once for each that the worker was set up with.
 */
void acceptor_admit(struct worker *worker, uint32_t listener, int fd);

/* The queue of socket `number` is not empty. */
void acceptor_on_event(struct worker *worker, uint32_t number);

/* A reload has added sockets to its table, or retired some. */
void acceptor_review(struct worker *worker);

/* A session has ended: where there was no place, there may be one. */
void acceptor_on_place(struct worker *worker);

/* From now on no new connection comes; what is queued is still served. */
void acceptor_begin_stop(struct worker *worker);

/* What is due at this turn: accepting again after a pause, closing what has been emptied. */
void acceptor_on_turn(struct worker *worker);

/* When acceptor_on_turn() has something to do: monotonic, UINT64_MAX for never. */
uint64_t acceptor_next_ns(const struct worker *worker);

/* Closes what is still open. */
void acceptor_close(struct worker *worker);
