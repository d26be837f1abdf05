/*
 * The immutable view of listeners and pools that the data plane reads.
 *
 * Control builds a snapshot, publishes it, and never writes to it again. A reader borrows the
 * current one between two of its quiescent points; it must not keep the pointer across a return
 * to its event loop. What a session needs for longer than that are identities: the indexes of
 * its listener, pool and slot, which stay the same across snapshots.
 *
 * Owner:    the builder until snapshot_publish(), the store from then on; snapshot_reclaim()
 *           frees it once every reader has passed a quiescent point.
 * Threads:  snapshot_current() by any registered reader (model/rcu.h); all the rest by control.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"
#include "model/limits.h"

struct arena;
struct balance_algorithm; /* balance/balance.h */

enum on_unhealthy { ON_UNHEALTHY_KEEP, ON_UNHEALTHY_CLOSE };
enum proxy_protocol { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };

struct snapshot_backend {
	struct sockaddr_any address;
	uint32_t slot;            /* index of its slot in shared memory */
	uint32_t weight;          /* 1 to 65535 */
	uint32_t max_connections; /* 0: none */
	bool may_be_self;         /* a socket that connects there may meet itself */
};

/* A configured backend, whether it takes sessions or not: for those who show the pool. */
struct snapshot_member {
	uint32_t slot;
	uint32_t max_connections; /* 0: none */
	const char *address;      /* as configured: a name stays a name */
};

struct snapshot_pool {
	uint32_t id; /* index of its pool_entry in shared memory */
	const char *name;
	const char *algorithm_name;
	const struct balance_algorithm *algorithm;
	uint32_t retries;
	enum on_unhealthy on_unhealthy;
	enum proxy_protocol proxy_protocol;
	uint64_t max_buffered; /* of sockets to backends, in bytes; 0: as the listener has it */
	uint64_t connect_ns;
	uint64_t connect_total_ns;
	bool fallback;          /* none is healthy: these are all that may be tried at all */
	bool limited;           /* some backend has max_connections */
	uint32_t backend_count; /* 0: refuse */
	const struct snapshot_backend *backends;
	const void *schedule; /* what the algorithm prepared; its own type */
	uint32_t member_count;
	const struct snapshot_member *members; /* in the order of the configuration */
	bool leaving; /* no configuration names it; sessions that are being set up go on with it */
};

struct snapshot_listener {
	uint32_t id;   /* index of its listener_entry in shared memory */
	uint32_t pool; /* index of a pool_entry: snapshot_pool() */
	const char *name;
	const char *address;      /* as configured */
	uint32_t max_connections; /* 0: none */
	uint64_t max_buffered;    /* bytes in each kernel buffer; 0: the kernel's choice */
	bool leaving;             /* its sockets are being closed; what was queued is served */
};

struct snapshot {
	uint64_t version;      /* strictly increasing */
	uint64_t generation;   /* of the configuration it was built from */
	uint32_t keepalive_s;  /* of sockets towards backends; 0: off */
	uint64_t busy_poll_ns; /* for how long workers look before they sleep; 0: never */
	uint64_t coalesce_ns;  /* for how long busy ones let messages gather; 0: never */
	bool access_enabled;   /* sessions are logged: this share of them */
	double access_sample;
	struct arena *arena;     /* owned; holds the snapshot itself and all it points to */
	uint32_t listener_limit; /* one more than the highest id; entries may be NULL */
	uint32_t pool_limit;
	const struct snapshot_listener **listeners; /* by id */
	const struct snapshot_pool **pools;         /* by id */
	struct snapshot *older; /* the store's: the one retired before this one */
};

struct snapshot_store {
	void *current;            /* struct snapshot *; swapped by rcu_swap() */
	struct snapshot *retired; /* no longer current, not yet freed; control only */
};

void snapshot_store_init(struct snapshot_store *store);

/* Frees everything. No reader may be left. */
void snapshot_store_done(struct snapshot_store *store);

/* NULL only before the first publication. Valid until the caller's next quiescent point. */
const struct snapshot *snapshot_current(const struct snapshot_store *store);

/* Takes ownership of `next`. The one that was current is freed by snapshot_reclaim(). */
void snapshot_publish(struct snapshot_store *store, struct snapshot *next);

/*
 * Waits for a grace period and frees what nobody can see any more. Blocks for at most as long as
 * the slowest reader's turn. Does nothing when nothing was published since the last call.
 */
void snapshot_reclaim(struct snapshot_store *store);

/* NULL when there is none of that id. */
const struct snapshot_pool *snapshot_pool(const struct snapshot *snapshot, uint32_t id);
const struct snapshot_listener *snapshot_listener(const struct snapshot *snapshot, uint32_t id);

/* Frees one that was never published. NULL is allowed. */
void snapshot_free(struct snapshot *snapshot);
