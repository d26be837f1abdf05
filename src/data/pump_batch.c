#include "data/pump_batch.h"

#include <assert.h>
#include <errno.h>

#include "data/holder.h"
#include "data/pump_internal.h"
#include "data/session.h"
#include "data/stretch.h"
#include "data/worker.h"
#include "os/batch.h"

static_assert((int)LANES_PER_WORKER <= (int)BATCH_CALLS_MAX, "each lane has a call");

static bool can_go(const struct worker *worker, uint32_t index, enum side from)
{
	const struct session *session = &worker->sessions[index];
	const struct direction *direction = &session->direction[from];
	const uint8_t source = session->side[from];
	const uint8_t destination = session->side[other_side(from)];

	return direction->end == DIRECTION_RUNNING && direction->mode == PUMP_COPY &&
		direction->held == 0 && worker->records[index].pipe[from] == PIPE_NONE &&
		(source & SIDE_READABLE) != 0 && (destination & SIDE_WRITABLE) != 0 &&
		(source & (SIDE_BROKEN | SIDE_URGENT | SIDE_EOF | SIDE_RESET)) == 0 &&
		(destination & (SIDE_BROKEN | SIDE_RESET)) == 0 &&
		(session->batch & (BATCH_WIDE << from)) == 0;
}

bool pump_batch_add(struct worker *worker, uint32_t index)
{
	struct session *session = &worker->sessions[index];
	enum side from = SIDE_CLIENT;

	if (worker->batch == NULL) {
		return false;
	}
	if ((session->batch & BATCH_ADDED) != 0) {
		return true;
	}
	if (!can_go(worker, index, from)) {
		from = SIDE_BACKEND;
		if (!can_go(worker, index, from)) {
			return false;
		}
	}
	if (worker->lane_count == LANES_PER_WORKER) {
		pump_batch_run(worker);
	}
	session->batch |= BATCH_ADDED;
	worker->lane[worker->lane_count] = (struct lane){.index = index, .from = (uint8_t)from};
	worker->lane_count++;
	return true;
}

static struct journal *journal_of(const struct worker *worker, uint32_t number)
{
	return &worker->lane_journals[number];
}

static uint8_t *bytes_of(const struct worker *worker, uint32_t number)
{
	return worker->lane_bytes + (size_t)number * LANE_BYTES;
}

static struct transfer transfer_of_lane(struct worker *worker, uint32_t number)
{
	return transfer_of(worker, worker->lane[number].index, worker->lane[number].from);
}

/* Since it was added the session may have been cut, or it has another event. */
static bool is_ready(const struct worker *worker, const struct lane *lane)
{
	return worker->sessions[lane->index].phase == SESSION_OPEN &&
		can_go(worker, lane->index, lane->from);
}

static void receive_all(struct worker *worker)
{
	int results[BATCH_CALLS_MAX];

	for (uint32_t i = 0; i < worker->lane_count; i++) {
		struct lane *lane = &worker->lane[i];
		const struct transfer transfer = transfer_of_lane(worker, i);

		lane->received = 0;
		lane->open = is_ready(worker, lane);
		if (lane->open) {
			journal_open(journal_of(worker, i), &transfer, JOURNAL_LANE + i);
			batch_recv(worker->batch, i, transfer.record->fd[transfer.from],
				bytes_of(worker, i), LANE_BYTES);
		}
	}
	stretch();
	batch_run(worker->batch, results);
	stretch();
	for (uint32_t i = 0; i < worker->lane_count; i++) {
		struct transfer transfer = transfer_of_lane(worker, i);

		if (!worker->lane[i].open) {
			continue;
		}
		if (results[i] > 0) {
			worker->lane[i].received = (uint32_t)results[i];
			continue;
		}
		journal_close(journal_of(worker, i));
		(void)pump_copy_nothing(&transfer, -results[i]);
	}
}

/* What follows once the bytes of a lane have been sent, as far as they could. */
static void settle(struct worker *worker, uint32_t number, int result)
{
	struct transfer transfer = transfer_of_lane(worker, number);
	const uint32_t received = worker->lane[number].received;
	const ssize_t sent = pump_copy_sent(&transfer, result, received);

	if (sent >= 0 && sent < (ssize_t)received) {
		pump_copy_hold(&transfer, bytes_of(worker, number) + sent, received - (size_t)sent);
	}
	journal_close(journal_of(worker, number));
	if (received < LANE_BYTES) {
		pump_copy_was_short(&transfer);
	} else {
		transfer.session->batch |= (uint8_t)(BATCH_WIDE << transfer.from);
	}
}

static void send_all(struct worker *worker)
{
	int results[BATCH_CALLS_MAX];

	for (uint32_t i = 0; i < worker->lane_count; i++) {
		const uint32_t received = worker->lane[i].received;

		if (received > 0) {
			struct transfer transfer = transfer_of_lane(worker, i);

			transfer_send_at_once(&transfer, received);
			batch_send(worker->batch, i, transfer.record->fd[transfer.to],
				bytes_of(worker, i), received);
		}
	}
	stretch();
	batch_run(worker->batch, results);
	stretch();
	for (uint32_t i = 0; i < worker->lane_count; i++) {
		if (worker->lane[i].received > 0) {
			settle(worker, i, results[i]);
		}
	}
}

void pump_batch_run(struct worker *worker)
{
	const uint32_t count = worker->lane_count;

	if (count == 0) {
		return;
	}
	/* Each may have to leave its bytes behind. */
	if (count >= worker->setup.batch_min && chunks_available(worker) >= count) {
		receive_all(worker);
		send_all(worker);
	}
	for (uint32_t i = 0; i < count; i++) {
		worker->sessions[worker->lane[i].index].batch &= (uint8_t)~BATCH_ADDED;
	}
	worker->lane_count = 0;
	for (uint32_t i = 0; i < count; i++) {
		session_resume(worker, worker->lane[i].index);
	}
}
