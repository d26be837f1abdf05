/*
 * What of this machine stands in the way of a balancer, and the command that mends it.
 *
 * One row per matter, each a pure function of what host_read() has found.
 *
 * Owner and threads: the caller; any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "os/host.h"

enum { DOCTOR_TEXT_MAX = 256, DOCTOR_MEND_MAX = 1024 };

struct doctor_finding {
	const char *name; /* of the matter */
	bool warn;
	char text[DOCTOR_TEXT_MAX]; /* what is, and what follows from it */
	char mend[DOCTOR_MEND_MAX]; /* a command; "" where there is nothing to be mended */
};

/* How many matters there are. */
size_t doctor_count(void);

/* Judges the matter of that number. */
void doctor_judge(const struct host *host, size_t number, struct doctor_finding *ret_finding);
