/*
 * The backends of the torture: one process, any number of listening sockets, does what each
 * session's hello asks for.
 *
 * It runs until it has been told twice to stop: after the first SIGTERM it hurries, with the
 * second it ends. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tally.h"

struct backend_setup {
	const int *listeners; /* borrowed, listening and non-blocking */
	uint32_t listener_count;
	uint32_t capacity; /* connections */
	uint64_t seed;
	uint64_t stall_ms;
	bool proxy;          /* a PROXY header comes before each hello */
	bool local;          /* there are UNIX sockets on the way: a reset may arrive as an end */
	struct tally *tally; /* borrowed */
};

/* Returns the exit status of the process. */
int backend_run(const struct backend_setup *setup);
