/*
 * The pages for machines that watch: /metrics, /healthz, /readyz.
 *
 * Threads: the admin thread, online as a reader of snapshots.
 */
#pragma once

#include "observe/metrics.h"
#include "observe/route.h"

struct snapshot_store;

struct pages {
	struct metrics_source source;       /* what it points to is borrowed */
	const struct snapshot_store *store; /* borrowed */
};

struct route_table pages_routes(struct pages *pages);
