#include "data/worker.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/error.h"
#include "data/acceptor.h"
#include "data/adopt.h"
#include "data/attempt.h"
#include "data/holder.h"
#include "data/pump_batch.h"
#include "data/sweep.h"
#include "data/wait.h"
#include "model/rcu.h"
#include "os/batch.h"
#include "os/clock.h"
#include "os/steering.h"
#include "os/thread.h"

enum { FULL_TURNS_MAX = 64 };

static const uint64_t STARVED_PAUSE_NS = 10 * 1000000ULL;

/* Zeroed memory that is only paid for where it is touched. */
static void *map_table(size_t entry, size_t count)
{
	void *table = mmap(NULL, entry * count, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (table == MAP_FAILED) {
		return NULL;
	}
	(void)madvise(table, entry * count, MADV_NOHUGEPAGE); /* or 2 MiB for the first session */
	return table;
}

static void unmap_table(void *table, size_t entry, size_t count)
{
	if (table != NULL) {
		(void)munmap(table, entry * count);
	}
}

static void init_lists(struct worker *worker)
{
	worker->free_list = RECORD_NONE;
	worker->dead_list = RECORD_NONE;
	worker->ready_head = RECORD_NONE;
	worker->ready_tail = RECORD_NONE;
	worker->starved_list = RECORD_NONE;
	worker->attempt_free = RECORD_NONE;
	worker->chunk_free = RECORD_NONE;
	worker->pipe_free = RECORD_NONE;
	worker->pipe_spare = RECORD_NONE;
}

static void point_into_shm(struct worker *worker)
{
	const struct shm *shm = worker->setup.shm;
	const uint32_t index = worker->setup.index;

	worker->capacity = shm->sessions_per_worker;
	worker->records = shm_record(shm, index, 0);
	worker->receive_buffer = shm->receive_buffers + (size_t)index * RECEIVE_BUFFER_BYTES;
	worker->listen = shm_listen_record(shm, index, 0);
	worker->journal = &shm->journals[index];
	worker->lane_journals = &shm->lanes[(size_t)index * LANES_PER_WORKER];
	worker->lane_bytes = shm->lane_bytes + (size_t)index * LANES_PER_WORKER * LANE_BYTES;
	worker->chunks = &shm->chunks[(size_t)index * CHUNKS_PER_WORKER];
	worker->pipes = &shm->pipes[(size_t)index * PIPES_PER_WORKER];
}

/*
 * The epoll of the dead worker process knows all its sockets already; to add them anew would be
 * half of the pause. Whether it is that one shows in whether it knows the wake descriptor.
 */
static bool reuse_epoll(struct worker *worker)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)WORKER_TAG_WAKE << 32,
	};
	const int fd = worker->setup.inherit
		? atomic_load_explicit(&worker_state(worker)->epoll_fd, memory_order_relaxed)
		: 0;

	if (fd <= 0 || epoll_ctl(fd, EPOLL_CTL_MOD, worker->setup.wake_fd, &event) < 0) {
		return false;
	}
	worker->epoll_fd = fd;
	return true;
}

/* The epoll with the two descriptors that are not sessions. */
static int open_epoll(struct worker *worker, struct error *err)
{
	struct epoll_event event = {
		.events = EPOLLIN,
		.data.u64 = (uint64_t)WORKER_TAG_WAKE << 32,
	};
	int r;

	if (!reuse_epoll(worker)) {
		worker->epoll_fd = epoll_create1(0);
		if (worker->epoll_fd < 0) {
			return error_set(
				err, errno, "worker %u: cannot open an epoll", worker->setup.index);
		}
		if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, worker->setup.wake_fd, &event) < 0) {
			return error_set(
				err, errno, "worker %u: cannot watch", worker->setup.index);
		}
	}
	atomic_store_explicit(
		&worker_state(worker)->wake_fd, worker->setup.wake_fd, memory_order_relaxed);
	atomic_store_explicit(
		&worker_state(worker)->epoll_fd, worker->epoll_fd, memory_order_relaxed);
	r = acceptor_start(worker);
	return r < 0 ? error_set(err, -r, "worker %u: cannot watch a listener", worker->setup.index)
		     : 0;
}

static int allocate(struct worker *worker, struct error *err)
{
	const struct worker_setup *setup = &worker->setup;

	worker->sessions = map_table(sizeof *worker->sessions, worker->capacity);
	worker->attempts = map_table(sizeof *worker->attempts, worker->capacity);
	if (worker->sessions == NULL || worker->attempts == NULL ||
		deadlines_init(&worker->deadlines, worker->capacity, worker->now_ns) < 0) {
		return error_set(err, ENOMEM, "worker %u: cannot start", setup->index);
	}
	return open_epoll(worker, err);
}

void worker_abandon(struct worker *worker)
{
	deadlines_done(&worker->deadlines);
	unmap_table(worker->attempts, sizeof *worker->attempts, worker->capacity);
	unmap_table(worker->sessions, sizeof *worker->sessions, worker->capacity);
	free(worker->orphans);
	free(worker);
}

static void release(struct worker *worker)
{
	pipe_close_spares(worker);
	socket_close(worker->epoll_fd);
	atomic_store_explicit(&worker_state(worker)->epoll_fd, 0, memory_order_relaxed);
	worker_abandon(worker);
}

int worker_create(const struct worker_setup *setup, struct worker **ret_worker, struct error *err)
{
	struct worker *worker = calloc(1, sizeof *worker);
	int r;

	if (worker == NULL) {
		return error_set(err, ENOMEM, "worker %u: cannot start", setup->index);
	}
	worker->setup = *setup;
	worker->epoll_fd = -1;
	worker->now_ns = clock_monotonic_ns();
	rng_init(&worker->rng, setup->seed);
	init_lists(worker);
	point_into_shm(worker);
	r = allocate(worker, err);
	if (r == 0 && setup->inherit) {
		r = adopt_begin(worker) == 0
			? 0
			: error_set(err, ENOMEM, "worker %u: cannot start", setup->index);
	}
	if (r < 0) {
		release(worker);
		return r;
	}
	*ret_worker = worker;
	return 0;
}

void worker_free(struct worker *worker)
{
	if (worker == NULL) {
		return;
	}
	acceptor_close(worker);
	release(worker);
}

const struct snapshot *worker_snapshot(const struct worker *worker)
{
	return snapshot_current(worker->setup.store);
}

void worker_note_used(struct worker *worker)
{
	struct worker_state *state = worker_state(worker);

	atomic_store_explicit(&state->records_used, worker->used, memory_order_relaxed);
	atomic_store_explicit(&state->chunks_used, worker->chunk_used, memory_order_relaxed);
	atomic_store_explicit(&state->pipes_used, worker->pipe_used, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
}

bool worker_has_session(const struct worker *worker)
{
	return worker->free_list != RECORD_NONE || worker->used < worker->capacity;
}

uint32_t worker_take_session(struct worker *worker)
{
	uint32_t index = worker->free_list;

	if (index != RECORD_NONE) {
		worker->free_list = worker->sessions[index].next;
	} else if (worker->used < worker->capacity) {
		index = worker->used;
		worker->used++;
		worker_note_used(worker);
	} else {
		return RECORD_NONE;
	}
	counter_add(&worker_state(worker)->sessions, 1);
	return index;
}

/* Lists share one link, so a session is in one of them at most. */
static void push_dead(struct worker *worker, uint32_t index)
{
	worker->sessions[index].next = worker->dead_list;
	worker->dead_list = index;
}

/* One that is queued stays there until its turn comes: to look for it would take all the others. */
void worker_give_session(struct worker *worker, uint32_t index)
{
	if (worker->sessions[index].queued == 0) {
		push_dead(worker, index);
	}
	/* One less, at once: control waits for 0 of them. */
	counter_set(
		&worker_state(worker)->sessions, counter_get(&worker_state(worker)->sessions) - 1);
	acceptor_on_place(worker);
	if (worker->stopping) {
		worker_report(worker, EVIDENCE_FINISHED, FAILURE_REFUSED, 0, worker->now_ns);
	}
}

/* Events of this turn may still name a dead session: its index is free only after it. */
static void bury_dead(struct worker *worker)
{
	while (worker->dead_list != RECORD_NONE) {
		const uint32_t index = worker->dead_list;
		struct session *session = &worker->sessions[index];

		worker->dead_list = session->next;
		session->phase = SESSION_FREE;
		session->next = worker->free_list;
		worker->free_list = index;
	}
}

static struct epoll_event event_of(
	const struct worker *worker, uint32_t index, enum side side, unsigned watch)
{
	return (struct epoll_event){
		.events = EPOLLRDHUP | EPOLLET |
			((watch & WATCH_INPUT) != 0 ? EPOLLIN | EPOLLPRI : 0U) |
			((watch & WATCH_OUTPUT) != 0 ? EPOLLOUT : 0U),
		.data.u64 = (uint64_t)(index << 1 | (uint32_t)side) << 32 |
			worker_tag(&worker->records[index], side),
	};
}

/* One that is watched already, in an inherited epoll, is armed anew: what is there is told. */
int worker_watch(struct worker *worker, uint32_t index, enum side side, int fd)
{
	const unsigned watch = side == SIDE_CLIENT ? WATCH_INPUT : WATCH_INPUT | WATCH_OUTPUT;
	struct epoll_event event = event_of(worker, index, side, watch);

	worker->sessions[index].watch[side] = (uint8_t)watch;
	if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 &&
		(errno != EEXIST || epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)) {
		return -errno;
	}
	return 0;
}

/* Of a socket that is in the epoll this cannot fail: nothing is allocated. */
void worker_watch_for(struct worker *worker, uint32_t index, enum side side, unsigned watch)
{
	struct epoll_event event = event_of(worker, index, side, watch);

	worker->sessions[index].watch[side] = (uint8_t)watch;
	(void)epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, worker->records[index].fd[side], &event);
}

void worker_queue(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	if (session->queued != 0) {
		return;
	}
	session->queued = 1;
	session->next = RECORD_NONE;
	if (worker->ready_tail == RECORD_NONE) {
		worker->ready_head = index;
	} else {
		worker->sessions[worker->ready_tail].next = index;
	}
	worker->ready_tail = index;
}

void worker_starve(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];

	if (session->queued != 0) {
		return;
	}
	if (worker->starved_list == RECORD_NONE) {
		worker->starved_ns = worker->now_ns + STARVED_PAUSE_NS;
	}
	session->queued = 1;
	session->next = worker->starved_list;
	worker->starved_list = index;
}

void worker_report(struct worker *worker, enum evidence_kind kind, enum failure_reason reason,
	uint32_t slot, uint64_t started_ns)
{
	const struct evidence evidence = {
		.kind = kind,
		.reason = reason,
		.slot = slot,
		.generation = atomic_load_explicit(
			&worker_slot(worker, slot)->identity.used, memory_order_relaxed),
		.started_ns = started_ns,
	};

	(void)evidence_push(&worker->setup.shm->evidence[worker->setup.index], &evidence);
	worker->evidence_sent = true;
}

void worker_slot_released(struct worker *worker, uint32_t slot)
{
	worker->full_ns = 0; /* there is a place again, maybe */
	if (atomic_load_explicit(&worker_slot(worker, slot)->health, memory_order_relaxed) ==
		HEALTH_DRAINING) {
		worker_report(worker, EVIDENCE_FINISHED, FAILURE_REFUSED, slot, worker->now_ns);
	}
}

static void obey(struct worker *worker, const struct command *command)
{
	switch (command->kind) {
	case COMMAND_CUT_SLOT:
		sweep_cut(worker, command->argument, command->reason);
		return;
	case COMMAND_CUT_IDLE:
		sweep_cut_idle(worker, command->argument, command->reason);
		return;
	case COMMAND_LISTENERS:
		acceptor_review(worker);
		return;
	case COMMAND_REVIEW:
		sweep_review(worker);
		return;
	case COMMAND_STOP_ACCEPTING:
		acceptor_begin_stop(worker);
		return;
	case COMMAND_CUT_ALL:
		acceptor_close(worker);
		sweep_cut_all(worker, command->reason);
		return;
	case COMMAND_EXIT:
		acceptor_close(worker);
		sweep_cut_all(worker, CLOSE_DRAIN);
		worker->exiting = true;
		return;
	case COMMAND_PARK:
		worker->exiting = true;
		return;
	case COMMAND_KIND_COUNT:
		return;
	}
}

static void obey_all(struct worker *worker)
{
	struct command_ring *ring = &worker->setup.shm->commands[worker->setup.index];
	struct command command;
	eventfd_t count;

	(void)eventfd_read(worker->setup.wake_fd, &count);
	while (command_pop(ring, &command)) {
		obey(worker, &command);
	}
}

static void dispatch(struct worker *worker, const struct epoll_event *event)
{
	const uint32_t name = (uint32_t)(event->data.u64 >> 32);

	if (name == WORKER_TAG_WAKE) {
		obey_all(worker);
	} else if ((name & WORKER_TAG_LISTENER) != 0) {
		acceptor_on_event(worker, name & ~WORKER_TAG_LISTENER);
	} else {
		session_on_event(worker, name >> 1, (name & 1) != 0 ? SIDE_BACKEND : SIDE_CLIENT,
			(uint32_t)event->data.u64, event->events);
	}
}

/* Only those that were queued before this turn: a session that goes on waits for the next. */
static void run_ready(struct worker *worker)
{
	uint32_t index = worker->ready_head;

	worker->ready_head = RECORD_NONE;
	worker->ready_tail = RECORD_NONE;
	while (index != RECORD_NONE) {
		const uint32_t next = worker->sessions[index].next;

		worker->sessions[index].queued = 0;
		if (worker->sessions[index].phase == SESSION_DEAD) {
			push_dead(worker, index);
		} else {
			session_resume(worker, index);
		}
		index = next;
	}
}

static void requeue_starved(struct worker *worker)
{
	while (worker->starved_list != RECORD_NONE) {
		const uint32_t index = worker->starved_list;

		worker->starved_list = worker->sessions[index].next;
		worker->sessions[index].queued = 0;
		worker_queue(worker, index);
	}
}

static void on_deadline(uint32_t index, void *context)
{
	session_on_deadline(context, index);
}

/*
 * After a pause of the whole process, bytes that came meanwhile must be seen before a deadline is
 * believed: not while there are more events than one turn takes, but for a bounded number of
 * turns.
 */
static void expire_deadlines(struct worker *worker, int count)
{
	if (count == WAIT_EVENTS && worker->full_turns < FULL_TURNS_MAX) {
		worker->full_turns++;
		return;
	}
	worker->full_turns = 0;
	deadlines_expire(&worker->deadlines, worker->now_ns, on_deadline, worker);
}

static void do_housekeeping(struct worker *worker, int count)
{
	if (worker->now_ns >= worker->starved_ns) {
		requeue_starved(worker);
	}
	expire_deadlines(worker, count);
	bury_dead(worker);
	acceptor_on_turn(worker); /* after the dead have left their places */
	if (worker->pipe_spare_count > 0 &&
		worker->now_ns - worker->spare_since_ns >= WORKER_SPARE_PIPES_NS) {
		pipe_close_spares(worker);
	}
	if (worker->evidence_sent) {
		worker->evidence_sent = false;
		(void)eventfd_write(worker->setup.control_fd, 1);
	}
}

static void turn(struct worker *worker)
{
	struct epoll_event events[WAIT_EVENTS];
	const int count = wait_for_events(worker, events);

	if (count < 0) {
		return; /* interrupted, as by SIGCONT: what is ready is not known yet */
	}
	worker->now_ns = clock_monotonic_ns();
	steering_awake(worker->setup.steering, worker->now_ns);
	counter_add(&worker_state(worker)->heartbeat, 1);
	for (int i = 0; i < count; i++) {
		dispatch(worker, &events[i]);
	}
	pump_batch_run(worker);
	run_ready(worker);
	if (worker->inherited > 0) {
		adopt_some(worker);
	}
	do_housekeeping(worker, count);
	steering_load(worker->setup.steering,
		worker->accept_paused ? STEERING_CLOSED
				      : counter_get(&worker_state(worker)->sessions));
}

static void *run(void *argument)
{
	struct worker *worker = argument;

	thread_pin(worker->setup.index);
	thread_exact_timers();
	rcu_reader_begin();
	atomic_store_explicit(
		&worker_state(worker)->thread_id, thread_kernel_id(), memory_order_relaxed);
	wait_set_awake(worker, 1);
	if (worker->setup.batch_min > 0) {
		(void)batch_create(&worker->batch);
	}
	if (worker->setup.inherit) {
		adopt_start(worker);
	}
	counter_add(&worker_state(worker)->heartbeat, 1); /* it lives, though nothing may come */
	while (!worker->exiting) {
		turn(worker);
	}
	rcu_reader_end();
	batch_free(worker->batch);
	wait_set_awake(worker, 0);
	atomic_store_explicit(&worker_state(worker)->stopped, 1, memory_order_release);
	(void)eventfd_write(worker->setup.control_fd, 1);
	return NULL;
}

int worker_start(struct worker *worker, struct error *err)
{
	return thread_start(&worker->thread, "loble-worker", run, worker, err);
}

void worker_join(struct worker *worker)
{
	(void)pthread_join(worker->thread, NULL);
}
