#include "data/sweep.h"

#include "data/adopt.h"
#include "data/connector.h"
#include "data/worker.h"

enum {
	REVIEW_SPREAD_MS = 1000,
	SESSIONS_PER_BEAT = 16,
};

static const uint64_t IDLE_ENOUGH_NS = 1000 * 1000000ULL;
static const uint64_t MS_NS = 1000000;

static bool is_gone(const struct session *session)
{
	return session->phase == SESSION_FREE || session->phase == SESSION_DEAD;
}

/*
 * To go over hundreds of thousands in one turn may take longer than a turn may: who gets on with it
 * does not hang.
 */
static void beat(struct worker *worker, uint32_t index)
{
	if (index % SESSIONS_PER_BEAT == 0) {
		counter_add(&worker_state(worker)->heartbeat, 1);
	}
}

void sweep_cut_all(struct worker *worker, enum close_reason reason)
{
	for (uint32_t index = 0; index < worker->used; index++) {
		beat(worker, index);
		if (!is_gone(&worker->sessions[index])) {
			session_cut(worker, index, reason);
		}
	}
}

/* One that only waits for the backend to answer has lost nothing yet: it goes to another one. */
void sweep_cut(struct worker *worker, uint32_t slot, enum close_reason reason)
{
	for (uint32_t index = 0; index < worker->used; index++) {
		const struct session *session = &worker->sessions[index];
		const struct session_record *record = &worker->records[index];

		beat(worker, index);
		if (session->phase == SESSION_INHERITED && record->slot == slot) {
			adopt_session(worker, index); /* which may take it to another backend */
		}
		if (is_gone(session) || record->slot != slot) {
			continue;
		}
		if (session->phase == SESSION_CONNECTING) {
			connector_move_on(worker, index);
		} else {
			session_cut(worker, index, reason);
		}
	}
}

void sweep_cut_idle(struct worker *worker, uint32_t slot, enum close_reason reason)
{
	for (uint32_t index = 0; index < worker->used; index++) {
		const struct session *session = &worker->sessions[index];

		beat(worker, index);
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
