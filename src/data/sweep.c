#include "data/sweep.h"

#include "data/worker.h"

enum { REVIEW_SPREAD_MS = 1000 };

static const uint64_t IDLE_ENOUGH_NS = 1000 * 1000000ULL;
static const uint64_t MS_NS = 1000000;

void sweep_cut(struct worker *worker, uint32_t slot, enum close_reason reason)
{
	for (uint32_t index = 0; index < worker->used; index++) {
		const uint8_t phase = worker->sessions[index].phase;

		if (phase != SESSION_FREE && phase != SESSION_DEAD &&
			(slot == RECORD_NONE || worker->records[index].slot == slot)) {
			session_cut(worker, index, reason);
		}
	}
}

void sweep_cut_idle(struct worker *worker, uint32_t slot, enum close_reason reason)
{
	for (uint32_t index = 0; index < worker->used; index++) {
		const struct session *session = &worker->sessions[index];

		if (session->phase == SESSION_OPEN && worker->records[index].slot == slot &&
			worker->now_ns - session->active_ns >= IDLE_ENOUGH_NS) {
			session_cut(worker, index, reason);
		}
	}
}

/*
 * A session looks at its listener's timeouts when its deadline comes, which may be an hour from
 * now, or never. Spread over a second, since to look takes system calls.
 */
void sweep_review(struct worker *worker)
{
	for (uint32_t index = 0; index < worker->used; index++) {
		const struct session *session = &worker->sessions[index];

		if (session->phase == SESSION_OPEN && session->aged) {
			deadlines_set(&worker->deadlines, index,
				worker->now_ns + index % REVIEW_SPREAD_MS * MS_NS);
		}
	}
}
