#include "data/holder.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#include "data/stretch.h"
#include "data/worker.h"
#include "model/limits.h"
#include "os/pipe.h"

enum {
	PIPE_BYTES = 1024 * 1024,
	SPARE_PIPES_MAX = 32,
	CHUNK_KEEP_BYTES = 4096, /* a larger chunk gives its pages back */
};

static uint32_t owner_of(uint32_t index, enum side from)
{
	return index << 1 | (uint32_t)from;
}

bool chunk_available(const struct worker *worker)
{
	return chunks_available(worker) > 0;
}

uint32_t chunks_available(const struct worker *worker)
{
	return worker->chunk_free_count + CHUNKS_PER_WORKER - worker->chunk_used;
}

/* Free chunks are linked through their owner word. */
static uint32_t take_chunk(struct worker *worker)
{
	uint32_t chunk = worker->chunk_free;

	if (chunk != RECORD_NONE) {
		worker->chunk_free = worker->chunks[chunk].owner;
		worker->chunk_free_count--;
		return chunk;
	}
	assert(worker->chunk_used < CHUNKS_PER_WORKER);
	chunk = worker->chunk_used;
	worker->chunk_used++;
	worker_note_used(worker);
	return chunk;
}

/*
 * The order matters to whoever takes over after a crash: the bytes, their position, and last the
 * length that makes them count.
 */
void chunk_fill(struct worker *worker, uint32_t index, enum side from, uint64_t position,
	const uint8_t *bytes, uint32_t length)
{
	struct session_record *record = &worker->records[index];
	const uint32_t number = take_chunk(worker);
	struct chunk *chunk = &worker->chunks[number];

	assert(length >= 1 && length <= CHUNK_BYTES);
	assert(record->chunk[from] == RECORD_NONE);
	memcpy(shm_chunk_bytes(worker->setup.shm, worker->setup.index, number), bytes, length);
	stretch();
	chunk->owner = owner_of(index, from);
	stretch();
	chunk->position = position;
	stretch();
	record->chunk[from] = number;
	stretch();
	atomic_store_explicit(&chunk->length, length, memory_order_release);
}

const uint8_t *chunk_rest(
	const struct worker *worker, uint32_t index, enum side from, uint64_t position)
{
	const uint32_t number = worker->records[index].chunk[from];
	const struct chunk *chunk = &worker->chunks[number];

	assert(position >= chunk->position);
	assert(position - chunk->position < chunk->length);
	return shm_chunk_bytes(worker->setup.shm, worker->setup.index, number) +
		(position - chunk->position);
}

void chunk_release(struct worker *worker, uint32_t index, enum side from)
{
	struct session_record *record = &worker->records[index];
	const uint32_t number = record->chunk[from];
	struct chunk *chunk;

	if (number == RECORD_NONE) {
		return;
	}
	chunk = &worker->chunks[number];
	if (chunk->length > CHUNK_KEEP_BYTES) {
		/* Shared memory that is merely unmapped would stay allocated. */
		(void)madvise(shm_chunk_bytes(worker->setup.shm, worker->setup.index, number),
			CHUNK_BYTES, MADV_REMOVE);
	}
	atomic_store_explicit(&chunk->length, 0, memory_order_release);
	stretch();
	record->chunk[from] = RECORD_NONE;
	stretch();
	chunk->owner = worker->chunk_free;
	worker->chunk_free = number;
	worker->chunk_free_count++;
}

/* A record of an open, empty pipe; RECORD_NONE when there is none and none can be made. */
static uint32_t take_pipe(struct worker *worker)
{
	uint32_t number = worker->pipe_spare;
	int ends[2];

	if (number != RECORD_NONE) {
		worker->pipe_spare = worker->pipes[number].owner;
		worker->pipe_spare_count--;
		return number;
	}
	number = worker->pipe_free;
	if ((number == RECORD_NONE && worker->pipe_used == PIPES_PER_WORKER) ||
		pipe_open(PIPE_BYTES, ends) < 0) {
		return RECORD_NONE;
	}
	if (number == RECORD_NONE) {
		number = worker->pipe_used;
		worker->pipe_used++;
		worker_note_used(worker);
	} else {
		worker->pipe_free = worker->pipes[number].owner;
	}
	worker->pipes[number].fd[0] = ends[0];
	worker->pipes[number].fd[1] = ends[1];
	worker->pipes[number].identity =
		pipe_record_identity(&worker->pipes[number], number, pipe_inode(ends));
	return number;
}

bool pipe_take(struct worker *worker, uint32_t index, enum side from, bool bulk)
{
	struct session_record *record = &worker->records[index];
	uint32_t number;

	assert(record->pipe[from] == PIPE_NONE);
	if (bulk && worker->bulk_pipe_count == BULK_PIPES_PER_WORKER) {
		return false;
	}
	number = take_pipe(worker);
	if (number == RECORD_NONE) {
		return false;
	}
	worker->bulk_pipe_count += bulk ? 1 : 0;
	stretch();
	worker->pipes[number].owner = owner_of(index, from);
	stretch();
	worker->pipes[number].check = pipe_record_check(&worker->pipes[number]);
	/* Named last, and forgotten first: a session never names a pipe that is not its own. */
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
	record->pipe[from] = (uint16_t)number;
	return true;
}

/* Closes the pipe; its record is free for another. */
static void retire_pipe(struct worker *worker, uint32_t number)
{
	struct pipe_record *pipe = &worker->pipes[number];

	pipe_close(pipe->fd);
	pipe->fd[0] = -1;
	pipe->fd[1] = -1;
	pipe->owner = worker->pipe_free;
	worker->pipe_free = number;
}

void pipe_give(struct worker *worker, uint32_t index, enum side from, bool bulk, bool empty)
{
	struct session_record *record = &worker->records[index];
	const uint32_t number = record->pipe[from];
	struct pipe_record *pipe;

	if (number == PIPE_NONE) {
		return;
	}
	pipe = &worker->pipes[number];
	record->pipe[from] = PIPE_NONE;
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
	worker->bulk_pipe_count -= bulk ? 1 : 0;
	if (empty && worker->pipe_spare_count < SPARE_PIPES_MAX) {
		pipe->owner = worker->pipe_spare;
		worker->pipe_spare = number;
		worker->pipe_spare_count++;
		worker->spare_since_ns = worker->now_ns;
		return;
	}
	retire_pipe(worker, number);
}

void pipe_close_spares(struct worker *worker)
{
	while (worker->pipe_spare != RECORD_NONE) {
		struct pipe_record *pipe = &worker->pipes[worker->pipe_spare];

		const uint32_t number = worker->pipe_spare;

		worker->pipe_spare = pipe->owner;
		retire_pipe(worker, number);
	}
	worker->pipe_spare_count = 0;
}
