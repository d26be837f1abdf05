/*
 * How a worker waits for the next events: it looks, looks for a while, or sleeps.
 *
 * Thread: the worker's own, which owns all of it.
 */
#pragma once

#include <stdint.h>
#include <sys/epoll.h>

struct worker;

enum { WAIT_EVENTS = 256 };

/*
 * Waits for events or the next deadline, and at each look or sleep passes a quiet state. Returns
 * how many events there are, or a negative number when a signal has interrupted it.
 */
int wait_for_events(struct worker *worker, struct epoll_event events[static WAIT_EVENTS]);

/* Tells the supervisor and the steering of new clients. Asleep is not hung. */
void wait_set_awake(struct worker *worker, uint32_t awake);
