/*
 * A client of the demo: one thread with one session at a time. It sends requests through the
 * balancer and checks every byte of the answers.
 *
 * Threads: the functions are called by the first thread; each client has a thread of its own.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct demo_tally;
struct error;

enum demo_client_kind {
	DEMO_SHORT, /* a few requests, then the next session */
	DEMO_LONG,  /* one session for as long as it may last */
};

struct demo_client {
	enum demo_client_kind kind;
	uint16_t port;            /* of the balancer */
	uint64_t seed;            /* of what it sends */
	struct demo_tally *tally; /* borrowed, outlives the client */
	pthread_t thread;
	bool started;
	_Atomic bool stop;    /* end after the request under way */
	_Atomic bool release; /* the same for a session with the victim; then begin another one */
	_Atomic uint64_t answers;
};

/* Sets up and starts; the client stays where it is in memory until demo_client_stop(). */
int demo_client_start(struct demo_client *client, struct error *err);

/* Asks the client to end; joins its thread. May be called on one that never started. */
void demo_client_ask_to_stop(struct demo_client *client);
void demo_client_join(struct demo_client *client);

/* A long client that talks to the victim says goodbye and comes back. */
void demo_client_release(struct demo_client *client);

/* Answers so far. */
uint64_t demo_client_answers(const struct demo_client *client);
