#include "data/wait.h"

#include "data/acceptor.h"
#include "data/worker.h"
#include "model/rcu.h"
#include "os/clock.h"
#include "os/steering.h"

void wait_set_awake(struct worker *worker, uint32_t awake)
{
	if (awake == 0) {
		steering_asleep(worker->setup.steering);
	}
	atomic_store_explicit(&worker_state(worker)->awake, awake, memory_order_relaxed);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* For how long to sleep: as clock_sleep_ms() has it. */
static int sleep_ms(const struct worker *worker)
{
	uint64_t next = earlier(deadlines_next_ns(&worker->deadlines), acceptor_next_ns(worker));

	if (worker->ready_head != RECORD_NONE || worker->inherited > 0) {
		return 0;
	}
	if (worker->starved_list != RECORD_NONE) {
		next = earlier(next, worker->starved_ns);
	}
	if (worker->pipe_spare_count > 0) {
		next = earlier(next, worker->spare_since_ns + WORKER_SPARE_PIPES_NS);
	}
	return clock_sleep_ms(next, worker->now_ns);
}

static int look(struct worker *worker, struct epoll_event events[static WAIT_EVENTS])
{
	rcu_quiet();
	return epoll_wait(worker->epoll_fd, events, WAIT_EVENTS, 0);
}

static int sleep_for(
	struct worker *worker, struct epoll_event events[static WAIT_EVENTS], int timeout_ms)
{
	int count;

	rcu_offline();
	wait_set_awake(worker, 0);
	count = epoll_wait(worker->epoll_fd, events, WAIT_EVENTS, timeout_ms);
	wait_set_awake(worker, 1);
	rcu_online();
	return count;
}

/* Looks again and again where that is worth it, and sleeps then. */
static int poll_busily(
	struct worker *worker, struct epoll_event events[static WAIT_EVENTS], uint64_t limit_ns)
{
	const uint64_t begin_ns = worker->now_ns;
	const uint64_t until_ns = begin_ns + busy_poll_begin(&worker->busy_poll, limit_ns);
	int count = 0;

	while (count == 0 && worker->now_ns < until_ns && sleep_ms(worker) != 0) {
		count = look(worker, events);
		worker->now_ns = clock_monotonic_ns();
	}
	if (count == 0) {
		count = sleep_for(worker, events, sleep_ms(worker));
		worker->now_ns = clock_monotonic_ns();
	}
	busy_poll_end(
		&worker->busy_poll, count > 0 ? worker->now_ns - begin_ns : UINT64_MAX, limit_ns);
	return count;
}

/*
 * Lets messages gather first where that is worth it and nothing else is to be done, and returns how
 * many events are there then: maybe 0.
 */
static int gather(struct worker *worker, struct epoll_event events[static WAIT_EVENTS])
{
	const uint64_t limit_ns = worker_snapshot(worker)->coalesce_ns;
	const uint64_t turn_ns = worker->now_ns;
	uint64_t begin_ns;
	uint64_t pause_ns;
	int count;

	worker->now_ns = clock_monotonic_ns();
	pause_ns = coalesce_begin(
		&worker->coalesce, turn_ns, worker->now_ns, worker->event_count, limit_ns);
	if (pause_ns == 0 || sleep_ms(worker) == 0 || busy_poll_is_for_stream(&worker->busy_poll)) {
		return 0;
	}
	begin_ns = worker->now_ns;
	clock_pause(pause_ns);
	worker->now_ns = clock_monotonic_ns();
	count = look(worker, events);
	coalesce_end(&worker->coalesce, worker->now_ns - begin_ns, count > 0 ? (uint32_t)count : 0);
	if (count != 0) {
		busy_poll_skip(&worker->busy_poll);
	}
	return count;
}

int wait_for_events(struct worker *worker, struct epoll_event events[static WAIT_EVENTS])
{
	const uint64_t limit_ns = worker_snapshot(worker)->busy_poll_ns;
	int count = gather(worker, events);

	if (count == 0) {
		const int timeout_ms = sleep_ms(worker);

		if (timeout_ms == 0) {
			count = look(worker, events);
		} else if (limit_ns == 0) {
			count = sleep_for(worker, events, timeout_ms);
		} else {
			count = poll_busily(worker, events, limit_ns);
		}
	}
	worker->event_count = count > 0 ? (uint32_t)count : 0;
	return count;
}
