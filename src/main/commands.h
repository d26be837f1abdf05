/*
 * The commands of the program, one function each. Every one returns an enum exit_code and writes
 * what went wrong to standard error.
 *
 * Threads: the first thread, before there is any other.
 */
#pragma once

struct options;

/* Runs the balancer, from a file or from the arguments; or prints what it would run. */
int command_run(const struct options *options);

/* Checks a configuration file. */
int command_check(const struct options *options);

/* Writes the sample configuration, to standard output or to a file that is not there yet. */
int command_init(const struct options *options);

/* Prints the reference of the configuration file, or its JSON Schema. */
int command_config(const struct options *options);

/* Talks to a running balancer over its admin socket. */
int command_ctl(const struct options *options);

/* Real traffic through a real balancer on loopback, with a failure in the middle. */
int command_demo(const struct options *options);

/* Says what of this machine stands in the way, and what mends it. */
int command_doctor(const struct options *options);
