/*
 * Pipes, as the place where bytes wait between two splice() calls.
 *
 * Never close-on-exec: the bytes in a pipe outlive the worker process with it. Threads: any.
 */
#pragma once

#include <stddef.h>

/*
 * Makes a non-blocking pipe that holds `bytes`, or less where the kernel does not allow it.
 * Returns 0 or a negative errno. ends[0] is the read end.
 */
int pipe_open(size_t bytes, int ends[static 2]);

void pipe_close(const int ends[static 2]);
