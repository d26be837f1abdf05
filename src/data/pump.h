/*
 * Moves the bytes of one direction, as far as both kernels let it.
 *
 * A direction is copied through the worker's receive buffer until it proves to be bulk; then it
 * is spliced through a pipe, and goes back when the bulk is over. A direction from or to a UNIX
 * socket is always spliced: there nothing can be counted after a crash, so no byte of it may ever
 * be in user memory. Back-pressure is that nothing is read while the far side does not take.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdint.h>

#include "model/session_record.h"

struct worker;

enum pump_result {
	PUMP_WAITS, /* for an event, or it has ended */
	PUMP_AGAIN, /* its share of the turn is used up, there is more */
};

/* Moves what can be moved from `from` to the other side; sets flags and end of the direction. */
enum pump_result pump_run(struct worker *worker, uint32_t index, enum side from);

/*
 * Throws away what `from` has sent and will send, so that the other side's last bytes can arrive
 * without a reset. Sets SIDE_EOF or SIDE_RESET at the end.
 */
enum pump_result pump_discard(struct worker *worker, uint32_t index, enum side from);

/* Drops what the direction holds and gives back where it lay. */
void pump_drop(struct worker *worker, uint32_t index, enum side from);
