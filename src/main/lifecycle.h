/*
 * The life of the running process: from a checked configuration to its end.
 *
 * Threads: called by the first thread, before there is any other.
 */
#pragma once

struct config;

/*
 * Runs the balancer until it is told to stop. Returns an enum exit_code; what went wrong has
 * been logged or written to standard error then. `config` is borrowed.
 */
int lifecycle_run(const struct config *config);
