/*
 * A backend of the demo: one thread that answers requests and checks every byte of them. It can
 * fail in the way of a service that no longer starts: nobody listens any more, while the sessions
 * that it has go on.
 *
 * Threads: the functions are called by the first thread; each backend has a thread of its own.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "main/demo_wire.h"

struct demo_backend;
struct error;

/* Listens on a free port of loopback. Nothing is answered before demo_backend_start(). */
int demo_backend_create(uint32_t index, struct demo_backend **ret_backend, struct error *err);

uint16_t demo_backend_port(const struct demo_backend *backend);

/* Starts the thread; after this the process must not fork any more. */
int demo_backend_start(struct demo_backend *backend, struct error *err);

/*
 * Nobody listens any more. Connections whose handshake is done are still served, so that a client
 * whose bytes are under way already is not cut off.
 */
void demo_backend_fail(struct demo_backend *backend);

/* Listens again, on the same port. */
int demo_backend_recover(struct demo_backend *backend, struct error *err);

/* Requests that did not arrive as they were sent, and ones that ended in the middle. */
uint64_t demo_backend_damaged(const struct demo_backend *backend);

/* Ends the thread and all connections. NULL is allowed. */
void demo_backend_free(struct demo_backend *backend);
