#include "observe/testing.h"

#include <stdlib.h>

int testing_make_shm(void **state)
{
	struct shm *shm = calloc(1, sizeof *shm);
	struct error *const nobody = NULL;

	if (shm == NULL || shm_create(TEST_WORKERS, TEST_SESSIONS, shm, nobody) < 0) {
		free(shm);
		return -1;
	}
	*state = shm;
	return 0;
}

int testing_drop_shm(void **state)
{
	shm_destroy(*state);
	free(*state);
	return 0;
}

uint32_t testing_add_backend(struct shm *shm, const char *pool, const char *name)
{
	const int pool_index = shm_pool_index(shm, pool);
	const int index = shm_slot_index(shm, (uint32_t)pool_index, name);
	struct slot *slot = &shm->slots[index];

	atomic_store_explicit(&slot->health, HEALTH_HEALTHY, memory_order_release);
	atomic_store_explicit(&slot->weight, 1, memory_order_relaxed);
	return (uint32_t)index;
}

static void fill_process(struct shm *shm)
{
	struct process_state *process = &shm->header->process;

	atomic_store_explicit(&process->phase, PHASE_RUNNING, memory_order_relaxed);
	atomic_store_explicit(&process->reload_successful, 1, memory_order_relaxed);
	counter_set(&process->snapshot_version, 7);
	counter_set(&process->config_generation, 2);
	counter_set(&process->reload_wall_ns, 1688169600250000000);
	counter_set(&process->worker_restarts, 1);
	counter_set(&process->log_lines_dropped, 12);
}

static void fill_listeners(struct shm *shm)
{
	const uint32_t web = (uint32_t)shm_listener_index(shm, "web");
	const uint32_t mail = (uint32_t)shm_listener_index(shm, "mail \"in\"");

	COUNT(shm, listener, 0, web, connections, 1000);
	COUNT(shm, listener, 1, web, connections, 234);
	COUNT(shm, listener, 0, web, closed, 990);
	COUNT(shm, listener, 1, web, closed, 234);
	COUNT(shm, listener, 2, web, received_bytes, 1ULL << 53);
	COUNT(shm, listener, 2, web, sent_bytes, 77);
	COUNT(shm, listener, 0, web, rejected[REJECT_LIMIT], 3);
	COUNT(shm, listener, 1, mail, accept_errors[ACCEPT_EMFILE], 4);
	COUNT(shm, listener, 1, mail, accept_errors[ACCEPT_OTHER], 5);
}

static void fill_backends(struct shm *shm)
{
	const uint32_t first = testing_add_backend(shm, "web", "10.0.0.1:8080");
	const uint32_t second = testing_add_backend(shm, "web", "b\\ackend\n2");
	const uint32_t third = testing_add_backend(shm, "web", "10.0.0.3:8080");
	const uint32_t mail = testing_add_backend(shm, "mail", "10.0.0.1:8080");

	COUNT(shm, slot, 0, first, started, 100);
	COUNT(shm, slot, 1, first, started, 50);
	COUNT(shm, slot, 0, first, finished, 98);
	COUNT(shm, slot, 1, first, finished, 50);
	COUNT(shm, slot, 0, first, established, 140);
	COUNT(shm, slot, 0, first, connect[0], 100);
	COUNT(shm, slot, 1, first, connect[3], 39);
	COUNT(shm, slot, 1, first, connect[CONNECT_BUCKET_COUNT], 1);
	COUNT(shm, slot, 0, first, connect_sum_ns, 12500000000);
	COUNT(shm, slot, 0, first, failures[FAILURE_REFUSED], 8);
	COUNT(shm, slot, 2, first, failures[FAILURE_RESOURCE], 2);
	COUNT(shm, slot, 2, first, received_bytes, 4096);
	COUNT(shm, slot, 2, first, sent_bytes, 8192);
	atomic_store_explicit(&shm->slots[first].weight, 10, memory_order_relaxed);

	atomic_store_explicit(&shm->slots[second].health, HEALTH_DRAINING, memory_order_relaxed);
	counter_set(&shm->slots[second].transitions[HEALTH_HEALTHY][HEALTH_DRAINING], 1);
	atomic_store_explicit(&shm->slots[third].health, HEALTH_UNHEALTHY, memory_order_relaxed);
	counter_set(&shm->slots[third].transitions[HEALTH_HEALTHY][HEALTH_UNHEALTHY], 2);
	counter_set(&shm->slots[third].transitions[HEALTH_UNHEALTHY][HEALTH_HEALTHY], 1);
	counter_set(&shm->slots[third].checks[CHECK_REFUSED], 40);
	atomic_store_explicit(&shm->slots[mail].admin, ADMIN_MAINTENANCE, memory_order_relaxed);
}

static void fill_pools(struct shm *shm)
{
	const uint32_t web = (uint32_t)shm_pool_index(shm, "web");

	COUNT(shm, pool, 0, web, retries, 6);
	COUNT(shm, pool, 1, web, no_backend, 2);
	COUNT(shm, pool, 0, web, duration[0], 5);
	COUNT(shm, pool, 1, web, duration[3], 4);
	COUNT(shm, pool, 2, web, duration[SESSION_BUCKET_COUNT], 1);
	COUNT(shm, pool, 2, web, duration_sum_ns, 90000001000000);
	COUNT(shm, pool, 0, web, closed[CLOSED_BY_CLIENT][CLOSE_END], 8);
	COUNT(shm, pool, 2, web, closed[CLOSED_BY_PROXY][CLOSE_IDLE_TIMEOUT], 2);
}

void testing_fill(struct shm *shm)
{
	fill_process(shm);
	fill_listeners(shm);
	fill_backends(shm);
	fill_pools(shm);
}
