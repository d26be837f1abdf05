/*
 * Pipes, as the place where bytes wait between two splice() calls.
 *
 * Never close-on-exec: the bytes in a pipe outlive the worker process with it. Threads: any.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Makes a non-blocking pipe that holds `bytes`, or less where the kernel does not allow it.
 * Returns 0 or a negative errno. ends[0] is the read end.
 */
int pipe_open(size_t bytes, int ends[static 2]);

/* What tells this pipe from all others; 0 when the two are not the ends of one pipe. */
uint64_t pipe_inode(const int ends[static 2]);

/* How many bytes are in it. */
uint32_t pipe_bytes(int fd);

void pipe_close(const int ends[static 2]);
