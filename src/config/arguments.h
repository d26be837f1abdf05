/*
 * A configuration from the command line: one listener, one pool, nothing else.
 *
 * Threads: any.
 */
#pragma once

#include <stddef.h>

#include "config/config.h"

/*
 * What `--listen A --backend B --backend C` stands for. Mistakes are reported as in a file, with
 * the option for a place. Returns NULL when there was any.
 */
struct config *config_from_arguments(
	const char *listen, const char *const *backends, size_t backend_count, struct diag *diag);
