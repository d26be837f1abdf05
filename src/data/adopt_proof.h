/*
 * The proof that an inherited session can go on exactly where it was.
 *
 * Thread: the worker's own.
 */
#pragma once

#include <stdint.h>

#include "model/shm.h"

struct worker;

/*
 * Proves an open session and rebuilds what its directions hold; says in *ret_from where its bytes
 * were. Returns a negative number when all is well, or the enum lost_reason.
 */
int adopt_prove(struct worker *worker, uint32_t index, enum continued_from *ret_from);

/*
 * Proves that nothing has gone through the client's socket of a session that is connecting, in
 * either direction. Returns the same.
 */
int adopt_prove_connecting(struct worker *worker, uint32_t index);
