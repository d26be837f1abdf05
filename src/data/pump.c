#include "data/pump.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "data/holder.h"
#include "data/pump_internal.h"
#include "data/worker.h"

enum {
	STEPS_PER_TURN = 16,         /* what one direction may take of a turn */
	DISCARD_BYTES = 1024 * 1024, /* thrown away with one call */
	SMALLEST_SEGMENT = 536,      /* that any peer of today asks for */
};

/*
 * A small segment is delayed only while another one is not acknowledged. So the first one of a
 * connection never is, and most short sessions need no more than that.
 */
void transfer_send_at_once(struct transfer *transfer, size_t length)
{
	const struct session_record *record = transfer->record;

	if (transfer->to != SIDE_BACKEND || transfer->session->undelayed != 0 ||
		(length <= SMALLEST_SEGMENT && record->moved[SIDE_CLIENT] == 0 &&
			record->preamble[SIDE_BACKEND] == 0)) {
		return;
	}
	transfer->session->undelayed = 1;
	if ((record->flags & RECORD_LOCAL_BACKEND) == 0) {
		(void)socket_send_at_once(record->fd[SIDE_BACKEND]);
	}
}

/* Between UNIX sockets, where small messages go through a pipe as well, the mode says nothing. */
static bool is_bulk(const struct transfer *transfer)
{
	return transfer->direction->mode == PUMP_SPLICE && !transfer_is_local(transfer);
}

void transfer_moved(struct transfer *transfer, size_t bytes)
{
	struct worker *worker = transfer->worker;
	const struct session_record *record = transfer->record;
	struct listener_counters *listener = worker_listener_counters(worker, record->listener);
	struct slot_counters *slot = worker_slot_counters(worker, record->slot);

	transfer->record->moved[transfer->from] += bytes;
	transfer->session->active_ns = worker->now_ns;
	if (transfer->from == SIDE_CLIENT) {
		counter_add(&listener->received_bytes, bytes);
		counter_add(&slot->sent_bytes, bytes);
	} else {
		counter_add(&slot->received_bytes, bytes);
		counter_add(&listener->sent_bytes, bytes);
	}
	if (busy_poll_is_stream(&transfer->session->talk, transfer->from) || bytes >= LARGE_BYTES ||
		is_bulk(transfer)) {
		busy_poll_streamed(&worker->busy_poll);
	} else if (transfer->from == SIDE_CLIENT) {
		busy_poll_asked(&worker->busy_poll);
	}
}

void transfer_source_dry(struct transfer *transfer)
{
	const unsigned watch = transfer->session->watch[transfer->from];

	transfer->session->side[transfer->from] &= (uint8_t)~SIDE_READABLE;
	if ((watch & WATCH_INPUT) == 0) {
		worker_watch_for(
			transfer->worker, transfer->index, transfer->from, watch | WATCH_INPUT);
	}
}

/*
 * A socket whose reset was already reported by send() reads as an orderly end afterwards: it is
 * none.
 */
void transfer_source_ended(struct transfer *transfer)
{
	uint8_t *flags = &transfer->session->side[transfer->from];

	if ((*flags & SIDE_RESET) == 0) {
		*flags |= SIDE_EOF;
	}
	transfer_source_dry(transfer);
}

void transfer_source_failed(struct transfer *transfer, int error)
{
	(void)error;
	transfer->session->side[transfer->from] |= SIDE_RESET;
	session_record_set(transfer->record,
		transfer->from == SIDE_CLIENT ? RECORD_RESET_CLIENT : RECORD_RESET_BACKEND);
	transfer_source_dry(transfer);
}

void transfer_destination_full(struct transfer *transfer)
{
	const unsigned watch = transfer->session->watch[transfer->to];

	transfer->session->side[transfer->to] &= (uint8_t)~SIDE_WRITABLE;
	if ((watch & WATCH_OUTPUT) == 0) {
		worker_watch_for(
			transfer->worker, transfer->index, transfer->to, watch | WATCH_OUTPUT);
	}
}

/*
 * The other direction goes on: what this side has answered already is still in its receive queue,
 * and must be read before its end is believed. EPIPE means that its FIN came before its reset, so
 * the answer is complete; any other error is a reset to pass on after the answer.
 */
void transfer_destination_failed(struct transfer *transfer, int error)
{
	uint8_t *flags = &transfer->session->side[transfer->to];

	if (error != EPIPE) {
		*flags |= SIDE_RESET;
		session_record_set(transfer->record,
			transfer->to == SIDE_CLIENT ? RECORD_RESET_CLIENT : RECORD_RESET_BACKEND);
	}
	*flags |= SIDE_READABLE;
	/* Before what is held is dropped: from then on nobody could account for it. */
	session_record_set(transfer->record,
		transfer->from == SIDE_CLIENT ? RECORD_DISCARD_CLIENT : RECORD_DISCARD_BACKEND);
	atomic_signal_fence(memory_order_seq_cst);
	pump_drop(transfer->worker, transfer->index, transfer->from);
	transfer->direction->end = DIRECTION_CUT;
}

void pump_drop(struct worker *worker, uint32_t index, enum side from)
{
	struct transfer transfer = transfer_of(worker, index, from);
	const bool empty = transfer.direction->held == 0;

	chunk_release(worker, index, from);
	pipe_give(worker, index, from, !transfer_is_local(&transfer), empty);
	transfer.direction->held = 0;
}

/* Nothing is held and nothing more will come: passes the end on. */
static void finish(struct transfer *transfer)
{
	pump_drop(transfer->worker, transfer->index, transfer->from);
	if ((transfer->session->side[transfer->from] & SIDE_RESET) != 0) {
		transfer->direction->end = DIRECTION_RESET;
		return;
	}
	/*
	 * When the other direction is through, close() says it for both: no need for a FIN of its
	 * own. Failing does not matter either: then the socket is gone already.
	 */
	if (transfer->session->direction[transfer->to].end != DIRECTION_ENDED) {
		(void)shutdown(transfer->record->fd[transfer->to], SHUT_WR);
	}
	transfer->direction->end = DIRECTION_ENDED;
}

static bool source_is_through(const struct transfer *transfer)
{
	const uint8_t flags = transfer->session->side[transfer->from];

	return (flags & SIDE_EOF) != 0 ||
		((flags & SIDE_RESET) != 0 && (flags & SIDE_READABLE) == 0);
}

static enum step flush(struct transfer *transfer)
{
	if ((transfer->session->side[transfer->to] & SIDE_WRITABLE) == 0) {
		return STEP_STOP;
	}
	return transfer->record->pipe[transfer->from] != PIPE_NONE ? pump_splice_flush(transfer)
								   : pump_copy_flush(transfer);
}

static enum step pump_step(struct transfer *transfer)
{
	if (transfer->direction->held > 0) {
		return flush(transfer);
	}
	if (source_is_through(transfer)) {
		finish(transfer);
		return STEP_STOP;
	}
	if ((transfer->session->side[transfer->from] & SIDE_READABLE) == 0 ||
		(transfer->session->side[transfer->to] & SIDE_WRITABLE) == 0) {
		return STEP_STOP;
	}
	if (transfer->direction->mode == PUMP_SPLICE) {
		return pump_splice_step(transfer);
	}
	if (transfer->record->pipe[transfer->from] != PIPE_NONE) {
		pump_drop(transfer->worker, transfer->index, transfer->from);
	}
	return pump_copy_step(transfer);
}

enum pump_result pump_run(struct worker *worker, uint32_t index, enum side from)
{
	struct transfer transfer = transfer_of(worker, index, from);

	if (transfer.direction->end == DIRECTION_CUT) {
		return pump_discard(worker, index, from);
	}
	/* Also when nothing can move: what a blocked stream is told of is as little worth. */
	if (is_bulk(&transfer)) {
		busy_poll_streamed(&worker->busy_poll);
	}
	for (int i = 0; i < STEPS_PER_TURN; i++) {
		if (transfer.direction->end != DIRECTION_RUNNING) {
			return PUMP_WAITS;
		}
		if (pump_step(&transfer) == STEP_STOP) {
			/* An empty pipe of a source that is dry serves somebody else meanwhile. */
			if (transfer.direction->held == 0 && transfer_has_place(&transfer)) {
				pump_drop(worker, index, from);
			}
			return PUMP_WAITS;
		}
	}
	return PUMP_AGAIN;
}

enum pump_result pump_discard(struct worker *worker, uint32_t index, enum side from)
{
	struct transfer transfer = transfer_of(worker, index, from);
	const bool local = transfer_is_local(&transfer);
	/* Only TCP throws away without a copy. */
	void *buffer = local ? worker->receive_buffer : NULL;
	const size_t bytes = local ? RECEIVE_BUFFER_BYTES : DISCARD_BYTES;
	const int flags = local ? MSG_DONTWAIT : MSG_DONTWAIT | MSG_TRUNC;

	for (int i = 0; i < STEPS_PER_TURN; i++) {
		ssize_t n;

		if ((transfer.session->side[from] & SIDE_READABLE) == 0 ||
			(transfer.session->side[from] & SIDE_EOF) != 0) {
			return PUMP_WAITS;
		}
		n = recv(transfer.record->fd[from], buffer, bytes, flags);
		if (n > 0) {
			transfer.session->active_ns = worker->now_ns;
			continue;
		}
		if (n == 0) {
			transfer_source_ended(&transfer);
		} else if (errno == EAGAIN) {
			transfer_source_dry(&transfer);
		} else if (errno != EINTR) {
			transfer_source_failed(&transfer, errno);
		}
	}
	return PUMP_AGAIN;
}
