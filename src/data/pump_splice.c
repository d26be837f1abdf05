#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "data/holder.h"
#include "data/pump_internal.h"
#include "data/stretch.h"
#include "data/worker.h"

enum {
	SPLICE_BYTES = 1024 * 1024,
	SMALL_SPLICES_OF_TALK = 8, /* in a row: from then on it is copied again */
};

/* Never SPLICE_F_MORE: it would hold the tail back. */
enum { SPLICE_FLAGS = SPLICE_F_NONBLOCK | SPLICE_F_MOVE };

static const struct pipe_record *pipe_of(const struct transfer *transfer)
{
	return &transfer->worker->pipes[transfer->record->pipe[transfer->from]];
}

enum step pump_splice_flush(struct transfer *transfer)
{
	ssize_t n;

	transfer_send_at_once(transfer, transfer->direction->held);
	n = splice(pipe_of(transfer)->fd[0], NULL, transfer->record->fd[transfer->to], NULL,
		transfer->direction->held, SPLICE_FLAGS);
	if (n < 0) {
		if (errno == EAGAIN) {
			transfer_destination_full(transfer);
			return STEP_STOP;
		}
		if (errno != EINTR) {
			transfer_destination_failed(transfer, errno);
		}
		return STEP_MOVED;
	}
	if (n == 0) {
		/* Cannot happen with bytes in the pipe; if it does, nothing good follows. */
		transfer_destination_failed(transfer, EIO);
		return STEP_MOVED;
	}
	stretch();
	transfer_moved(transfer, (size_t)n);
	transfer->direction->held -= (uint32_t)n;
	return STEP_MOVED;
}

static void consider_copy(struct transfer *transfer, size_t n)
{
	struct direction *direction = transfer->direction;

	if (n >= LARGE_BYTES || transfer_is_local(transfer)) {
		direction->streak = 0;
		return;
	}
	if (++direction->streak >= SMALL_SPLICES_OF_TALK) {
		direction->streak = 0;
		direction->mode = PUMP_COPY; /* once the pipe is empty: it is, before each read */
	}
}

/* No pipe: between TCP sockets the copy serves as well; others wait for one to come back. */
static enum step without_pipe(struct transfer *transfer)
{
	if (transfer_is_local(transfer)) {
		worker_starve(transfer->worker, transfer->index);
		return STEP_STOP;
	}
	transfer->direction->mode = PUMP_COPY;
	transfer->direction->streak = 0;
	return STEP_MOVED;
}

/* At an urgent mark of TCP splice() would stop for good; that of a UNIX socket it goes past. */
static bool can_have_mark(const struct transfer *transfer)
{
	const unsigned local =
		transfer->from == SIDE_CLIENT ? RECORD_LOCAL_CLIENT : RECORD_LOCAL_BACKEND;

	return (transfer->record->flags & local) == 0;
}

/*
 * splice() gave nothing: the end, or an urgent mark that came after the last event, with the end
 * behind it.
 */
static void end_or_mark(struct transfer *transfer)
{
	uint8_t byte;

	if (can_have_mark(transfer) &&
		recv(transfer->record->fd[transfer->from], &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0) {
		transfer->session->side[transfer->from] |= SIDE_URGENT;
	} else {
		transfer_source_ended(transfer);
	}
}

/*
 * Only into an empty pipe: EAGAIN then says that the source is dry, and nothing else. A source with
 * an urgent mark is read with recv().
 */
enum step pump_splice_step(struct transfer *transfer)
{
	struct worker *worker = transfer->worker;
	ssize_t n;

	if ((transfer->session->side[transfer->from] & SIDE_URGENT) != 0 &&
		can_have_mark(transfer)) {
		transfer->direction->mode = PUMP_COPY;
		return STEP_MOVED;
	}
	if (transfer->record->pipe[transfer->from] == PIPE_NONE &&
		!pipe_take(worker, transfer->index, transfer->from, !transfer_is_local(transfer))) {
		return without_pipe(transfer);
	}
	n = splice(transfer->record->fd[transfer->from], NULL, pipe_of(transfer)->fd[1], NULL,
		SPLICE_BYTES, SPLICE_FLAGS);
	stretch();
	if (n > 0) {
		transfer->direction->held = (uint32_t)n;
		consider_copy(transfer, (size_t)n);
	} else if (n == 0) {
		end_or_mark(transfer);
	} else if (errno == EAGAIN) {
		transfer_source_dry(transfer);
	} else if (errno != EINTR) {
		transfer_source_failed(transfer, errno);
	}
	return STEP_MOVED;
}
