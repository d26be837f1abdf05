#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/testing.h"
#include "data/wait.h"
#include "data/worker.h"
#include "model/rcu.h"
#include "os/clock.h"

enum { PAUSE_NS = 2 * 1000000 };

/* A worker that only waits, for one descriptor that is ready. */
struct bench {
	struct shm shm;
	struct snapshot_store store;
	struct worker worker;
	int ready_fd;
};

static int set_up(void **state)
{
	struct bench *bench = calloc(1, sizeof *bench);
	struct epoll_event event = {.events = EPOLLIN};
	struct arena *arena;
	struct snapshot *snapshot;

	if (bench == NULL || shm_create(1, 4, &bench->shm, NULL) < 0) {
		free(bench);
		return -1;
	}
	rcu_reader_begin();
	arena = arena_create();
	snapshot = arena_alloc(arena, sizeof *snapshot);
	*snapshot = (struct snapshot){
		.version = 1,
		.coalesce_ns = PAUSE_NS,
		.arena = arena,
	};
	snapshot_store_init(&bench->store);
	snapshot_publish(&bench->store, snapshot);
	bench->worker = (struct worker){
		.setup = {.shm = &bench->shm, .store = &bench->store},
		.epoll_fd = epoll_create1(0),
		.now_ns = clock_monotonic_ns(),
		.ready_head = RECORD_NONE,
		.starved_list = RECORD_NONE,
	};
	bench->ready_fd = eventfd(1, EFD_NONBLOCK);
	if (deadlines_init(&bench->worker.deadlines, 4, bench->worker.now_ns) < 0 ||
		epoll_ctl(bench->worker.epoll_fd, EPOLL_CTL_ADD, bench->ready_fd, &event) < 0) {
		return -1;
	}
	*state = bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	(void)close(bench->ready_fd);
	(void)close(bench->worker.epoll_fd);
	deadlines_done(&bench->worker.deadlines);
	rcu_reader_end();
	snapshot_store_done(&bench->store);
	shm_destroy(&bench->shm);
	free(bench);
	return 0;
}

/* It was busy, with turns of so many events. Returns how long it waits now. */
static uint64_t wait_after(struct bench *bench, uint32_t events)
{
	struct epoll_event found[WAIT_EVENTS];
	const uint64_t begin_ns = clock_monotonic_ns();

	bench->worker.now_ns = begin_ns;
	bench->worker.event_count = events;
	bench->worker.coalesce = (struct coalesce){
		.window_ns = begin_ns,
		.wait_ns = begin_ns,
		.pause_ns = PAUSE_NS / 8,
	};
	assert_int_equal(wait_for_events(&bench->worker, found), 1);
	assert_int_equal(bench->worker.event_count, 1);
	return clock_monotonic_ns() - begin_ns;
}

/*
 * Which shows in that the one message that is there is not worth it. Where somebody else gets the
 * CPU before it for long, there may be no pause: then it is tried again.
 */
static bool pauses_after(struct bench *bench, uint32_t events)
{
	for (int i = 0; i < 100; i++) {
		const uint64_t took_ns = wait_after(bench, events);

		if (bench->worker.coalesce.vain == 1) {
			assert_true(took_ns >= PAUSE_NS / 8);
			return true;
		}
	}
	return false;
}

static void a_busy_worker_lets_messages_gather(void **state)
{
	assert_true(pauses_after(*state, 2));
}

static void not_for_the_next_piece_of_a_stream(void **state)
{
	struct bench *bench = *state;

	busy_poll_streamed(&bench->worker.busy_poll);
	(void)wait_after(bench, 2);
	assert_int_equal(bench->worker.coalesce.vain, 0);
	/* Beside a question it does. */
	busy_poll_asked(&bench->worker.busy_poll);
	assert_true(pauses_after(bench, 2));
}

static void not_while_a_session_has_more_to_do(void **state)
{
	struct bench *bench = *state;

	bench->worker.ready_head = 0;
	(void)wait_after(bench, 2);
	assert_int_equal(bench->worker.coalesce.vain, 0);
}

static void not_after_a_large_turn(void **state)
{
	struct bench *bench = *state;

	(void)wait_after(bench, 64);
	assert_int_equal(bench->worker.coalesce.vain, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_busy_worker_lets_messages_gather, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			not_for_the_next_piece_of_a_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			not_while_a_session_has_more_to_do, set_up, tear_down),
		cmocka_unit_test_setup_teardown(not_after_a_large_turn, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
