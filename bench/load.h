/*
 * The load generator: many clients in one loop, in one of several modes.
 *
 * It speaks with whoever runs it in lines: it prints "ready" when what has to be open is open,
 * begins when it reads a line, prints its results as one line of JSON with all sessions still as
 * they are, and ends them when its standard input ends. So the runner can look at a proxy before
 * and after.
 *
 * Owner and thread: the only one there is.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/arrivals.h"
#include "bench/client.h"
#include "bench/histogram.h"

enum { LOAD_CLIENTS_MAX = 19000, LOAD_PENDING_MAX = 1 << 16 };

struct load_options {
	struct sockaddr_in address;
	uint64_t connections; /* clients at one time */
	uint64_t count;       /* sessions or transfers to make; 0: until the time is up */
	uint64_t duration_ms; /* no work is begun after this */
	uint64_t timeout_ms;  /* what is not done by then has failed */
	uint64_t settle_ms;   /* stalls: how long buffers may fill before "ready" */
	uint64_t request;     /* bytes */
	uint64_t response;    /* bytes */
	uint64_t rate;        /* requests per second of the open loop */
	uint64_t seed;        /* of its arrivals */
	uint64_t sources;     /* client addresses */
	uint64_t fresh;       /* open loop: 1: a session for each request */
};

struct load;

struct load_mode {
	const char *name;
	const char *summary;
	enum hello_kind kind;
	enum client_end end;
	bool half_close;
	bool holding;                                      /* does not read before it begins */
	bool opens_first;                                  /* sessions are open before "ready" */
	void (*begin)(struct load *load);                  /* starts the work */
	uint64_t (*turn)(struct load *load, uint64_t now); /* or NULL; returns when to be called */
	void (*on_event)(struct load *load, struct client *client, enum client_event event);
};

extern const struct load_mode load_modes[];
extern const size_t load_mode_count;

struct load {
	struct load_options options;
	const struct load_mode *mode;
	int epoll_fd;           /* owned */
	struct client *clients; /* owned, options.connections of them */
	uint32_t next_stream;
	bool opening;      /* before "ready" */
	uint32_t opened;   /* clients that opening has reached */
	uint32_t prepared; /* sessions open at "ready" */
	uint32_t active;   /* clients with work under way */
	uint64_t begun;    /* sessions or transfers started since "go" */
	uint64_t begin_ns;
	uint64_t stop_ns;  /* begin_ns + duration */
	uint64_t limit_ns; /* begin_ns + timeout */
	uint64_t end_ns;   /* when the last work was done */
	uint64_t done;     /* requests, sessions or transfers */
	uint64_t complete; /* early: those whose answer came whole */
	uint64_t sent;     /* bytes of finished sessions */
	uint64_t received; /* the same */
	uint64_t failures[FAILURE_COUNT];
	struct histogram latency;

	/* The open loop. */
	struct arrivals arrivals;
	uint64_t next_due_ns;
	uint64_t offered;
	uint64_t pending[LOAD_PENDING_MAX]; /* ring of due times that no client was free for */
	uint32_t pending_head;
	uint32_t pending_count;
	uint32_t free[LOAD_CLIENTS_MAX]; /* ring of indices, so that all take their turn */
	uint32_t free_head;
	uint32_t free_count;
};

/* Opens a session in this client, and sends. Failures are counted; false then. */
bool load_open(struct load *load, struct client *client);

/* Counts the failure, and closes. */
void load_fail(struct load *load, struct client *client, enum client_failure failure);

/* Counts the bytes, and closes. */
void load_finish(struct load *load, struct client *client);

/* Asks for the next exchange on an open session. False when it failed, which is counted. */
bool load_ask(struct load *load, struct client *client);

/* Whether new work may begin. */
bool load_goes_on(const struct load *load, uint64_t now);
