/*
 * The listening sockets of a worker, as they must outlive its process.
 *
 * Each worker has a table of these in shared memory, and the table is all there is: the worker
 * reads the descriptors from it. A successor finds every listener in it, with whatever waits in
 * the queues.
 *
 * Owner:    of a free record control (or main at the start), which fills it in and stores the
 *           state last; from then on the worker, until it stores LISTEN_FREE again. Control alone
 *           changes `listener` (a reload may give the same address to another name) and `flags`.
 * Order:    on the way in: all fields, then `state` (release). On the way out: LISTEN_CLOSING,
 *           close(), LISTEN_FREE. So a record that is open never names a descriptor that has been
 *           given to somebody else; one that is closing may, and its cookie tells.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdint.h>

enum listen_state {
	LISTEN_FREE = 0,
	LISTEN_OPEN,
	LISTEN_REFUSING, /* takes no new connection; what is queued is still served */
	LISTEN_CLOSING,  /* about to be closed, or closed */
};

enum listen_flag {
	LISTEN_LOCAL = 1 << 0,   /* a UNIX socket, shared with the other workers by dup() */
	LISTEN_RETIRED = 1 << 1, /* a reload has taken it out: to be emptied and closed */
};

struct listen_record {
	_Atomic uint32_t state;    /* enum listen_state; stored last */
	int32_t fd;                /* never close-on-exec */
	_Atomic uint32_t listener; /* index of its listener_entry */
	_Atomic uint32_t flags;    /* enum listen_flag */
	uint64_t cookie;           /* SO_COOKIE */
	uint64_t quiet_since_ns;   /* LISTEN_REFUSING: since when its queue has been empty */
};

static_assert(sizeof(struct listen_record) == 32, "two records share a cache line");

static inline enum listen_state listen_record_state(const struct listen_record *record)
{
	return (enum listen_state)atomic_load_explicit(&record->state, memory_order_acquire);
}

/* Whether it has a descriptor that clients may be waiting on. */
static inline int listen_record_is_live(const struct listen_record *record)
{
	const enum listen_state state = listen_record_state(record);

	return state == LISTEN_OPEN || state == LISTEN_REFUSING;
}

static inline uint32_t listen_record_flags(const struct listen_record *record)
{
	return atomic_load_explicit(&record->flags, memory_order_acquire);
}

/* Fills in a free record. The descriptor belongs to the table from here on. */
void listen_record_open(
	struct listen_record *record, int fd, uint32_t listener, uint32_t flags, uint64_t cookie);

static inline void listen_record_set_state(struct listen_record *record, enum listen_state state)
{
	atomic_store_explicit(&record->state, (uint32_t)state, memory_order_release);
}
