/*
 * The private half of a session: what can be made again from the kernel and the record.
 *
 * A session is one accepted client connection with its backend connection. Its lasting half is
 * the session_record of the same index in shared memory (descriptors, identities, byte counts);
 * here is what the worker knows about readiness, deadlines and the phase it is in. Neither half
 * holds a pointer, and no session keeps one into a snapshot.
 *
 * Owner and thread: the worker, for all of it.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "data/busy_poll.h"
#include "model/session_record.h"
#include "model/slot.h"

struct sockaddr_any;
struct worker;

/* Once open for so long, a backend has proved itself and a session is worth its cookies. */
static const uint64_t SESSION_AGED_NS = 1000 * 1000000ULL;

/* Zero is free, so a record that nobody set up cannot pass for a session. */
enum session_phase {
	SESSION_FREE = 0,
	SESSION_WAITING, /* all backends were tried, or none may be now: waits for its next try */
	SESSION_CONNECTING, /* connect() is under way; nothing of the client has been read */
	SESSION_OPEN,       /* bytes move */
	SESSION_LINGERING,  /* all was said; input is thrown away until both sides have ended */
	SESSION_RESETTING,  /* one side is to be reset once it has acknowledged what it was sent */
	SESSION_DEAD,       /* closed in this turn; its index is free from the next turn on */
	SESSION_INHERITED,  /* of the worker process before this one: to be proven first */
};

/* What is known of one socket. */
enum side_flag {
	SIDE_READABLE = 1 << 0, /* recv() may give something: no EAGAIN since the last event */
	SIDE_WRITABLE = 1 << 1, /* send() may take something */
	SIDE_HUNG = 1 << 2,     /* the peer has ended its half (EPOLLRDHUP) */
	SIDE_BROKEN = 1 << 3,   /* an error was reported: EPOLLERR or EPOLLHUP */
	SIDE_URGENT = 1 << 4,   /* urgent data was seen: a short read proves nothing any more */
	SIDE_EOF = 1 << 5,      /* its FIN has been read */
	SIDE_RESET = 1 << 6,    /* it was reset, or it failed for good */
};

/* What epoll is to tell of one socket, besides its end and its failure. */
enum watch {
	WATCH_INPUT = 1 << 0,  /* bytes, urgent ones too; not while they would only wait here */
	WATCH_OUTPUT = 1 << 1, /* room for more, once there was none */
};

/* How it stands with the batches that move small messages together (pump_batch.h). */
enum session_batch {
	BATCH_ADDED = 1 << 0, /* it is in the present one */
	BATCH_WIDE = 1 << 1,  /* << side: the last read from there would not have fitted a lane */
};

/* What happens once in a session: reported to control about its backend, or noted here. */
enum told {
	TOLD_SUCCESS = 1 << 0,
	TOLD_RESET = 1 << 1,
	TOLD_END = 1 << 2, /* that a direction has ended: whose fault, and another time limit */
};

/* How the bytes of a direction move. */
enum pump_mode {
	PUMP_COPY = 0, /* recv and send through the worker's buffer */
	PUMP_SPLICE,   /* through a pipe */
};

/* How a direction has ended; zero is: it has not. */
enum direction_end {
	DIRECTION_RUNNING = 0,
	DIRECTION_ENDED, /* EOF was passed on as FIN, after the last byte */
	DIRECTION_RESET, /* the source was reset and all that it had sent is delivered */
	DIRECTION_CUT,   /* the destination takes no more: what comes is thrown away */
};

/* One direction, named by the side it comes from. */
struct direction {
	uint32_t held;   /* bytes consumed and not yet handed over: in the chunk or the pipe */
	uint8_t mode;    /* enum pump_mode */
	uint8_t end;     /* enum direction_end */
	uint16_t streak; /* copy: KiB of large reads in a row; splice: small ones */
};

struct session {
	uint64_t active_ns;       /* when a byte last moved */
	uint64_t limit_ns;        /* of all phases but SESSION_OPEN: when the phase is over */
	uint32_t next;            /* in the worker's free, ready or dead list; RECORD_NONE: none */
	uint32_t attempt;         /* index of its struct attempt, or RECORD_NONE */
	uint32_t unread;          /* bytes that the kernel held for slow readers at the last look */
	uint8_t phase;            /* enum session_phase */
	uint8_t queued;           /* whether it is in the ready list */
	uint8_t by;               /* enum closed_by: who ended it, as far as known */
	uint8_t reason;           /* enum close_reason */
	uint8_t side[SIDE_COUNT]; /* enum side_flag */
	uint8_t watch[SIDE_COUNT]; /* enum watch */
	uint8_t aged;              /* whether it has been open for a second */
	uint8_t told;              /* enum told */
	uint8_t claimed;           /* whether it counts against the listener's max_connections */
	uint8_t undelayed;         /* whether the backend's socket has TCP_NODELAY */
	uint8_t batch;             /* enum session_batch */
	struct busy_poll_talk talk;
	uint32_t opened_ms; /* monotonic, modulo 2^32: when the backend was connected */
	struct direction direction[SIDE_COUNT];
};

static_assert(sizeof(struct session) <= 64, "the private half of a session is one cache line");

/* When a young session comes of age: at the latest a second from now. */
uint64_t session_of_age_ns(const struct worker *worker, const struct session *session);

static inline enum side other_side(enum side side)
{
	return side == SIDE_CLIENT ? SIDE_BACKEND : SIDE_CLIENT;
}

/*
 * Takes over an accepted socket (owned from here on, also on failure) and starts to connect.
 * `address` is what accept() gave, of family AF_UNIX for a local client.
 */
void session_accept(struct worker *worker, uint32_t listener, int fd,
	const struct sockaddr_any *address, bool claimed);

/* What epoll said about one of its sockets; `tag` is what worker_watch() gave it. */
void session_on_event(
	struct worker *worker, uint32_t index, enum side side, uint32_t tag, uint32_t events);

/* Its deadline has come. */
void session_on_deadline(struct worker *worker, uint32_t index);

/* Goes on with a session that had used up its share of a turn. */
void session_resume(struct worker *worker, uint32_t index);

/*
 * The connect succeeded: bytes may move from now on. Called by the connector.
 */
void session_opened(struct worker *worker, uint32_t index);

/* Ends it at once with a reset to both sides: by the proxy, for `reason`. */
void session_cut(struct worker *worker, uint32_t index, enum close_reason reason);

/*
 * Ends it: closes both sockets, settles counters, gives the record back at the end of the turn.
 * `resets` are the sides (1 << SIDE_CLIENT, 1 << SIDE_BACKEND) whose close is a reset.
 */
void session_close(struct worker *worker, uint32_t index, unsigned resets);

/* Says who ended the session and why; only the first word counts. */
void session_blame(struct session *session, enum closed_by by, enum close_reason reason);
