/*
 * What must outlive the worker process of one session: two cache lines of shared memory.
 *
 * No pointer, fixed size, one version number for all of them in the header of the mapping. Each
 * word has one writer, the worker that owns the session by its index. The order of stores is the
 * contract with whoever takes the session over: fill in, check word, fence, `state`; on the way
 * out `state` = closing, fence, close both, fence, `state` = free. So a record that is live never
 * names a descriptor that has been given to somebody else.
 *
 * The byte counts are stream positions: moved[d] is how many bytes of direction d were handed to
 * the kernel on the far side. Bytes consumed and not yet handed over lie in the direction's pipe
 * or chunk, or for a moment in a receive buffer or lane of the worker, whose journal names them.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/array.h"
#include "model/alternate.h"

/* Of all records in shared memory: docs/survival.md says when it is counted up. */
enum { RECORD_VERSION = ONLY_STANDARD(4) ONLY_ALTERNATE(1004) };

enum record_state {
	RECORD_FREE = 0,
	RECORD_CONNECTING, /* nothing of the client has been consumed */
	RECORD_OPEN,
	RECORD_CLOSING,
};

/* The two ends of a session, and the two directions by the end they start from. */
enum side { SIDE_CLIENT = 0, SIDE_BACKEND = 1, SIDE_COUNT = 2 };

enum record_flag {
	RECORD_LOCAL_CLIENT = 1 << 0,  /* the client came over a UNIX socket */
	RECORD_LOCAL_BACKEND = 1 << 1, /* the backend is a UNIX socket */
	RECORD_RESET_CLIENT = 1 << 2,  /* the client's reset has been read: its end is no FIN */
	RECORD_RESET_BACKEND = 1 << 3,
	RECORD_DISCARD_CLIENT = 1 << 4, /* what the client sends is thrown away */
	RECORD_DISCARD_BACKEND = 1 << 5,
	RECORD_RESETTING = 1 << 6,   /* closing is to end in a reset */
	RECORD_LINGERING = 1 << 7,   /* all was said; what still comes is thrown away */
	RECORD_CLAIMED = 1 << 8,     /* counts against the listener's max_connections */
	RECORD_GONE_CLIENT = 1 << 9, /* its socket is closed, or about to be: the number is void */
	RECORD_GONE_BACKEND = 1 << 10,
	RECORD_FLAG_COUNT = 11, /* the bits above guard these */
};

static const uint32_t RECORD_NONE = UINT32_MAX; /* no slot, no chunk */
static const uint16_t PIPE_NONE = UINT16_MAX;

struct session_record {
	_Alignas(CACHE_LINE) _Atomic uint32_t state; /* enum record_state; stored last */
	uint32_t generation;                         /* of the index: also in the epoll data */
	ONLY_ALTERNATE(uint32_t mark; uint32_t slot;)
	uint64_t check;              /* see session_record_valid() */
	int32_t fd[SIDE_COUNT];      /* -1: none */
	uint64_t cookie[SIDE_COUNT]; /* SO_COOKIE; 0 until the session is a second old */
	uint32_t listener;
	uint32_t pool;
	ONLY_STANDARD(uint32_t slot;)
	uint16_t flags;             /* enum record_flag: session_record_set() */
	uint8_t attempts;           /* how often it has been adopted and not yet pumped */
	uint8_t tries;              /* connects that were begun */
	uint64_t started_ns;        /* monotonic: accepted */
	uint64_t moved[SIDE_COUNT]; /* bytes handed over, by the side they came from */
	uint16_t
		preamble[SIDE_COUNT]; /* bytes put in front of, or taken from, that side's stream */
	uint32_t chunk[SIDE_COUNT];   /* index of the worker's chunk with left-over bytes */
	uint8_t client_address[18];   /* IPv6 (or mapped IPv4) and port, as it was at accept */
	uint16_t pipe[SIDE_COUNT];    /* index of the worker's pipe, or UINT16_MAX */
	uint8_t by;                   /* enum closed_by; of the two once it is RECORD_CLOSING */
	uint8_t reason;               /* enum close_reason */
	/* Of the connect that succeeded, rounded up; 0: none has. A version before rounded down. */
	uint32_t connect_us;
};

static_assert(sizeof(struct session_record) == 128, "a session's record is two cache lines");

/*
 * The check words: of a session that has no backend, over the index and what does not change then;
 * of one that connects to its backend, over the backend's side, too; and of one that is open. All
 * contain the index, so a record that was copied over another one is not valid. No two are alike,
 * so they tell what the state was when that word alone is damaged.
 */
uint64_t session_record_check_client(const struct session_record *record, uint32_t index);
uint64_t session_record_check_try(const struct session_record *record, uint32_t index);
uint64_t session_record_check(const struct session_record *record, uint32_t index);

/*
 * Finishes the step to an open session: its check word is stored first, and its state then. Only
 * for whoever takes over, before anything else.
 */
void session_record_settle(struct session_record *record, uint32_t index);

/*
 * Whether the check word is that of the record's state, or of the step to the next one: the two
 * words that are stored when a session comes of age are not stored at once. The flags have to be
 * as they were stored, too.
 */
bool session_record_valid(const struct session_record *record, uint32_t index);

/*
 * Whether a valid record speaks for the backend's socket: one that is open always does, one that
 * is connecting once its check word says so.
 */
bool session_record_has_backend(const struct session_record *record, uint32_t index);

/*
 * The flags change while a session is open, so they are not under the check word. Their own guard
 * stands in the same 16 bits, which are stored at once: a flag that was never set would throw
 * bytes away, or let a cut stream look complete.
 */
uint16_t session_record_flags(unsigned flags);

static inline void session_record_set(struct session_record *record, unsigned flags)
{
	record->flags = session_record_flags(record->flags | flags);
}

static inline void session_record_clear(struct session_record *record, unsigned flags)
{
	record->flags = session_record_flags(record->flags & ~flags);
}

/* Makes it invalid for good: what it says contradicts something else. */
static inline void session_record_spoil(struct session_record *record)
{
	record->flags = (uint16_t)(record->flags ^ 1U << RECORD_FLAG_COUNT);
}

/* The descriptor of that side, or -1 when it has none any more. */
static inline int session_record_fd(const struct session_record *record, enum side side)
{
	const unsigned gone = side == SIDE_CLIENT ? RECORD_GONE_CLIENT : RECORD_GONE_BACKEND;

	return (record->flags & gone) != 0 ? -1 : record->fd[side];
}

/*
 * Whose bytes a worker's receive buffer holds, or one of its lanes: the small buffers of directions
 * that are moved together. `key` is stored last when it opens and first when it closes; 0 is
 * closed. The check word guards `position`, the one field whose damage would send wrong bytes, and
 * the place that the journal stands for.
 */
struct journal {
	_Alignas(CACHE_LINE) uint64_t position; /* in its direction, of the buffer's first byte */
	uint64_t check;
	_Atomic uint64_t key; /* journal_key() */
};

uint64_t journal_key(uint32_t index, enum side from);

/* `place` is what it is the journal of: JOURNAL_BUFFER, or JOURNAL_LANE and the lane's number. */
enum { JOURNAL_BUFFER = 0, JOURNAL_LANE = 1 };
uint64_t journal_check(uint64_t key, uint64_t position, uint32_t place);

/* A chunk's header; its bytes lie elsewhere in the mapping (shm_chunk_bytes()). */
struct chunk {
	ONLY_ALTERNATE(uint32_t owner;)
	uint64_t position; /* in its direction, of the chunk's first byte */
	_Atomic uint32_t length;
	ONLY_STANDARD(uint32_t owner;) /* session index << 1 | side, or RECORD_NONE */
};

/*
 * A pipe's two ends; they survive the worker with the bytes in them. Whose these are nothing but
 * the owner word says, so it has a check word, and so have the descriptors.
 */
struct pipe_record {
	ONLY_ALTERNATE(uint32_t owner;)
	int32_t fd[2];                 /* read end, write end; -1: none */
	ONLY_STANDARD(uint32_t owner;) /* session index << 1 | side, or RECORD_NONE */
	uint32_t identity;             /* pipe_record_identity() */
	uint32_t check;                /* pipe_record_check(): only where a session owns it */
};

/* `inode` is pipe_inode() of the two descriptors. */
uint32_t pipe_record_identity(const struct pipe_record *pipe, uint32_t number, uint64_t inode);
uint32_t pipe_record_check(const struct pipe_record *pipe);
