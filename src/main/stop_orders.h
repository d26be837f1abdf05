/*
 * The orders to stop that the supervisor has been given, and whether they were heard.
 *
 * A worker process may die with an order that it has not obeyed, or be dead already when the order
 * is passed on. The phase that it leaves in shared memory shows whether the first one was obeyed;
 * what it does not show is told to the next one.
 *
 * Pure. Threads: the supervisor's only one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/shm.h"

struct stop_orders {
	uint32_t given;    /* SIGTERM and SIGINT; those past the second mean nothing more */
	uint64_t first_ns; /* when the first one came */
};

void stop_orders_add(struct stop_orders *orders, uint64_t now_ns);

/* How many the next worker process has to be told. */
uint32_t stop_orders_untold(const struct stop_orders *orders, enum process_phase phase);

/*
 * Whether the stop does not wait for another worker process, after one that did not serve: it was
 * ordered twice, or none has come up for too long.
 */
bool stop_orders_final(const struct stop_orders *orders, uint64_t now_ns);
