/*
 * The clients of the torture: a population of sessions that is kept up, and new short connections
 * at a fixed rate, whatever becomes of the ones before.
 *
 * It runs until SIGTERM, SIGINT or its time is up; then every session is ended in order and its
 * totals are checked. SIGUSR1 prints a report. Threads: one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/sockaddr.h"
#include "tally.h"

enum { ADDRESSES_MAX = 16 };

struct client_setup {
	struct sockaddr_any addresses[ADDRESSES_MAX];
	uint32_t address_count;
	uint32_t sessions; /* of the population, probes not counted */
	uint32_t probes;
	uint32_t rate; /* new short connections a second */
	uint32_t ramp; /* at most so many new sessions of the population a second */
	uint32_t weights[CLASS_COUNT];
	uint32_t life_ms;  /* of a session, on average; half of them live on to the end */
	uint32_t think_ms; /* between two requests, on average */
	uint32_t probe_ms; /* of a probe */
	uint32_t burst;    /* bytes */
	uint32_t every_ms; /* between two bursts */
	uint32_t hold_ms;  /* longest half-closed time, and time to a reset */
	uint32_t stall_ms;
	uint32_t grace_ms; /* to end all sessions */
	double seconds;    /* 0: until told */
	uint64_t seed;
	bool proxy;          /* backends get a PROXY header */
	bool local;          /* there are UNIX sockets on the way: a reset may arrive as an end */
	struct tally *tally; /* borrowed */
	pid_t backend;       /* the child: told when the end begins, and ended then */
};

/* Returns whether it ran as it was meant to; the errors are in the tally. */
bool client_run(const struct client_setup *setup);
