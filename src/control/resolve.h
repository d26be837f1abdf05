/*
 * Names into addresses, off the loop: getaddrinfo() may block for as long as it likes.
 *
 * A few threads of its own take the questions; the answers are fetched by control when the
 * descriptor is readable. The first address that the system names is taken (RFC 6724 order).
 *
 * Owner:    control. A lookup that hangs cannot be cancelled, so the threads are detached and
 *           what they share lives until the last of them is done.
 * Threads:  all functions by control.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct error;
struct resolver;

enum { RESOLVE_PROBLEM_MAX = 64 };

struct resolve_answer {
	uint32_t backend; /* as it was asked for */
	bool found;
	struct sockaddr_any address;       /* when found */
	char problem[RESOLVE_PROBLEM_MAX]; /* when not: why */
};

/* `limit`: how many questions may be open at once. The caller owns *ret_resolver. */
int resolver_create(uint32_t limit, struct resolver **ret_resolver, struct error *err);

/* NULL is allowed. Does not wait for lookups that are under way. */
void resolver_free(struct resolver *resolver);

/* Readable when there is an answer. Owned by the resolver. */
int resolver_fd(const struct resolver *resolver);

/* Asks for the address of a name. A backend may be asked for again once it has been answered. */
void resolver_ask(struct resolver *resolver, uint32_t backend, const struct address *name);

/* False when there is no answer (more). */
bool resolver_answer(struct resolver *resolver, struct resolve_answer *ret_answer);

/* Waits until every question has been answered, at most until `timeout_ms` have passed. */
void resolver_wait(struct resolver *resolver, uint64_t timeout_ms);
