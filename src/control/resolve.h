/*
 * Names to addresses, by getaddrinfo() on a thread of its own: it may take as long as it likes,
 * and nobody waits for it.
 *
 * Owner:    control. What is asked for is copied.
 * Threads:  all functions by control; the thread inside touches nothing else.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct error;
struct resolver;

struct resolve_answer {
	uint32_t backend; /* as it was asked for */
	bool found;
	struct sockaddr_any address; /* the first one; set when it was found */
	char problem[96];            /* why not, in words */
};

/* Room for `limit` questions at once. Returns 0 or a negative errno. */
int resolver_create(uint32_t limit, struct resolver **ret_resolver, struct error *err);

/* Ends the thread; one that is stuck in a look-up is left behind with its memory. NULL is allowed. */
void resolver_free(struct resolver *resolver);

/* Asks for the address of a backend; at most once until it is answered. */
void resolver_ask(struct resolver *resolver, uint32_t backend, const struct address *name);

/* Readable when there is an answer. */
int resolver_fd(const struct resolver *resolver);

/* Takes one answer; false when there is none. */
bool resolver_answer(struct resolver *resolver, struct resolve_answer *ret_answer);
