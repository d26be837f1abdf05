/*
 * Has the kernel give new clients to the least loaded worker, where BPF is permitted. Otherwise its
 * hash spreads them: no reason to fail.
 *
 * Threads: the first thread.
 */
#pragma once

#include <stdint.h>

struct shm;

/* At the start there is no log yet: who starts the process says what is in `steering_error`. */
enum spread_moment { SPREAD_AT_START, SPREAD_AT_RELOAD };

/*
 * Sees to it that there is an array of loads before the workers are made, whatever listeners there
 * are: one that a reload adds is to be steered, too. To be called while the process has its rights.
 */
void spread_prepare(struct shm *shm);

/* For the listening sockets on record under that number: one TCP socket per worker. */
void spread_clients(struct shm *shm, uint32_t number, enum spread_moment moment);
