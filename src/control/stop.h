/*
 * How the process stops, as a pure state machine.
 *
 *   RUNNING -> LAME_DUCK (readiness says no) -> DRAINING (the listeners close, sessions finish)
 *           -> EXITING (the workers leave their loops) -> DONE
 *
 * A second signal, or the deadline of DRAINING, cuts what is left and goes to EXITING. Workers that
 * neither leave nor end sessions there for a while are hung: DONE does not wait for them.
 *
 * Threads: control alone. Time comes in as an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum stop_state {
	STOP_UNSET = 0,
	STOP_RUNNING,
	STOP_LAME_DUCK,
	STOP_DRAINING,
	STOP_EXITING,
	STOP_DONE,
	STOP_STATE_COUNT,
};

/* What the caller must do, a set of bits, in this order. */
enum stop_action {
	STOP_DO_LAME_DUCK = 1 << 0, /* say that the process is not ready */
	STOP_DO_DRAIN = 1 << 1,     /* tell the workers to stop accepting */
	STOP_DO_CUT = 1 << 2,       /* tell them to reset all sessions */
	STOP_DO_EXIT = 1 << 3,      /* tell them to leave */
	STOP_DO_ABANDON = 1 << 4,   /* some never will: end without them */
};

struct stop {
	enum stop_state state;
	uint64_t lame_duck_ns;
	uint64_t drain_ns;
	uint64_t deadline_ns; /* of the present state; UINT64_MAX: none */
	uint64_t sessions;    /* at the last look; of STOP_EXITING */
};

/* What the caller sees. */
struct stop_input {
	uint64_t now_ns;
	uint32_t signals;   /* how many orders to stop have come since the last call */
	bool empty;         /* no listener is open and no session is left */
	bool workers_ended; /* all have left their loops */
	uint64_t sessions;  /* that are left */
};

void stop_init(struct stop *stop, uint64_t lame_duck_ms, uint64_t drain_ms);

/* A reload: while the process runs. */
void stop_set_times(struct stop *stop, uint64_t lame_duck_ms, uint64_t drain_ms);

/* Returns the actions, enum stop_action. */
unsigned stop_feed(struct stop *stop, const struct stop_input *input);

/* When stop_feed() must be called again without a signal; UINT64_MAX: not by time. */
uint64_t stop_deadline(const struct stop *stop, uint64_t now_ns);
