/*
 * All metrics, as a table: name, type, help, and where the values are read.
 *
 * Values come from shared memory as it is at the moment: counters are summed over the workers,
 * states are those of the slots. Only entries that are in use are looked at.
 *
 * Threads: any; each call reads for itself.
 */
#pragma once

#include <stdint.h>

#include "observe/prometheus.h"

struct shm;

struct metrics_source {
	const struct shm *shm;
	const char *version;
};

/* Writes the whole page. */
void metrics_write(struct page *page, const struct metrics_source *source);
