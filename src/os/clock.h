/*
 * Time. Everything that waits or measures uses the monotonic clock; the wall clock is for what
 * people read. Pure code gets times as arguments, so that a simulation can invent them.
 *
 * Threads: any.
 */
#pragma once

#include <stdint.h>

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t clock_monotonic_ns(void);

/*
 * Sleeps for so long, under a second, and longer by the thread's timer slack; a signal may end it
 * early.
 */
void clock_pause(uint64_t ns);

/* CLOCK_REALTIME in nanoseconds since 1970. */
uint64_t clock_wall_ns(void);

/*
 * For how long to sleep until then: in milliseconds, rounded up, for poll() and epoll_wait().
 * UINT64_MAX is for ever, -1; what is further away than a timeout can say is slept towards in
 * parts. Pure.
 */
int clock_sleep_ms(uint64_t until_ns, uint64_t now_ns);
