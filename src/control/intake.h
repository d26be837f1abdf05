/*
 * What workers report, taken from their rings and fed to the registry.
 *
 * A report counts if it is of the present use of its slot (generation) and of an attempt that
 * began after the last change of health; the latter is the machine's rule. When a ring has
 * overflowed, reports are lost but the counters are not: for a short while the counters of all
 * backends are watched instead, and one that only failed in that time is held to have failed as
 * often as its threshold wants.
 *
 * Threads: control alone. Reads no clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct registry;

struct intake {
	struct registry *registry; /* borrowed */
	struct intake_mark *marks; /* owned; by backend: its counters when the watch began */
	uint64_t watch_until_ns;   /* 0: no ring has overflowed lately */
};

/* Returns 0 or -ENOMEM. */
int intake_init(struct intake *intake, struct registry *registry);
void intake_done(struct intake *intake);

/* Takes all that is there. */
void intake_drain(struct intake *intake, uint64_t now_ns);

/* When intake_drain() wants to be called without a report, UINT64_MAX: never. */
uint64_t intake_deadline(const struct intake *intake);
