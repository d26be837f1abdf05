/*
 * The balancer of the demo: the real one, in a process of its own, with a log that comes back
 * through a pipe.
 *
 * Threads: the first thread, before there is any other.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "main/demo_tally.h"

struct error;

enum { DEMO_LINE_MAX = 4096 };

struct demo_balancer {
	uint16_t port;         /* where clients connect */
	uint16_t metrics_port; /* where /metrics is */
	pid_t pid;
	int log_fd; /* non-blocking; owned; -1 once it has ended */
	size_t length;
	bool too_long; /* the line that is being read has no end in sight */
	char line[DEMO_LINE_MAX];
};

extern const char *const demo_backend_names[DEMO_BACKEND_COUNT];

/*
 * Starts it on free ports. `in_child` is called in the new process with `context`, to let go of
 * what is not its business.
 */
int demo_balancer_start(const uint16_t backend_ports[static DEMO_BACKEND_COUNT],
	void (*in_child)(void *context), void *context, struct demo_balancer *ret_balancer,
	struct error *err);

/*
 * The next line of the log, NUL-terminated and valid until the next call; NULL when there is none
 * at the moment. log_fd is -1 when there will be no more.
 */
const char *demo_balancer_line(struct demo_balancer *balancer);

/* Asks for a graceful stop. */
void demo_balancer_stop(const struct demo_balancer *balancer);

/*
 * After its log has ended: waits for the process and returns its exit code, or 128 and the number
 * of the signal that killed it. With `patience_ms` over it is killed.
 */
int demo_balancer_join(struct demo_balancer *balancer, unsigned patience_ms);
