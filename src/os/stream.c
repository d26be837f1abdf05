#include "os/stream.h"

/* Not <netinet/tcp.h>, which lacks the counters of bytes and cannot stand beside this one. */
#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* As tcpi_state has them. */
enum tcp_state {
	STATE_ESTABLISHED = 1,
	STATE_SYN_SENT,
	STATE_SYN_RECV,
	STATE_FIN_WAIT1,
	STATE_FIN_WAIT2,
	STATE_TIME_WAIT,
	STATE_CLOSE,
	STATE_CLOSE_WAIT,
	STATE_LAST_ACK,
	STATE_LISTEN,
	STATE_CLOSING,
};

#define STATE_BIT(state) (1U << (state))

static const unsigned FIN_RECEIVED = STATE_BIT(STATE_CLOSE_WAIT) | STATE_BIT(STATE_LAST_ACK) |
	STATE_BIT(STATE_CLOSING) | STATE_BIT(STATE_TIME_WAIT);
static const unsigned FIN_SENT = STATE_BIT(STATE_FIN_WAIT1) | STATE_BIT(STATE_FIN_WAIT2) |
	STATE_BIT(STATE_LAST_ACK) | STATE_BIT(STATE_CLOSING) | STATE_BIT(STATE_TIME_WAIT);
static const unsigned HANDSHAKE = STATE_BIT(STATE_SYN_SENT) | STATE_BIT(STATE_SYN_RECV);

/*
 * How often to look again while the kernel receives. One look takes a microsecond or two, and the
 * peer can go on no longer than the windows last.
 */
enum { LOOKS_MAX = 10000 };

struct look {
	struct tcp_info info;
	int in;
	int out;
};

static int read_info(int fd, struct tcp_info *ret)
{
	socklen_t length = sizeof *ret;

	memset(ret, 0, sizeof *ret);
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, ret, &length) < 0) {
		return errno == ENOPROTOOPT || errno == ENOTSOCK ? -EOPNOTSUPP : -errno;
	}
	if (length < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(uint64_t)) {
		return -EOPNOTSUPP; /* a kernel before 4.1 */
	}
	return ret->tcpi_state == STATE_LISTEN ? -EINVAL : 0;
}

static bool same(const struct tcp_info *a, const struct tcp_info *b)
{
	return a->tcpi_state == b->tcpi_state && a->tcpi_bytes_received == b->tcpi_bytes_received &&
		a->tcpi_bytes_acked == b->tcpi_bytes_acked;
}

/* The counters and both queues as of one moment, although they take several calls. */
static int look_at(int fd, struct look *ret)
{
	struct tcp_info after;
	int r = read_info(fd, &ret->info);

	for (int i = 0; r == 0 && i < LOOKS_MAX; i++) {
		if (ioctl(fd, SIOCINQ, &ret->in) < 0 || ioctl(fd, SIOCOUTQ, &ret->out) < 0) {
			return -errno;
		}
		r = read_info(fd, &after);
		if (r == 0 && same(&ret->info, &after)) {
			return 0;
		}
		ret->info = after;
	}
	return r == 0 ? -EAGAIN : r;
}

/*
 * Whether the stream of the peer of a closed socket ended with its FIN. Reading cannot tell: after
 * a reset the first recv() says so and all later ones say 0. But the hint that comes with a read
 * counts a FIN as one byte more to be had, and SIOCINQ does not.
 */
static bool closed_after_fin(int fd, int queued_in, int *ret_error)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char byte;
	struct iovec iov = {.iov_base = &byte, .iov_len = sizeof byte};
	struct msghdr message = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof control};
	const int on = 1;
	const int off = 0;
	int hint = 0;
	ssize_t n;

	if (setsockopt(fd, IPPROTO_TCP, TCP_INQ, &on, sizeof on) < 0) {
		return false;
	}
	n = recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT);
	*ret_error = n < 0 ? errno : 0;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_INQ, &off, sizeof off);
	if (n < 0) {
		return false;
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level == IPPROTO_TCP && c->cmsg_type == TCP_CM_INQ) {
			memcpy(&hint, CMSG_DATA(c), sizeof hint);
		}
	}
	return hint - queued_in == 1;
}

static uint64_t minus(uint64_t from, uint64_t what)
{
	return from > what ? from - what : 0;
}

int stream_position_get(int fd, bool connected, struct stream_position *ret)
{
	struct look look;
	unsigned state;
	const int r = look_at(fd, &look);

	*ret = (struct stream_position){0};
	if (r < 0) {
		return r;
	}
	state = STATE_BIT(look.info.tcpi_state);
	ret->queued_in = (uint32_t)look.in;
	ret->queued_out = (uint32_t)look.out;
	if ((state & HANDSHAKE) != 0) {
		return 0; /* its SYN is counted nowhere yet */
	}
	ret->closed = look.info.tcpi_state == STATE_CLOSE;
	ret->fin_received = ret->closed ? closed_after_fin(fd, look.in, &ret->error)
					: (state & FIN_RECEIVED) != 0;
	ret->reset = ret->closed && !ret->fin_received;
	ret->fin_sent = (state & FIN_SENT) != 0;
	/* A FIN counts as a byte, and so does the SYN of the side that connects. */
	ret->consumed = minus(
		look.info.tcpi_bytes_received, (uint64_t)look.in + (ret->fin_received ? 1 : 0));
	ret->handed = minus((uint64_t)look.info.tcpi_bytes_acked + (unsigned)look.out,
		(connected ? 1U : 0U) + (ret->fin_sent ? 1U : 0U));
	return 0;
}

uint64_t stream_silence_ns(int fd)
{
	struct tcp_info info;

	return read_info(fd, &info) < 0 ? 0 : info.tcpi_last_ack_recv * 1000000ULL;
}
