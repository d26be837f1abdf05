#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "base/testing.h"
#include "model/shm.h"

enum { WORKERS = 3, SESSIONS = 1000 };

static int set_up(void **state)
{
	static struct shm shm;

	*state = &shm;
	return shm_create(WORKERS, SESSIONS, &shm, NULL);
}

static int tear_down(void **state)
{
	shm_destroy(*state);
	return 0;
}

/* Where a part ends that begins at `start`; the parts are declared in the order of the mapping. */
struct part {
	const void *start;
	size_t bytes;
};

static void the_parts_lie_behind_one_another(void **state)
{
	const struct shm *shm = *state;
	const struct part parts[] = {
		{shm->header, sizeof *shm->header},
		{shm->config_text, sizeof *shm->config_text},
		{shm->listeners, sizeof *shm->listeners * LISTENERS_MAX},
		{shm->pools, sizeof *shm->pools * POOLS_MAX},
		{shm->slots, sizeof *shm->slots * SLOTS_MAX},
		{shm->events, sizeof *shm->events},
		{shm->worker_states, sizeof *shm->worker_states * WORKERS},
		{shm->evidence, sizeof *shm->evidence * WORKERS},
		{shm->commands, sizeof *shm->commands * WORKERS},
		{shm_listener_counters(shm, WORKERS - 1, LISTENERS_MAX - 1),
			sizeof(struct listener_counters)},
		{shm_pool_counters(shm, WORKERS - 1, POOLS_MAX - 1), sizeof(struct pool_counters)},
		{shm_slot_counters(shm, WORKERS - 1, SLOTS_MAX - 1), sizeof(struct slot_counters)},
		{shm->listen_records, sizeof *shm->listen_records * LISTEN_SOCKETS_MAX * WORKERS},
		{shm_record(shm, WORKERS - 1, SESSIONS - 1), sizeof(struct session_record)},
		{shm->journals, sizeof *shm->journals * WORKERS},
		{shm->pipes, sizeof *shm->pipes * PIPES_PER_WORKER * WORKERS},
		{shm->chunks, sizeof *shm->chunks * CHUNKS_PER_WORKER * WORKERS},
		{shm->receive_buffers, (size_t)RECEIVE_BUFFER_BYTES * WORKERS},
		{shm_chunk_bytes(shm, WORKERS - 1, CHUNKS_PER_WORKER - 1), CHUNK_BYTES},
	};
	const uint8_t *before = (const uint8_t *)shm->header;

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		const uint8_t *start = parts[i].start;

		assert_true(start >= before);
		assert_int_equal((uintptr_t)start % CACHE_LINE, 0);
		before = start + parts[i].bytes;
	}
	assert_true(before <= (const uint8_t *)shm->header + shm->bytes);
	assert_int_equal(shm->header->bytes, shm->bytes);
	assert_int_equal(shm->header->version, RECORD_VERSION);
}

static void the_descriptor_survives_and_cannot_shrink(void **state)
{
	const struct shm *shm = *state;

	assert_int_equal(fcntl(shm->fd, F_GETFD) & FD_CLOEXEC, 0);
	assert_int_equal(ftruncate(shm->fd, 4096), -1);
}

static void what_is_written_is_in_the_file(void **state)
{
	const struct shm *shm = *state;
	const struct session_record *other;
	const size_t offset = (size_t)((uint8_t *)shm_record(shm, 2, 7) - (uint8_t *)shm->header);
	uint8_t *second = mmap(NULL, shm->bytes, PROT_READ, MAP_SHARED, shm->fd, 0);

	assert_ptr_not_equal(second, MAP_FAILED);
	shm_record(shm, 2, 7)->moved[1] = 0x1234567890;
	other = (const struct session_record *)(const void *)(second + offset);
	assert_int_equal(other->moved[1], 0x1234567890);
	assert_int_equal(munmap(second, shm->bytes), 0);
}

static void a_name_is_found_again(void **state)
{
	struct shm *shm = *state;
	const int a = shm_pool_index(shm, "a");
	const int b = shm_pool_index(shm, "b");
	const int slot = shm_slot_index(shm, (uint32_t)a, "x");

	assert_int_not_equal(a, b);
	assert_int_equal(shm_pool_index(shm, "a"), a);
	assert_int_equal(shm_pool_index(shm, "b"), b);
	assert_int_not_equal(shm_slot_index(shm, (uint32_t)b, "x"), slot);
	assert_int_equal(shm_slot_index(shm, (uint32_t)a, "x"), slot);
	assert_string_equal(shm->slots[slot].identity.name, "x");
	assert_int_equal(shm->slots[slot].identity.parent, a);
	assert_int_not_equal(atomic_load(&shm->slots[slot].identity.used), 0);
	assert_int_equal(shm_listener_index(shm, "a"), 0);
}

static void a_full_table_says_so(void **state)
{
	struct shm *shm = *state;
	char name[16];

	for (int i = 0; i < LISTENERS_MAX; i++) {
		(void)snprintf(name, sizeof name, "l%d", i);
		assert_int_equal(shm_listener_index(shm, name), i);
	}
	assert_int_equal(shm_listener_index(shm, "one more"), -1);
	assert_int_equal(shm_listener_index(shm, "l17"), 17);
}

static void sums_go_over_all_workers(void **state)
{
	struct shm *shm = *state;

	for (uint32_t worker = 0; worker < WORKERS; worker++) {
		counter_add(&shm_slot_counters(shm, worker, 9)->started, 10 + worker);
		counter_add(&shm_slot_counters(shm, worker, 9)->finished, 4);
		counter_add(&shm_listener_counters(shm, worker, 2)->claimed, 7);
		counter_add(&shm_listener_counters(shm, worker, 2)->released, worker);
		counter_set(&shm->worker_states[worker].sessions, 100 * worker);
	}
	assert_int_equal(shm_slot_sessions(shm, 9), 33 - 12);
	assert_int_equal(shm_slot_sessions(shm, 8), 0);
	assert_int_equal(shm_listener_claims(shm, 2), 21 - 3);
	assert_int_equal(shm_sessions(shm), 300);
}

static void too_large_a_wish_is_refused_and_leaves_nothing(void **state)
{
	struct shm shm;
	struct error err = {0};
	const int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int after;

	(void)state;
	assert_int_equal(close(before), 0);
	/* 64 x 2^24 records of 128 bytes are 137 GB of addresses: more than some limits allow. */
	if (shm_create(WORKERS_MAX, SESSIONS_MAX, &shm, &err) == 0) {
		shm_destroy(&shm);
	} else {
		assert_true(err.code > 0);
	}
	after = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(after, before);
	assert_int_equal(close(after), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			the_parts_lie_behind_one_another, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_descriptor_survives_and_cannot_shrink, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_written_is_in_the_file, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_name_is_found_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_table_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(sums_go_over_all_workers, set_up, tear_down),
		cmocka_unit_test(too_large_a_wish_is_refused_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
