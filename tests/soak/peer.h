/*
 * One socket of the torture and what runs over it, the same for both sides: pacing, sending,
 * receiving, checking; and the stage, on which the peers of one process stand.
 *
 * Everything here belongs to the one thread of its process. Edge-triggered: a peer remembers what
 * its socket can do and tries until it cannot.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "flow.h"
#include "heap.h"
#include "tally.h"
#include "wire.h"

static const uint64_t NS_PER_MS = 1000000;
static const uint64_t NS_PER_S = 1000000000;
static const uint64_t NEVER = UINT64_MAX;

/* What a peer waits for between two steps. */
enum peer_news {
	NEWS_NONE,
	NEWS_END,   /* the other side's stream has ended in order; told once */
	NEWS_CUT,   /* it has ended before its end */
	NEWS_RESET, /* reset, or failed */
	NEWS_WRONG, /* it has brought what was not sent */
};

struct pace {
	uint32_t bytes; /* 0: none */
	uint32_t every_ms;
	uint64_t next_ns;
};

struct peer {
	int fd;           /* owned; -1: the peer is free */
	uint32_t session; /* 0: not known yet */
	uint8_t class;    /* enum session_class; CLASS_COUNT: not known yet */
	bool connecting;  /* client */
	bool readable;
	bool writable;
	bool failed;       /* sending did; what has come is read to its end */
	bool ended;        /* the other side's stream has ended in order */
	bool asked;        /* client: a request is under way */
	bool quitting;     /* client: ends after the present request */
	bool stalled;      /* was counted */
	uint8_t errno_of;  /* why it failed */
	struct pace send;  /* bursts of the pattern */
	struct pace read;  /* what is read at once; `bytes` 0: all there is */
	uint64_t end_ns;   /* when this side ends its stream, or resets; NEVER */
	uint64_t wake_ns;  /* when it has something else to do; NEVER */
	uint64_t limit;    /* bytes of the pattern after which it does; 0: none */
	uint64_t round;    /* requests */
	uint64_t need;     /* position of the in flow at which the present round is complete */
	uint64_t since_ns; /* of the request, of connect(), or of its FIN */
	uint64_t moved_ns; /* when a byte last came in */
	uint64_t worst_us; /* of the interval */
	uint64_t nonce;
	uint32_t next_free;
	struct in_flow in;
	struct out_flow out;
};

struct stage {
	enum side side;
	struct tally *tally; /* borrowed */
	int epoll_fd;        /* owned */
	uint64_t now_ns;
	struct rng rng;
	struct heap heap;   /* by peer */
	struct peer *peers; /* owned */
	uint32_t capacity;
	uint32_t used;
	uint32_t free_list;
	uint64_t stall_ns;
};

/* False, with a message on standard error, when the system does not give what is needed. */
bool stage_init(
	struct stage *stage, enum side side, struct tally *tally, uint32_t capacity, uint64_t seed);
void stage_free(struct stage *stage);

/* A peer for the socket, watched; NULL, with the socket closed, when there is no room. */
struct peer *stage_add(struct stage *stage, int fd);

/* Closes it, with a reset if wanted, and frees the peer. */
void stage_remove(struct stage *stage, struct peer *peer, bool reset);

static inline uint32_t stage_index(const struct stage *stage, const struct peer *peer)
{
	return (uint32_t)(peer - stage->peers);
}

/* Random, from `low` to `high`. */
uint32_t stage_between(struct stage *stage, uint32_t low, uint32_t high);

/* Takes what has come, up to the end of the prefix when it is not known who the peer is. */
enum peer_news peer_receive(struct stage *stage, struct peer *peer);

/* Sends what is due. A failure shows in what is received after it. */
void peer_send(struct stage *stage, struct peer *peer);

/* Stops sending the pattern: mark and FIN follow. */
void peer_finish(struct peer *peer);

/* Counts what is wrong with what came, or a reset, or a cut. */
void peer_blame(struct stage *stage, const struct peer *peer, enum peer_news news);

/* Sets its deadline anew: the next burst, read or end. */
void peer_plan(struct stage *stage, struct peer *peer);
