/* Shared memory as the unit tests of this folder use it. Owner and thread: the test. */
#pragma once

#include "base/testing.h"
#include "model/shm.h"

enum { TEST_WORKERS = 3, TEST_SESSIONS = 16 };

/* A setup and a teardown of cmocka: *state is a struct shm. */
int testing_make_shm(void **state);
int testing_drop_shm(void **state);

/* A slot of that pool (made when it is new) that is healthy and has weight 1. Returns its index. */
uint32_t testing_add_backend(struct shm *shm, const char *pool, const char *name);

/*
 * Two listeners, two pools and four backends in all kinds of states, with counts that differ from
 * each other, spread over the workers.
 */
void testing_fill(struct shm *shm);

/* A counter of one worker's block for the entry of that index. */
#define COUNT(shm, kind, worker, index, member, n) \
	counter_add(&shm_##kind##_counters(shm, worker, index)->member, n)
