#include "data/adopt_proof.h"

#include <errno.h>
#include <sys/socket.h>

#include "data/holder.h"
#include "data/pump.h"
#include "data/worker.h"
#include "os/pipe.h"
#include "os/stream.h"

enum { PROVEN = -1 };

/* One direction under proof. */
struct claim {
	struct worker *worker;
	uint32_t index;
	enum side from;
	struct session_record *record;
	struct direction *direction;
	const struct stream_position *source;
	const struct stream_position *destination;
	uint64_t consumed; /* stream position up to which the source has been read */
	uint64_t handed;   /* stream position up to which the destination has been given */
};

static uint32_t bytes_in_pipe(const struct claim *claim)
{
	const uint32_t number = claim->record->pipe[claim->from];

	return number == PIPE_NONE ? 0 : pipe_bytes(claim->worker->pipes[number].fd[0]);
}

/* The byte counts of metrics and access log follow what the kernel says. */
static void correct_counts(const struct claim *claim)
{
	struct worker *worker = claim->worker;
	struct session_record *record = claim->record;
	struct listener_counters *listener = worker_listener_counters(worker, record->listener);
	struct slot_counters *slot = worker_slot_counters(worker, record->slot);
	const uint64_t before = record->moved[claim->from];
	const uint64_t more = claim->handed > before ? claim->handed - before : 0;

	record->moved[claim->from] = claim->handed;
	if (claim->from == SIDE_CLIENT) {
		counter_add(&listener->received_bytes, more);
		counter_add(&slot->sent_bytes, more);
	} else {
		counter_add(&slot->received_bytes, more);
		counter_add(&listener->sent_bytes, more);
	}
}

/* A buffer and the position of its first byte. */
struct found {
	const uint8_t *bytes;
	uint64_t position;
	uint64_t size;
};

/* The journal names this direction, and its check word is right. */
static bool names(const struct journal *journal, uint64_t key, uint32_t place)
{
	return atomic_load_explicit(&journal->key, memory_order_relaxed) == key &&
		journal->check == journal_check(key, journal->position, place);
}

/* The buffer that held bytes of this direction when the worker process died; false: none did. */
static bool find_buffer(const struct claim *claim, struct found *ret)
{
	const struct worker *worker = claim->worker;
	const uint64_t key = journal_key(claim->index, claim->from);

	if (names(worker->journal, key, JOURNAL_BUFFER)) {
		*ret = (struct found){
			worker->receive_buffer, worker->journal->position, RECEIVE_BUFFER_BYTES};
		return true;
	}
	for (uint32_t i = 0; i < LANES_PER_WORKER; i++) {
		const struct journal *journal = &worker->lane_journals[i];

		if (names(journal, key, JOURNAL_LANE + i)) {
			*ret = (struct found){worker->lane_bytes + (size_t)i * LANE_BYTES,
				journal->position, LANE_BYTES};
			return true;
		}
	}
	return false;
}

static bool prove_chunk(const struct claim *claim, uint64_t need)
{
	const uint32_t number = claim->record->chunk[claim->from];
	const struct chunk *chunk;
	uint64_t length;

	if (number == RECORD_NONE || need > CHUNK_BYTES) {
		return false;
	}
	chunk = &claim->worker->chunks[number];
	length = atomic_load_explicit(&chunk->length, memory_order_relaxed);
	if (claim->handed < chunk->position || claim->handed - chunk->position > length ||
		length - (claim->handed - chunk->position) != need) {
		return false;
	}
	claim->direction->held = (uint32_t)need;
	return true;
}

/* Caught between recv() and send(): the bytes are still in the buffer. */
static bool prove_buffer(const struct claim *claim, uint64_t need)
{
	struct worker *worker = claim->worker;
	struct found found;

	if (!find_buffer(claim, &found) || claim->handed < found.position || need > CHUNK_BYTES ||
		claim->consumed - found.position > found.size || !chunk_available(worker)) {
		return false;
	}
	chunk_release(worker, claim->index, claim->from);
	chunk_fill(worker, claim->index, claim->from, claim->handed,
		found.bytes + (claim->handed - found.position), (uint32_t)need);
	claim->direction->held = (uint32_t)need;
	return true;
}

/* Sent while it was only looked at, and not yet consumed: that is done now. */
static bool consume_sent(const struct claim *claim, uint64_t excess)
{
	const int fd = claim->record->fd[claim->from];
	struct found found;

	if (!find_buffer(claim, &found) || claim->consumed < found.position ||
		claim->handed - found.position > found.size) {
		return false;
	}
	while (excess > 0) {
		const ssize_t n = recv(fd, NULL, excess, MSG_DONTWAIT | MSG_TRUNC);

		if (n <= 0) {
			return false;
		}
		excess -= (uint64_t)n;
	}
	return true;
}

/* The destination takes no more: what it was owed is void, the other direction goes on. */
static void cut(const struct claim *claim)
{
	session_record_set(claim->record,
		claim->from == SIDE_CLIENT ? RECORD_DISCARD_CLIENT : RECORD_DISCARD_BACKEND);
	pump_drop(claim->worker, claim->index, claim->from);
	claim->direction->end = DIRECTION_CUT;
}

static bool is_discarding(const struct claim *claim)
{
	const unsigned flag =
		claim->from == SIDE_CLIENT ? RECORD_DISCARD_CLIENT : RECORD_DISCARD_BACKEND;

	return (claim->record->flags & flag) != 0;
}

/* Returns PROVEN or the reason why not; *ret_from is raised where bytes were held. */
static int prove_direction(const struct claim *claim, enum continued_from *ret_from)
{
	const uint32_t in_pipe = bytes_in_pipe(claim);
	uint64_t need;

	if (is_discarding(claim)) {
		cut(claim);
		return PROVEN;
	}
	if (claim->destination->closed) {
		cut(claim);
		return PROVEN;
	}
	correct_counts(claim);
	claim->direction->held = in_pipe;
	if (claim->handed > claim->consumed) {
		return in_pipe == 0 && consume_sent(claim, claim->handed - claim->consumed)
			? PROVEN
			: LOST_UNPROVABLE;
	}
	need = claim->consumed - claim->handed;
	if (need == in_pipe) {
		if (in_pipe > 0) {
			claim->direction->mode = PUMP_SPLICE;
			*ret_from = CONTINUED_PIPE;
		}
		chunk_release(claim->worker, claim->index, claim->from);
		return PROVEN;
	}
	if (in_pipe > 0) {
		return LOST_UNPROVABLE; /* never in two places at once */
	}
	if (prove_chunk(claim, need)) {
		*ret_from = CONTINUED_CHUNK;
		return PROVEN;
	}
	if (prove_buffer(claim, need)) {
		*ret_from = CONTINUED_BUFFER;
		return PROVEN;
	}
	return LOST_UNPROVABLE;
}

static int prove_streams(struct worker *worker, uint32_t index, enum continued_from *ret_from)
{
	struct session_record *record = &worker->records[index];
	struct session *session = &worker->sessions[index];
	struct stream_position positions[SIDE_COUNT];
	int lost = PROVEN;

	for (int side = 0; side < SIDE_COUNT; side++) {
		if (stream_position_get(record->fd[side], side == SIDE_BACKEND, &positions[side]) <
			0) {
			return LOST_DAMAGED;
		}
		if (positions[side].reset) {
			/* Asking has consumed the error: from now on it reads as an orderly end. */
			session->side[side] |= SIDE_RESET;
			session_record_set(record,
				side == SIDE_CLIENT ? RECORD_RESET_CLIENT : RECORD_RESET_BACKEND);
		}
	}
	for (int from = 0; from < SIDE_COUNT && lost == PROVEN; from++) {
		const enum side to = other_side((enum side)from);
		const struct claim claim = {
			.worker = worker,
			.index = index,
			.from = (enum side)from,
			.record = record,
			.direction = &session->direction[from],
			.source = &positions[from],
			.destination = &positions[to],
			.consumed = positions[from].consumed -
				(from == SIDE_CLIENT ? record->preamble[SIDE_CLIENT] : 0U),
			.handed = positions[to].handed -
				(to == SIDE_BACKEND ? record->preamble[SIDE_BACKEND] : 0U),
		};

		lost = prove_direction(&claim, ret_from);
	}
	return lost;
}

/*
 * Bytes go from socket to pipe to socket, and there is nothing to prove. Only behind urgent data of
 * a TCP side they are copied: how many user memory held then, cannot be told.
 */
static int inherit_local(struct worker *worker, uint32_t index, enum continued_from *ret_from)
{
	struct session *session = &worker->sessions[index];
	struct found found;

	for (int from = 0; from < SIDE_COUNT; from++) {
		const struct claim claim = {
			.worker = worker,
			.index = index,
			.from = (enum side)from,
			.record = &worker->records[index],
			.direction = &session->direction[from],
		};

		session->direction[from].mode = PUMP_SPLICE;
		if (is_discarding(&claim)) {
			cut(&claim);
			continue;
		}
		if (claim.record->chunk[from] != RECORD_NONE || find_buffer(&claim, &found)) {
			return LOST_UNPROVABLE;
		}
		session->direction[from].held = bytes_in_pipe(&claim);
		if (session->direction[from].held > 0) {
			*ret_from = CONTINUED_PIPE;
		}
	}
	return PROVEN;
}

/* The sockets are those that the record means: a number may have been damaged, a cookie not too. */
static bool are_its_own(const struct session_record *record)
{
	for (int side = 0; side < SIDE_COUNT; side++) {
		const int fd = session_record_fd(record, (enum side)side);

		if (fd >= 0 && record->cookie[side] != 0 &&
			socket_cookie(fd) != record->cookie[side]) {
			return false;
		}
	}
	return true;
}

int adopt_prove(struct worker *worker, uint32_t index, enum continued_from *ret_from)
{
	const struct session_record *record = &worker->records[index];
	struct session *session = &worker->sessions[index];

	*ret_from = CONTINUED_WHOLE;
	if (!session_record_valid(record, index) || !are_its_own(record)) {
		return LOST_DAMAGED;
	}
	if ((record->flags & RECORD_RESET_CLIENT) != 0) {
		session->side[SIDE_CLIENT] |= SIDE_RESET;
	}
	if ((record->flags & RECORD_RESET_BACKEND) != 0) {
		session->side[SIDE_BACKEND] |= SIDE_RESET;
	}
	if ((record->flags & (RECORD_RESETTING | RECORD_LINGERING)) != 0) {
		return PROVEN;
	}
	if (session_record_fd(record, SIDE_CLIENT) < 0 ||
		session_record_fd(record, SIDE_BACKEND) < 0) {
		return LOST_DAMAGED;
	}
	if ((record->flags & (RECORD_LOCAL_CLIENT | RECORD_LOCAL_BACKEND)) != 0) {
		return inherit_local(worker, index, ret_from);
	}
	return prove_streams(worker, index, ret_from);
}

int adopt_prove_connecting(struct worker *worker, uint32_t index)
{
	const unsigned later = RECORD_GONE_CLIENT | RECORD_GONE_BACKEND | RECORD_DISCARD_CLIENT |
		RECORD_DISCARD_BACKEND | RECORD_RESET_BACKEND | RECORD_LINGERING;
	struct session_record *record = &worker->records[index];
	struct stream_position position;

	if (!session_record_valid(record, index) || (record->flags & later) != 0 ||
		record->moved[SIDE_CLIENT] != 0 || record->moved[SIDE_BACKEND] != 0) {
		return LOST_DAMAGED;
	}
	if ((record->flags & RECORD_LOCAL_CLIENT) != 0) {
		return PROVEN;
	}
	if (stream_position_get(record->fd[SIDE_CLIENT], false, &position) < 0 ||
		!stream_position_is_start(&position)) {
		return LOST_DAMAGED;
	}
	if (position.reset) { /* asking has consumed the error */
		worker->sessions[index].side[SIDE_CLIENT] |= SIDE_RESET;
		session_record_set(record, RECORD_RESET_CLIENT);
	}
	return PROVEN;
}
