#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "base/bare.h"
#include "data/holder.h"
#include "data/pump_internal.h"
#include "data/stretch.h"
#include "data/worker.h"

enum {
	READ_BYTES = CHUNK_BYTES, /* what is left of one read must fit into a chunk */
	KIB_OF_BULK = 128,        /* by large reads in a row: from then on it is worth a pipe */
};

/*
 * While bytes are in the receive buffer the journal says whose they are. Whoever looks at it does
 * so after this process is dead and reaped, when all stores that were executed are visible: only
 * the compiler has to be kept from moving them.
 */
void journal_open(struct journal *journal, const struct transfer *transfer, uint32_t place)
{
	const uint64_t key = journal_key(transfer->index, transfer->from);

	if (BARE) {
		return;
	}
	journal->position = transfer->record->moved[transfer->from];
	stretch();
	journal->check = journal_check(key, journal->position, place);
	atomic_signal_fence(memory_order_release);
	atomic_store_explicit(&journal->key, key, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
}

void journal_close(struct journal *journal)
{
	if (BARE) {
		return;
	}
	stretch();
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&journal->key, 0, memory_order_relaxed);
	atomic_signal_fence(memory_order_seq_cst);
	stretch();
}

ssize_t pump_copy_sent(struct transfer *transfer, ssize_t result, size_t length)
{
	const size_t sent = result < 0 ? 0 : (size_t)result;

	if (result < 0 && result != -EAGAIN) {
		transfer_destination_failed(transfer, (int)-result);
		return -1;
	}
	if (sent > 0) {
		transfer_moved(transfer, sent);
	}
	if (sent < length) {
		transfer_destination_full(transfer);
	}
	return (ssize_t)sent;
}

/* Sends what it can of the bytes; returns as pump_copy_sent() does. */
static ssize_t hand_over(struct transfer *transfer, const uint8_t *bytes, size_t length)
{
	ssize_t n;

	transfer_send_at_once(transfer, length);
	stretch();
	do {
		n = send(transfer->record->fd[transfer->to], bytes, length,
			MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	n = n < 0 ? -errno : n;
	stretch();
	return pump_copy_sent(transfer, n, length);
}

void pump_copy_hold(struct transfer *transfer, const uint8_t *bytes, size_t length)
{
	chunk_fill(transfer->worker, transfer->index, transfer->from,
		transfer->record->moved[transfer->from], bytes, (uint32_t)length);
	transfer->direction->held = (uint32_t)length;
}

enum step pump_copy_flush(struct transfer *transfer)
{
	const uint64_t position = transfer->record->moved[transfer->from];
	const uint8_t *bytes =
		chunk_rest(transfer->worker, transfer->index, transfer->from, position);
	const ssize_t n = hand_over(transfer, bytes, transfer->direction->held);

	if (n < 0) {
		return STEP_MOVED; /* cut: the pump sees it */
	}
	transfer->direction->held -= (uint32_t)n;
	if (transfer->direction->held > 0) {
		return STEP_STOP;
	}
	chunk_release(transfer->worker, transfer->index, transfer->from);
	return STEP_MOVED;
}

enum step pump_copy_nothing(struct transfer *transfer, int error)
{
	if (error == 0) {
		transfer_source_ended(transfer);
	} else if (error == EAGAIN) {
		transfer_source_dry(transfer);
	} else if (error != EINTR) {
		transfer_source_failed(transfer, error);
	}
	return STEP_MOVED;
}

/*
 * With edge-triggered events a short read means that the queue was empty: no second call to hear
 * EAGAIN. When the peer's end had been announced before that read, it is all there is. None of
 * this holds on a socket that saw urgent data, where a read stops at the mark, or an error. While
 * input is muted only the end is announced, and not the mark that may be before it: then the next
 * read says whether that was all.
 */
void pump_copy_was_short(struct transfer *transfer)
{
	const uint8_t flags = transfer->session->side[transfer->from];
	const bool muted = (transfer->session->watch[transfer->from] & WATCH_INPUT) == 0;

	if ((flags & (SIDE_URGENT | SIDE_BROKEN)) != 0) {
		return;
	}
	if ((flags & SIDE_HUNG) == 0) {
		transfer_source_dry(transfer);
	} else if (!muted) {
		transfer_source_ended(transfer);
	}
}

/*
 * Bulk is spliced from now on, if a pipe is free. Bytes are counted and not full reads: a source
 * that is a little slower than we are never fills a read.
 */
static void consider_splice(struct transfer *transfer, size_t n)
{
	struct direction *direction = transfer->direction;
	const uint8_t flags = transfer->session->side[transfer->from];

	if (LOBLE_COPY_ONLY || n < LARGE_BYTES || (flags & SIDE_URGENT) != 0) {
		direction->streak = 0;
		return;
	}
	direction->streak += (uint16_t)(n / 1024);
	if (direction->streak >= KIB_OF_BULK) {
		direction->streak = 0;
		direction->mode = PUMP_SPLICE;
	}
}

/*
 * No chunk is left to hold a rest: the bytes stay in the source's queue until the destination has
 * taken them, and only what was sent is consumed.
 */
static enum step copy_without_holding(struct transfer *transfer)
{
	struct worker *worker = transfer->worker;
	uint8_t *buffer = worker->receive_buffer;
	const int fd = transfer->record->fd[transfer->from];
	ssize_t sent;
	ssize_t n;
	int error;

	/* What was sent and not yet consumed is named, too: it must not be sent twice. */
	journal_open(worker->journal, transfer, JOURNAL_BUFFER);
	n = recv(fd, buffer, RECEIVE_BUFFER_BYTES, MSG_DONTWAIT | MSG_PEEK);
	error = n < 0 ? errno : 0;
	if (n <= 0) {
		journal_close(worker->journal);
		return pump_copy_nothing(transfer, error);
	}
	sent = hand_over(transfer, buffer, (size_t)n);
	while (sent > 0) {
		stretch();
		/* They are there: they were just looked at. An urgent mark may part them. */
		const ssize_t taken = recv(fd, buffer, (size_t)sent, MSG_DONTWAIT);

		if (taken <= 0) {
			transfer_source_failed(transfer, EIO);
			break;
		}
		sent -= taken;
	}
	journal_close(worker->journal);
	return STEP_MOVED;
}

enum step pump_copy_step(struct transfer *transfer)
{
	struct worker *worker = transfer->worker;
	uint8_t *buffer = worker->receive_buffer;
	ssize_t n;
	ssize_t sent;
	int error;

	if (!chunk_available(worker)) {
		return copy_without_holding(transfer);
	}

	journal_open(worker->journal, transfer, JOURNAL_BUFFER);
	n = recv(transfer->record->fd[transfer->from], buffer, READ_BYTES, MSG_DONTWAIT);
	error = n < 0 ? errno : 0;
	if (n <= 0) {
		journal_close(worker->journal);
		return pump_copy_nothing(transfer, error);
	}
	sent = hand_over(transfer, buffer, (size_t)n);
	if (sent >= 0 && sent < n) {
		pump_copy_hold(transfer, buffer + sent, (size_t)(n - sent));
	}
	journal_close(worker->journal);

	if (n < READ_BYTES) {
		pump_copy_was_short(transfer);
	}
	if (n <= LANE_BYTES) {
		transfer->session->batch &= (uint8_t) ~(BATCH_WIDE << transfer->from);
	}
	consider_splice(transfer, (size_t)n);
	return STEP_MOVED;
}
