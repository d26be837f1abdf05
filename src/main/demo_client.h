/*
 * The clients of the demonstration: short sessions one after the other, and sessions that stay.
 *
 * Each runs on a thread of its own and keeps its own figures, which are read by the first thread
 * while it runs (counts) or after it has stopped (latencies).
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "main/demo_backend.h"

struct error;

enum { DEMO_BACKENDS = 3, DEMO_LATENCIES_MAX = 1 << 17 };

struct demo_client {
	pthread_t thread;
	uint16_t port; /* of the balancer */
	bool stays;    /* keeps its session, with a request from time to time */
	_Atomic int stopping;
	_Atomic int avoid; /* a session that stays on this backend is to be ended; -1: none */
	_Atomic uint64_t served[DEMO_BACKENDS]; /* sessions, by backend */
	_Atomic uint64_t errors;
	char first_error[96];
	uint32_t *latencies_us; /* owned; of requests */
	uint32_t latency_count;
};

int demo_client_start(struct demo_client *client, uint16_t port, bool stays, struct error *err);

/* Ends the thread; the figures stay. */
void demo_client_stop(struct demo_client *client);

void demo_client_free(struct demo_client *client);
