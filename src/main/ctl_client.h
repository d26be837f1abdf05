/*
 * One request to the admin socket of a running balancer, and its answer.
 *
 * Threads: any; it blocks.
 */
#pragma once

#include <stddef.h>

struct error;

struct ctl_request {
	const char *socket; /* path of the admin socket */
	const char *method;
	const char *target; /* path and query, encoded */
	int timeout_ms;     /* without a byte from the other side */
};

struct ctl_answer {
	unsigned status; /* of HTTP */
	char *body;      /* owned, NUL-terminated; never NULL */
	size_t length;
};

/*
 * Returns 0 or a negative errno with `err` filled in: -ENOENT, -ECONNREFUSED: nobody is there;
 * -EACCES, -EPERM: not for us; -ETIMEDOUT; -EPROTO, -ECONNRESET: the answer is not whole.
 */
int ctl_exchange(
	const struct ctl_request *request, struct ctl_answer *ret_answer, struct error *err);

void ctl_answer_done(struct ctl_answer *answer);
