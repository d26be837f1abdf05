#include "flow.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { PIECE_BYTES = 256 * 1024 };

/* Sends some bytes of anything; returns how many, 0 when blocked, -1 when failed. */
static ssize_t send_some(int fd, const void *bytes, size_t length, uint64_t *sent)
{
	ssize_t n;

	do {
		n = send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		return errno == EAGAIN ? 0 : -1;
	}
	*sent += (uint64_t)n;
	return n;
}

static ssize_t send_pattern(struct out_flow *flow, int fd, uint64_t *sent)
{
	static uint8_t piece[PIECE_BYTES];
	const uint64_t left = flow->target - flow->position;
	const size_t length = left < sizeof piece ? (size_t)left : sizeof piece;
	ssize_t n;

	pattern_fill(flow->key, flow->position, piece, length);
	n = send_some(fd, piece, length, sent);
	flow->position += n > 0 ? (uint64_t)n : 0;
	return n;
}

static ssize_t send_mark(struct out_flow *flow, int fd, uint64_t *sent)
{
	uint8_t mark[END_MARK_BYTES];
	ssize_t n;

	wire_end_mark(flow->key, flow->position, mark);
	n = send_some(fd, mark + flow->mark_sent, sizeof mark - flow->mark_sent, sent);
	flow->mark_sent = (uint8_t)(flow->mark_sent + (n > 0 ? n : 0));
	return n;
}

enum out_result out_flow_pump(struct out_flow *flow, int fd, uint64_t *sent)
{
	while (!flow->finished) {
		ssize_t n;

		if (flow->prefix_sent < flow->prefix_length) {
			n = send_some(fd, flow->prefix + flow->prefix_sent,
				(size_t)(flow->prefix_length - flow->prefix_sent), sent);
			flow->prefix_sent = (uint8_t)(flow->prefix_sent + (n > 0 ? n : 0));
		} else if (flow->position < flow->target) {
			n = send_pattern(flow, fd, sent);
		} else if (!flow->ending) {
			return OUT_DONE;
		} else if (flow->mark_sent < END_MARK_BYTES) {
			n = send_mark(flow, fd, sent);
		} else {
			flow->finished = true;
			return shutdown(fd, SHUT_WR) == 0 ? OUT_DONE : OUT_FAILED;
		}
		if (n <= 0) {
			return n == 0 ? OUT_BLOCKED : OUT_FAILED;
		}
	}
	return OUT_DONE;
}

/* Keeps bytes that are not the pattern's, as far as they fit. */
static enum in_result keep(struct in_flow *flow, const uint8_t *bytes, size_t length)
{
	const size_t room = sizeof flow->tail - flow->tail_length;
	const size_t part = length < room ? length : room;

	memcpy(flow->tail + flow->tail_length, bytes, part);
	flow->tail_length = (uint8_t)(flow->tail_length + part);
	return flow->tail_length == sizeof flow->tail ? IN_WRONG : IN_FINE;
}

enum in_result in_flow_feed(struct in_flow *flow, const uint8_t *bytes, size_t length)
{
	const size_t room = (size_t)(flow->prefix_length - flow->prefix_got);
	const size_t part = length < room ? length : room;
	size_t right;

	memcpy(flow->prefix + flow->prefix_got, bytes, part);
	flow->prefix_got = (uint8_t)(flow->prefix_got + part);
	bytes += part;
	length -= part;
	if (length == 0) {
		return IN_FINE;
	}
	if (flow->tail_length > 0) {
		return keep(flow, bytes, length);
	}
	right = pattern_match(flow->key, flow->position, bytes, length);
	flow->position += right;
	return right == length ? IN_FINE : keep(flow, bytes + right, length - right);
}

enum in_end in_flow_end(const struct in_flow *flow)
{
	uint8_t mark[END_MARK_BYTES];

	wire_end_mark(flow->key, flow->position, mark);
	if (flow->tail_length > sizeof mark || memcmp(flow->tail, mark, flow->tail_length) != 0) {
		return END_WRONG;
	}
	return flow->tail_length == sizeof mark ? END_IN_ORDER : END_TOO_EARLY;
}

struct finding in_flow_diagnose(const struct in_flow *flow)
{
	return pattern_diagnose(flow->key, flow->position, flow->tail, flow->tail_length);
}
