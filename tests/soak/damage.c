/*
 * Damages the shared memory of a running Loble as a wild write would, and kills its worker process
 * so that the next one finds the damage.
 *
 * The worker process is stopped first: it must not act on what is damaged, only its successor is
 * to. Everything follows from the seed. Prints one JSON line for each deed. What is not damaged:
 * the clients' bytes themselves, which nothing could tell, and the code.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"
#include "base/rng.h"
#include "model/shm.h"

enum { TRIES = 100000, STOP_TRIES = 2000, STOP_WAIT_US = 500 };

struct target {
	struct shm shm;
	struct rng rng;
};

struct place {
	uint32_t worker;
	uint32_t index;
	struct session_record *record;
};

static uint32_t at_most(uint32_t value, uint32_t limit)
{
	return value < limit ? value : limit;
}

static bool is_live(const struct session_record *record)
{
	const uint32_t state = atomic_load(&record->state);

	return state == RECORD_CONNECTING || state == RECORD_OPEN;
}

/* A live session at random; false when there seems to be none. */
static bool pick(struct target *target, struct place *ret)
{
	const struct shm *shm = &target->shm;

	for (int i = 0; i < TRIES; i++) {
		const uint32_t worker = rng_below(&target->rng, shm->workers);
		const uint32_t used = at_most(atomic_load(&shm->worker_states[worker].records_used),
			shm->sessions_per_worker);

		if (used == 0) {
			continue;
		}
		ret->worker = worker;
		ret->index = rng_below(&target->rng, used);
		ret->record = shm_record(shm, worker, ret->index);
		if (is_live(ret->record)) {
			return true;
		}
	}
	return false;
}

static void flip(struct target *target, void *bytes, size_t length)
{
	const uint32_t bit = rng_below(&target->rng, (uint32_t)length * 8);

	((uint8_t *)bytes)[bit / 8] ^= (uint8_t)(1U << bit % 8);
}

static void tell(const char *deed, const struct place *a, const struct place *b)
{
	printf("{\"deed\":\"%s\",\"sessions\":%d,\"worker\":%" PRIu32 ",\"index\":%" PRIu32, deed,
		b == NULL ? 1 : 2, a->worker, a->index);
	if (b != NULL) {
		printf(",\"other_worker\":%" PRIu32 ",\"other_index\":%" PRIu32, b->worker,
			b->index);
	}
	printf("}\n");
}

static bool flip_record(struct target *target)
{
	struct place place;

	if (!pick(target, &place)) {
		return false;
	}
	flip(target, place.record, sizeof *place.record);
	tell("flip_record", &place, NULL);
	return true;
}

static bool flip_flags(struct target *target)
{
	struct place place;

	if (!pick(target, &place)) {
		return false;
	}
	flip(target, &place.record->flags, sizeof place.record->flags);
	tell("flip_flags", &place, NULL);
	return true;
}

/* One word gets a value that looks like one. */
static bool small_number(struct target *target)
{
	struct place place;
	uint32_t words[sizeof *place.record / sizeof(uint32_t)];

	if (!pick(target, &place)) {
		return false;
	}
	memcpy(words, place.record, sizeof words);
	words[rng_below(&target->rng, ARRAY_COUNT(words))] = rng_below(&target->rng, 64);
	memcpy(place.record, words, sizeof words);
	tell("small_number", &place, NULL);
	return true;
}

static bool pick_two(struct target *target, struct place *a, struct place *b)
{
	for (int i = 0; i < TRIES; i++) {
		if (!pick(target, a) || !pick(target, b)) {
			return false;
		}
		if (a->record != b->record) {
			return true;
		}
	}
	return false;
}

static void swap(void *a, void *b, size_t length)
{
	uint8_t keep[sizeof(struct session_record)];

	memcpy(keep, a, length);
	memcpy(a, b, length);
	memcpy(b, keep, length);
}

static bool swap_descriptors(struct target *target)
{
	const bool cookies = rng_below(&target->rng, 2) == 0;
	const bool both = rng_below(&target->rng, 2) == 0;
	struct place a;
	struct place b;

	if (!pick_two(target, &a, &b)) {
		return false;
	}
	for (int side = both ? 0 : 1; side < SIDE_COUNT; side++) {
		swap(&a.record->fd[side], &b.record->fd[side], sizeof a.record->fd[side]);
		if (cookies) {
			swap(&a.record->cookie[side], &b.record->cookie[side],
				sizeof a.record->cookie[side]);
		}
	}
	tell(cookies ? "swap_descriptors_and_cookies" : "swap_descriptors", &a, &b);
	return true;
}

static bool copy_record(struct target *target)
{
	struct place a;
	struct place b;

	if (!pick_two(target, &a, &b)) {
		return false;
	}
	memcpy(b.record, a.record, sizeof *a.record);
	tell("copy_record", &a, &b);
	return true;
}

static bool swap_records(struct target *target)
{
	struct place a;
	struct place b;

	if (!pick_two(target, &a, &b)) {
		return false;
	}
	swap(a.record, b.record, sizeof *a.record);
	tell("swap_records", &a, &b);
	return true;
}

static bool swap_holders(struct target *target)
{
	struct place a;
	struct place b;

	if (!pick_two(target, &a, &b)) {
		return false;
	}
	swap(a.record->chunk, b.record->chunk, sizeof a.record->chunk);
	swap(a.record->pipe, b.record->pipe, sizeof a.record->pipe);
	tell("swap_holders", &a, &b);
	return true;
}

static bool flip_journal(struct target *target)
{
	const struct place place = {.worker = rng_below(&target->rng, target->shm.workers)};

	flip(target, &target->shm.journals[place.worker], 24);
	tell("flip_journal", &place, NULL);
	return true;
}

static bool flip_lane(struct target *target)
{
	const struct place place = {.worker = rng_below(&target->rng, target->shm.workers)};
	const uint32_t lane = rng_below(&target->rng, LANES_PER_WORKER);

	flip(target, &target->shm.lanes[place.worker * LANES_PER_WORKER + lane], 24);
	tell("flip_lane", &place, NULL);
	return true;
}

/* A session that has bytes in a chunk, or in a pipe; `number` of it. */
static bool pick_holder(struct target *target, bool chunk, struct place *ret, uint32_t *ret_number)
{
	for (int i = 0; i < TRIES && pick(target, ret); i++) {
		for (int side = 0; side < SIDE_COUNT; side++) {
			const uint32_t pipe = ret->record->pipe[side];

			*ret_number = chunk ? ret->record->chunk[side] : pipe;
			if (chunk ? *ret_number < CHUNKS_PER_WORKER : pipe < PIPES_PER_WORKER) {
				return true;
			}
		}
	}
	return false;
}

static bool flip_chunk(struct target *target)
{
	struct place place;
	uint32_t number;

	if (!pick_holder(target, true, &place, &number)) {
		return false;
	}
	flip(target, &target->shm.chunks[place.worker * CHUNKS_PER_WORKER + number],
		sizeof(struct chunk));
	tell("flip_chunk", &place, NULL);
	return true;
}

static struct pipe_record *pipe_of(const struct target *target, uint32_t worker, uint32_t number)
{
	return &target->shm.pipes[worker * PIPES_PER_WORKER + number];
}

static bool flip_pipe(struct target *target)
{
	struct place place;
	uint32_t number;

	if (!pick_holder(target, false, &place, &number)) {
		return false;
	}
	flip(target, pipe_of(target, place.worker, number), sizeof(struct pipe_record));
	tell("flip_pipe", &place, NULL);
	return true;
}

/* The bytes of one session are now in the pipe of another. */
static bool swap_pipes(struct target *target)
{
	struct place a;
	struct place b;
	uint32_t one;
	uint32_t other;

	for (int i = 0; i < TRIES; i++) {
		if (!pick_holder(target, false, &a, &one) ||
			!pick_holder(target, false, &b, &other)) {
			return false;
		}
		if (a.record != b.record) {
			swap(pipe_of(target, a.worker, one)->fd,
				pipe_of(target, b.worker, other)->fd, sizeof a.record->fd);
			tell("swap_pipes", &a, &b);
			return true;
		}
	}
	return false;
}

static bool flip_state(struct target *target)
{
	const struct place place = {.worker = rng_below(&target->rng, target->shm.workers)};
	uint8_t *state = (uint8_t *)&target->shm.worker_states[place.worker];
	static const size_t words[] = {offsetof(struct worker_state, sessions),
		offsetof(struct worker_state, awake), offsetof(struct worker_state, thread_id),
		offsetof(struct worker_state, epoll_fd), offsetof(struct worker_state, wake_fd)};

	flip(target, state + words[rng_below(&target->rng, ARRAY_COUNT(words))], sizeof(uint32_t));
	tell("flip_state", &place, NULL);
	return true;
}

/* An open session looks as if it had read nothing yet. */
static bool state_back(struct target *target)
{
	struct place place;

	if (!pick(target, &place)) {
		return false;
	}
	atomic_store(&place.record->state, RECORD_CONNECTING);
	tell("state_back", &place, NULL);
	return true;
}

static const struct deed {
	const char *name;
	bool (*run)(struct target *target);
} deeds[] = {
	{"flip_record", flip_record},
	{"flip_flags", flip_flags},
	{"small_number", small_number},
	{"swap_descriptors", swap_descriptors},
	{"copy_record", copy_record},
	{"swap_records", swap_records},
	{"swap_holders", swap_holders},
	{"flip_journal", flip_journal},
	{"flip_lane", flip_lane},
	{"flip_chunk", flip_chunk},
	{"flip_pipe", flip_pipe},
	{"swap_pipes", swap_pipes},
	{"flip_state", flip_state},
	{"state_back", state_back},
};

/* The memory of the process, opened for us; or -1. */
static int open_memory(pid_t pid)
{
	char path[64];
	char link[320];
	char name[64];
	const struct dirent *entry;
	DIR *directory;
	int fd = -1;

	(void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	directory = opendir(path);
	if (directory == NULL) {
		return -1;
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while (fd < 0 && (entry = readdir(directory)) != NULL) {
		(void)snprintf(link, sizeof link, "%s/%s", path, entry->d_name);
		if (readlink(link, name, sizeof name) >= 13 &&
			strncmp(name, "/memfd:loble ", 13) == 0) {
			fd = open(link, O_RDWR | O_CLOEXEC);
		}
	}
	(void)closedir(directory);
	return fd;
}

/* Whether the thread is stopped, or has gone. */
static bool is_stopped(pid_t pid, const char *task)
{
	char path[320];
	char line[256];
	const char *state = NULL;
	FILE *file;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%s/stat", (int)pid, task);
	file = fopen(path, "re");
	if (file == NULL) {
		return true;
	}
	if (fgets(line, sizeof line, file) != NULL) {
		state = strrchr(line, ')');
	}
	(void)fclose(file);
	return state != NULL && strncmp(state, ") T", 3) == 0;
}

static bool all_stopped(pid_t pid)
{
	char path[64];
	const struct dirent *entry;
	bool stopped = true;
	DIR *directory;

	(void)snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	directory = opendir(path);
	if (directory == NULL) {
		return false;
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while (stopped && (entry = readdir(directory)) != NULL) {
		stopped = entry->d_name[0] == '.' || is_stopped(pid, entry->d_name);
	}
	(void)closedir(directory);
	return stopped;
}

/* Waits until no thread of the process runs any more. */
static bool stop(pid_t pid)
{
	if (kill(pid, SIGSTOP) < 0) {
		return false;
	}
	for (int i = 0; i < STOP_TRIES; i++) {
		if (all_stopped(pid)) {
			return true;
		}
		(void)usleep(STOP_WAIT_US);
	}
	return false;
}

static int usage(void)
{
	(void)fputs("usage: damage PID SEED COUNT [DEED]\n\ndeeds:", stderr);
	for (size_t i = 0; i < ARRAY_COUNT(deeds); i++) {
		(void)fprintf(stderr, " %s", deeds[i].name);
	}
	(void)fputs("\n", stderr);
	return 2;
}

static int run(struct target *target, int count, const char *wanted)
{
	int done = 0;

	for (int i = 0; i < count; i++) {
		const struct deed *deed = &deeds[rng_below(&target->rng, ARRAY_COUNT(deeds))];

		for (size_t j = 0; wanted != NULL && j < ARRAY_COUNT(deeds); j++) {
			if (strcmp(deeds[j].name, wanted) == 0) {
				deed = &deeds[j];
			}
		}
		done += deed->run(target) ? 1 : 0;
	}
	return done;
}

int main(int argc, char **argv)
{
	struct target target;
	struct error error = {.code = 0};
	pid_t pid;
	int fd;

	if (argc != 4 && argc != 5) {
		return usage();
	}
	pid = (pid_t)strtol(argv[1], NULL, 10);
	rng_init(&target.rng, strtoull(argv[2], NULL, 10));
	fd = pid > 1 ? open_memory(pid) : -1;
	if (fd < 0 || shm_attach(fd, &target.shm, &error) < 0) {
		(void)fprintf(stderr, "damage: no memory of process %s: %s\n", argv[1],
			fd < 0 ? "none is open" : error.text);
		return 2;
	}
	if (!stop(pid)) {
		(void)fprintf(stderr, "damage: cannot stop process %d\n", (int)pid);
		return 2;
	}
	(void)run(&target, (int)strtol(argv[3], NULL, 10), argc == 5 ? argv[4] : NULL);
	return kill(pid, SIGKILL) == 0 ? 0 : 2;
}
