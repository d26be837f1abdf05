/*
 * A backend of the demonstration: answers each request with its own number and the request.
 *
 * Owner:    the demonstration, from demo_backend_start() to demo_backend_stop().
 * Threads:  all functions by the first thread; the backend serves on one of its own.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct error;

enum { DEMO_REQUEST_BYTES = 64, DEMO_ANSWER_BYTES = DEMO_REQUEST_BYTES + 1 };

struct demo_backend {
	pthread_t thread;
	uint8_t number;
	uint16_t port;
	int epoll_fd;
	_Atomic int listen_fd;  /* -1: it has failed; closed by the backend's thread alone */
	_Atomic int failing;    /* it is to be closed */
	_Atomic uint64_t taken; /* connections */
	int wake_fd;            /* eventfd: the thread is to end */
	_Atomic int stopping;
};

/* Listens on a free port of loopback. Returns 0 or a negative errno. */
int demo_backend_start(struct demo_backend *backend, uint8_t number, struct error *err);

/* Takes no new connections: whoever connects is refused. Those that are there go on. */
void demo_backend_fail(struct demo_backend *backend);

/* Takes connections again, at the same port. */
int demo_backend_recover(struct demo_backend *backend, struct error *err);

void demo_backend_stop(struct demo_backend *backend);
