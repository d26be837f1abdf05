/*
 * What the two ways of moving bytes share with the pump that chooses between them. Private to
 * data/pump*.c. Thread: the worker's own.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "data/session.h"
#include "data/worker.h"

struct journal;

/* One direction being pumped: what the functions would otherwise look up again and again. */
struct transfer {
	struct worker *worker;
	uint32_t index;
	enum side from;
	enum side to;
	struct session *session;
	struct session_record *record;
	struct direction *direction;
};

static inline struct transfer transfer_of(struct worker *worker, uint32_t index, enum side from)
{
	return (struct transfer){
		.worker = worker,
		.index = index,
		.from = from,
		.to = other_side(from),
		.session = &worker->sessions[index],
		.record = &worker->records[index],
		.direction = &worker->sessions[index].direction[from],
	};
}

enum {
	LARGE_BYTES = 16 * 1024, /* one read of so many is a sign of bulk, one of less of talk */
};

enum step {
	STEP_MOVED, /* something moved, or the way of moving changed: go on */
	STEP_STOP,  /* nothing more to do until an event */
};

/* One read and what follows from it. The direction holds nothing. */
enum step pump_copy_step(struct transfer *transfer);
enum step pump_splice_step(struct transfer *transfer);

/* Hands over what the direction holds; STEP_STOP when some of it still waits. */
enum step pump_copy_flush(struct transfer *transfer);
enum step pump_splice_flush(struct transfer *transfer);

/*
 * Says in the journal whose bytes will lie in a buffer, and that none do any more. `place` is as in
 * journal_check().
 */
void journal_open(struct journal *journal, const struct transfer *transfer, uint32_t place);
void journal_close(struct journal *journal);

/* What follows from a recv() that gave no byte; `error` is its errno, 0 at the end. */
enum step pump_copy_nothing(struct transfer *transfer, int error);

/*
 * What follows from a send() of `length` bytes that returned `result`, a count or a negative errno.
 * Returns how many went, or -1 when the destination has failed (the direction is cut then).
 */
ssize_t pump_copy_sent(struct transfer *transfer, ssize_t result, size_t length);

/* Keeps what could not be sent. There is a chunk. */
void pump_copy_hold(struct transfer *transfer, const uint8_t *bytes, size_t length);

/* What follows from a read that did not fill its buffer. */
void pump_copy_was_short(struct transfer *transfer);

/* Whether one of the two sockets is a UNIX socket. */
static inline bool transfer_is_local(const struct transfer *transfer)
{
	return (transfer->record->flags & (RECORD_LOCAL_CLIENT | RECORD_LOCAL_BACKEND)) != 0;
}

/* Whether it has a chunk or a pipe, empty or not. */
static inline bool transfer_has_place(const struct transfer *transfer)
{
	return transfer->record->chunk[transfer->from] != RECORD_NONE ||
		transfer->record->pipe[transfer->from] != PIPE_NONE;
}

/*
 * To be called before `length` bytes are sent to a backend: the second time, or when they may be
 * more than a segment, the socket is told not to delay any.
 */
void transfer_send_at_once(struct transfer *transfer, size_t length);

/* Counts bytes that were handed over. */
void transfer_moved(struct transfer *transfer, size_t bytes);

/* The source has no more for now / has ended / has failed with `error` (errno). */
void transfer_source_dry(struct transfer *transfer);
void transfer_source_ended(struct transfer *transfer);
void transfer_source_failed(struct transfer *transfer, int error);

/* The destination is full / has failed with `error` (errno): what it is owed is dropped. */
void transfer_destination_full(struct transfer *transfer);
void transfer_destination_failed(struct transfer *transfer, int error);
