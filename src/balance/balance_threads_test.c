#include <pthread.h>

#include "balance/schedule.h"
#include "balance/testing.h"

enum { THREADS = 8, CYCLES = 50, BACKENDS = 5 };

/* One worker; it writes `picked`, the main thread reads it after the join. */
struct worker {
	pthread_t thread;
	const struct snapshot_pool *pool;
	_Atomic uint64_t *turn;
	uint64_t seed;
	uint32_t picks;
	uint32_t picked[BACKENDS];
};

static void *run(void *argument)
{
	struct worker *worker = argument;
	struct rng rng;
	const struct pick pick = {.turn = worker->turn, .rng = &rng};

	rng_init(&rng, worker->seed);
	for (uint32_t i = 0; i < worker->picks; i++) {
		worker->picked[balance_pick(worker->pool, &pick)]++;
	}
	return NULL;
}

/* Runs all workers at once and returns by how much `picked` adds up, per backend. */
static void run_all(
	const struct snapshot_pool *pool, uint32_t picks, uint32_t ret_picked[static BACKENDS])
{
	_Atomic uint64_t turn = 0;
	struct worker workers[THREADS] = {0};

	for (int i = 0; i < THREADS; i++) {
		workers[i].pool = pool;
		workers[i].turn = &turn;
		workers[i].seed = (uint64_t)i;
		workers[i].picks = picks;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, run, &workers[i]), 0);
	}
	for (int backend = 0; backend < BACKENDS; backend++) {
		ret_picked[backend] = 0;
	}
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		for (int backend = 0; backend < BACKENDS; backend++) {
			ret_picked[backend] += workers[i].picked[backend];
		}
	}
}

static void round_robin_is_exact_across_workers(void **state)
{
	static const uint32_t weights[BACKENDS] = {5, 1, 1, 13, 7};
	struct arena *arena = arena_create();
	const struct snapshot_pool pool =
		test_pool(arena, "round_robin", test_backends(arena, weights, BACKENDS), BACKENDS);
	const struct schedule *schedule = pool.schedule;
	uint32_t picked[BACKENDS];

	(void)state;
	run_all(&pool, schedule->length * CYCLES, picked);
	for (int i = 0; i < BACKENDS; i++) {
		assert_int_equal(picked[i], weights[i] * CYCLES * THREADS);
	}
	arena_free(arena);
}

/* Each worker has its own generator; the table is shared and never written. */
static void random_is_true_to_the_weights_across_workers(void **state)
{
	static const uint32_t weights[BACKENDS] = {5, 1, 1, 13, 7};
	const double draws = THREADS * 20000.0;
	struct arena *arena = arena_create();
	const struct snapshot_pool pool =
		test_pool(arena, "random", test_backends(arena, weights, BACKENDS), BACKENDS);
	uint32_t picked[BACKENDS];
	double chi = 0;

	(void)state;
	run_all(&pool, 20000, picked);
	for (int i = 0; i < BACKENDS; i++) {
		const double expected = draws * weights[i] / 27;

		chi += (picked[i] - expected) * (picked[i] - expected) / expected;
	}
	assert_true(chi < 28.5); /* 4 degrees of freedom: by chance once in 100,000 */
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_robin_is_exact_across_workers),
		cmocka_unit_test(random_is_true_to_the_weights_across_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
