/*
 * The invented world of the simulation, and the rules that are checked in it.
 *
 * health_sim.c makes things happen; rules.c looks at what control did about them and knows
 * nothing of how it did it. One thread owns it all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "config/config.h"
#include "control/intake.h"
#include "control/registry.h"
#include "model/shm.h"

struct snapshot;

enum {
	WORKERS = 3,
	POOLS = 4,
	BACKENDS_PER_POOL_MAX = 6,
	BACKENDS = POOLS * BACKENDS_PER_POOL_MAX,
	RETIRED_MAX = 64,
	SESSIONS_MAX_SIM = 200, /* per worker and backend: enough that 0 stays in reach */
	ATTEMPT_MS_MAX = 2000,  /* how long a connect may take */
	STEPS_DEFAULT = 20000000,
};

static const uint64_t SECOND = 1000000000;

/* What the world knows about a backend and control has to find out. */
struct truth {
	bool up;
	uint64_t up_since_ns;
	uint64_t sessions[WORKERS];
	/* The invented prober. */
	bool probing;
	bool confirming;
	uint64_t probe_at_ns;
	uint64_t down_since_ns;
	bool in_flight;
	bool in_flight_up; /* what it will find */
	uint64_t in_flight_since_ns;
	uint64_t in_flight_end_ns;
	/* What was seen, for the rules. */
	enum health_state state;
	enum health_signal last_signal; /* that was fed about it */
	uint64_t recovered_ns;
	uint64_t ejected_ns;
	uint64_t hold_down_ns;
	uint64_t changed_ns;
	uint64_t failures; /* reports and probes that began since then */
	uint64_t lost;     /* the world's lost reports then */
	bool cleared;      /* an operator's ready, since the ejection */
	bool voided;       /* the pool was without a healthy backend, since the ejection */
};

struct world {
	struct rng rng;
	uint64_t seed;
	uint64_t step;
	uint64_t now_ns;
	uint32_t calm; /* how rarely backends go and come */
	struct shm shm;
	struct config config;
	struct config_listener listener;
	struct config_pool pools[POOLS];
	struct config_backend backends[POOLS][BACKENDS_PER_POOL_MAX];
	char names[POOLS][BACKENDS_PER_POOL_MAX + 1][16];
	struct registry registry;
	struct intake intake;
	struct event_log events;
	struct truth truths[BACKENDS];
	struct snapshot *current;
	struct snapshot *seen[WORKERS]; /* what each worker reads until it is quiet */
	struct snapshot *retired[RETIRED_MAX];
	uint32_t retired_count;
	bool in_intake; /* what is fed now is traffic */
	uint64_t publications;
	uint64_t transitions;
	uint64_t helds;
	uint64_t reports_lost;
};

/* Ends the run, naming the rule and the seed, unless it holds. */
void require(const struct world *world, bool holds, const char *rule, uint32_t backend);

/* The registry's on_step: the rules of a transition. `context` is the world. */
void check_step(void *context, uint32_t backend, const struct health_step *step);

/* Remembers that the backend's pool has nobody left, if that is so. */
void note_voided(struct world *world, uint32_t backend);

/* The rules that hold after each step. */
void check_rules(struct world *world);
