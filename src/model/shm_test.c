#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/array.h"
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
		{shm_record(shm, WORKERS - 1, SESSIONS - 1), sizeof(struct session_record)},
		{shm->journals, sizeof *shm->journals * WORKERS},
		{shm->pipes, sizeof *shm->pipes * PIPES_PER_WORKER * WORKERS},
		{shm->chunks, sizeof *shm->chunks * CHUNKS_PER_WORKER * WORKERS},
		{shm->receive_buffers, (size_t)RECEIVE_BUFFER_BYTES * WORKERS},
		{shm_chunk_bytes(shm, WORKERS - 1, CHUNKS_PER_WORKER - 1), CHUNK_BYTES},
		{shm->config_text, sizeof *shm->config_text},
		{shm->listen_records, sizeof *shm->listen_records * LISTEN_SOCKETS_MAX * WORKERS},
		{shm->lanes, sizeof *shm->lanes * LANES_PER_WORKER * WORKERS},
		{shm->lane_bytes, (size_t)LANE_BYTES * LANES_PER_WORKER * WORKERS},
	};
	const uint8_t *before = (const uint8_t *)shm->header;

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		const uint8_t *start = parts[i].start;

		assert_true(start >= before);
		assert_int_equal((uintptr_t)start % CACHE_LINE, 0);
		before = start + parts[i].bytes;
	}
	assert_true(before <= (const uint8_t *)shm->header + shm->bytes);
	assert_int_equal(shm->header->layout.bytes, shm->bytes);
	assert_int_equal(shm->header->layout.version, RECORD_VERSION);
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
		atomic_store(&shm->worker_states[worker].accepting, worker == 0 ? 0 : 1);
	}
	assert_int_equal(shm_slot_sessions(shm, 9), 33 - 12);
	assert_int_equal(shm_slot_sessions(shm, 8), 0);
	assert_int_equal(shm_listener_claims(shm, 2), 21 - 3);
	assert_int_equal(shm_sessions(shm), 300);
	assert_int_equal(shm_places_taken(shm), 302);
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

static void another_image_maps_the_same_memory(void **state)
{
	struct shm *shm = *state;
	struct shm other;
	struct error err = {0};
	const int slot = shm_slot_index(shm, 3, "found again");

	shm_record(shm, 1, 5)->moved[0] = 1234;
	assert_true(shm_understands(shm->fd, &err));
	assert_int_equal(shm_attach(dup(shm->fd), &other, &err), 0);
	assert_int_equal(other.workers, WORKERS);
	assert_int_equal(other.sessions_per_worker, SESSIONS);
	assert_int_equal(shm_record(&other, 1, 5)->moved[0], 1234);
	assert_int_equal(shm_slot_index(&other, 3, "found again"), slot);
	counter_add(&shm_slot_counters(&other, 2, 77)->started, 3);
	assert_int_equal(shm_slot_sessions(shm, 77), 3);
	shm_destroy(&other);
}

static void what_is_no_shared_memory_is_refused(void **state)
{
	struct shm shm;
	struct error err = {0};
	const int empty = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const int unsealed = memfd_create("test", MFD_CLOEXEC);
	const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const int cases[] = {-1, empty, unsealed, file};

	(void)state;
	assert_int_equal(fcntl(empty, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	assert_int_equal(ftruncate(unsealed, 1 << 20), 0);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		err = (struct error){0};
		assert_false(shm_understands(cases[i], &err));
		assert_true(err.text[0] != '\0');
		assert_int_equal(shm_attach(cases[i], &shm, &err), -EPROTO);
		assert_int_equal(shm_convert(cases[i], &shm, &err), -EPROTO);
	}
	assert_int_equal(close(empty), 0);
	assert_int_equal(close(unsealed), 0);
	assert_int_equal(close(file), 0);
}

/* Another version's memory is not mapped as if it were ours, and a conversion mends that. */
static void another_version_is_converted_and_left_alone(void **state)
{
	struct shm *shm = *state;
	struct shm other;
	struct error err = {0};
	const uint32_t version = RECORD_VERSION + 1;

	shm->header->layout.version = version;
	counter_set(&shm->header->process.upgrades, 41);
	shm_record(shm, 2, SESSIONS - 1)->started_ns = 99;
	assert_int_equal(shm_attach(shm->fd, &other, &err), -EPROTO);
	assert_non_null(strstr(err.text, "record version"));
	assert_true(shm_understands(shm->fd, &err));
	assert_int_equal(shm_convert(shm->fd, &other, &err), 0);
	assert_int_not_equal(other.fd, shm->fd);
	assert_int_equal(other.header->layout.version, RECORD_VERSION);
	assert_int_equal(counter_get(&other.header->process.upgrades), 41);
	assert_int_equal(shm_record(&other, 2, SESSIONS - 1)->started_ns, 99);
	assert_int_equal(shm->header->layout.version, version);
	shm_destroy(&other);
}

static void too_many_workers_are_refused(void **state)
{
	struct shm *shm = *state;
	struct error err = {0};

	shm->header->layout.workers = WORKERS_MAX + 1;
	assert_false(shm_understands(shm->fd, &err));
	assert_non_null(strstr(err.text, "65 workers"));
	shm->header->layout.workers = WORKERS;
	shm->header->layout.sessions_per_worker = SESSIONS_MAX + 1;
	assert_false(shm_understands(shm->fd, &err));
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
		cmocka_unit_test_setup_teardown(
			another_image_maps_the_same_memory, set_up, tear_down),
		cmocka_unit_test(what_is_no_shared_memory_is_refused),
		cmocka_unit_test_setup_teardown(
			another_version_is_converted_and_left_alone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(too_many_workers_are_refused, set_up, tear_down),
		cmocka_unit_test(too_large_a_wish_is_refused_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
