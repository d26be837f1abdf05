/*
 * The metrics that every Prometheus client has: what the process costs.
 *
 * Threads: any. What the system does not tell is left out.
 */
#pragma once

#include "observe/prometheus.h"

void process_metrics_write(struct page *page);
