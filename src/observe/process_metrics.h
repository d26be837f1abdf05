/*
 * The metrics that every Prometheus client has: what the process costs.
 *
 * Threads: any.
 */
#pragma once

#include <stdint.h>

#include "observe/prometheus.h"

/* `start_wall_ns`: when the process started, wall clock. */
void process_metrics_write(struct page *page, uint64_t start_wall_ns);
