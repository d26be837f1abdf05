/*
 * Where shared memory has been written to. A read elsewhere would allocate memory that nobody
 * needs: the mapping is as large as the limits allow.
 *
 * Threads: one at a time, since the position of the descriptor is moved.
 */
#pragma once

#include <sys/types.h>

struct shm;

/*
 * The first byte at or after `from` that has memory behind it and, in *ret_end, the first after it
 * that has none; `end` when there is none before it. Where the kernel cannot tell, all has.
 */
off_t written_next(const struct shm *shm, off_t from, off_t end, off_t *ret_end);
