/*
 * The process that outlives the worker process: it holds the shared memory and, in a table that
 * both share, all descriptors. When the worker process dies or hangs, the next one goes on.
 *
 * It sees no byte of a client, opens no socket, allocates nothing once it has started, and takes
 * nothing from the shared memory but the beats of the workers.
 *
 * Threads: the first one, and there is no other.
 */
#pragma once

struct config;

/*
 * Runs the balancer in a worker process of its own until it is told to stop. Returns an enum
 * exit_code, in both processes. All is borrowed; for `warnings` see lifecycle.h.
 */
int supervisor_run(const struct config *config, const char *path, const char *warnings);

/* The same in an image that takes over from another one: see takeover.h. */
int supervisor_resume(const char *path);
