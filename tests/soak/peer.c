#include "peer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 256 * 1024, READS_PER_STEP = 8 };

bool stage_init(
	struct stage *stage, enum side side, struct tally *tally, uint32_t capacity, uint64_t seed)
{
	*stage = (struct stage){.side = side,
		.tally = tally,
		.capacity = capacity,
		.free_list = UINT32_MAX,
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
	rng_init(&stage->rng, seed);
	stage->peers = calloc(capacity, sizeof stage->peers[0]);
	if (stage->epoll_fd < 0 || stage->peers == NULL || !heap_init(&stage->heap, capacity)) {
		(void)fprintf(stderr, "torture: %s\n", strerrordesc_np(errno));
		return false;
	}
	return true;
}

void stage_free(struct stage *stage)
{
	for (uint32_t i = 0; i < stage->used; i++) {
		if (stage->peers[i].fd >= 0) {
			(void)close(stage->peers[i].fd);
		}
	}
	heap_free(&stage->heap);
	free(stage->peers);
	(void)close(stage->epoll_fd);
}

struct peer *stage_add(struct stage *stage, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
	uint32_t index = stage->free_list;
	struct peer *peer;

	if (index == UINT32_MAX && stage->used == stage->capacity) {
		(void)close(fd);
		return NULL;
	}
	if (index == UINT32_MAX) {
		index = stage->used++;
	} else {
		stage->free_list = stage->peers[index].next_free;
	}
	peer = &stage->peers[index];
	*peer = (struct peer){.fd = fd,
		.class = CLASS_COUNT,
		.end_ns = NEVER,
		.wake_ns = NEVER,
		.since_ns = stage->now_ns,
		.moved_ns = stage->now_ns};
	event.data.u32 = index;
	if (epoll_ctl(stage->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		stage_remove(stage, peer, true);
		return NULL;
	}
	return peer;
}

void stage_remove(struct stage *stage, struct peer *peer, bool reset)
{
	const struct linger linger = {.l_onoff = 1};

	if (reset) {
		(void)setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	}
	(void)close(peer->fd);
	heap_set(&stage->heap, stage_index(stage, peer), NEVER);
	peer->fd = -1;
	peer->next_free = stage->free_list;
	stage->free_list = stage_index(stage, peer);
}

uint32_t stage_between(struct stage *stage, uint32_t low, uint32_t high)
{
	return high <= low ? low : low + rng_below(&stage->rng, high - low + 1);
}

void peer_finish(struct peer *peer)
{
	peer->send.bytes = 0;
	peer->out.target = peer->out.position;
	peer->out.ending = true;
}

/* The next burst, unless the last one is still on its way. */
static void refill(const struct stage *stage, struct peer *peer)
{
	struct out_flow *out = &peer->out;

	if (peer->send.bytes == 0 || stage->now_ns < peer->send.next_ns) {
		return;
	}
	peer->send.next_ns = stage->now_ns + peer->send.every_ms * NS_PER_MS;
	if (out->position == out->target) {
		out->target += peer->send.bytes;
	}
	if (peer->limit > 0 && out->target >= peer->limit) {
		out->target = peer->limit;
		out->ending = true;
		peer->send.bytes = 0;
	}
}

void peer_send(struct stage *stage, struct peer *peer)
{
	enum out_result result;

	refill(stage, peer);
	if (!peer->writable) {
		return;
	}
	result = out_flow_pump(
		&peer->out, peer->fd, &stage->tally->count[stage->side][COUNT_SENT_BYTES]);
	if (result != OUT_DONE) {
		peer->writable = false;
	}
	if (result == OUT_FAILED) {
		peer->failed = true;
		peer->errno_of = (uint8_t)errno;
		peer->readable = true;
	}
}

static enum peer_news on_fin(struct peer *peer)
{
	peer->readable = false;
	switch (in_flow_end(&peer->in)) {
	case END_IN_ORDER:
		peer->ended = true;
		return peer->failed ? NEWS_RESET : NEWS_END;
	case END_TOO_EARLY:
		/* Who has heard of a reset by sending reads it as an end. */
		return peer->failed ? NEWS_RESET : NEWS_CUT;
	case END_WRONG:
		break;
	}
	return NEWS_WRONG;
}

/* NEWS_NONE with peer->readable still set means that there may be more. */
static enum peer_news read_once(struct stage *stage, struct peer *peer)
{
	static uint8_t buffer[READ_BYTES];
	size_t wanted = sizeof buffer;
	ssize_t n;

	if (peer->in.prefix_got < peer->in.prefix_length) {
		wanted = (size_t)(peer->in.prefix_length - peer->in.prefix_got);
	} else if (peer->read.bytes > 0 && peer->read.bytes < wanted) {
		wanted = peer->read.bytes;
	}
	n = recv(peer->fd, buffer, wanted, MSG_DONTWAIT);
	if (n == 0) {
		return on_fin(peer);
	}
	if (n > 0) {
		stage->tally->count[stage->side][COUNT_CHECKED_BYTES] += (uint64_t)n;
		peer->moved_ns = stage->now_ns;
		return in_flow_feed(&peer->in, buffer, (size_t)n) == IN_WRONG ? NEWS_WRONG
									      : NEWS_NONE;
	}
	if (errno == EAGAIN) {
		peer->readable = false;
	} else if (errno != EINTR) {
		peer->errno_of = (uint8_t)errno;
		return NEWS_RESET;
	}
	return NEWS_NONE;
}

static bool may_read(const struct stage *stage, const struct peer *peer)
{
	const bool unknown =
		peer->class == CLASS_COUNT && peer->in.prefix_got == peer->in.prefix_length;

	return peer->readable && !peer->ended && !unknown && stage->now_ns >= peer->read.next_ns;
}

enum peer_news peer_receive(struct stage *stage, struct peer *peer)
{
	/* A stream that has ended tells nothing more; the other one does by failing. */
	enum peer_news news = peer->failed && peer->ended ? NEWS_RESET : NEWS_NONE;

	for (int i = 0; i < READS_PER_STEP && news == NEWS_NONE && may_read(stage, peer); i++) {
		news = read_once(stage, peer);
		if (peer->read.bytes > 0) {
			peer->read.next_ns = stage->now_ns + peer->read.every_ms * NS_PER_MS;
		}
	}
	return news;
}

static void blame_bytes(struct stage *stage, const struct peer *peer)
{
	static const enum count counts[] = {
		[FAULT_DAMAGED] = COUNT_DAMAGED,
		[FAULT_DISPLACED] = COUNT_DISPLACED,
		[FAULT_STRANGER] = COUNT_STRANGERS,
	};
	const struct finding finding = in_flow_diagnose(&peer->in);
	char hex[2 * 16 + 1] = "";

	for (uint8_t i = 0; i < 16 && i < peer->in.tail_length; i++) {
		(void)snprintf(hex + (size_t)2 * i, 3, "%02x", peer->in.tail[i]);
	}
	tally_error(stage->tally, stage->side, counts[finding.fault],
		(enum session_class)peer->class, peer->session,
		"at %" PRIu64 ": session %" PRIu32 " direction %" PRIu32 " position %" PRIu64
		", bytes %s",
		peer->in.position, finding.key >> 1, finding.key & 1, finding.position, hex);
}

void peer_blame(struct stage *stage, const struct peer *peer, enum peer_news news)
{
	const enum session_class class = (enum session_class)peer->class;

	if (news == NEWS_WRONG) {
		blame_bytes(stage, peer);
	} else {
		tally_error(stage->tally, stage->side, news == NEWS_CUT ? COUNT_CUT : COUNT_RESET,
			class, peer->session,
			"in %" PRIu64 " (tail %u), out %" PRIu64 " of %" PRIu64 "%s, %s",
			peer->in.position, peer->in.tail_length, peer->out.position,
			peer->out.target, peer->out.finished ? " and FIN" : "",
			news == NEWS_CUT ? "end" : strerrordesc_np(peer->errno_of));
	}
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

void peer_plan(struct stage *stage, struct peer *peer)
{
	uint64_t when = earlier(peer->end_ns, peer->wake_ns);

	if (peer->send.bytes > 0) {
		when = earlier(when, peer->send.next_ns);
	}
	if ((peer->readable && !peer->ended) || peer->failed) {
		when = earlier(when, peer->read.next_ns);
	}
	heap_set(&stage->heap, stage_index(stage, peer), when);
}
