/*
 * The metrics that every Prometheus client has: what the process costs.
 *
 * Threads: any. What the system does not tell is left out.
 */
#pragma once

#include "observe/prometheus.h"

/* `past_cpu_ns` is the CPU time of the worker processes before this one. */
void process_metrics_write(struct page *page, uint64_t past_cpu_ns);
