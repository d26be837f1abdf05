/*
 * Sockets and the clock, for the programs of the benchmark.
 *
 * Any thread; descriptors belong to the caller.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* Nanoseconds of the monotonic clock. */
uint64_t net_now(void);

/* "127.0.0.1:80". False when it is anything else. */
bool net_parse(const char *text, struct sockaddr_in *ret_address);

/* Digits alone, at most `max`. False when it is anything else. */
bool net_parse_number(const char *text, uint64_t max, uint64_t *ret_number);

/* A listening socket, non-blocking; says what failed and returns -1. */
int net_listen(const struct sockaddr_in *address, int backlog);

/*
 * A non-blocking socket on its way to `address`, or -1 with errno. On loopback it can often be
 * written to at once. `source` (0: the kernel's choice, else an IPv4 address in host order) spreads
 * the clients, so that a run has more than one address's worth of ports.
 */
int net_connect(const struct sockaddr_in *address, uint32_t source);

/* Lets the process have all the descriptors that its hard limit allows. */
void net_raise_limit(void);
