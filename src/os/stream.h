/*
 * How far a TCP socket has come, as the kernel counts it: what has been read from it and what has
 * been given to it since it was made. This is what tells a new worker process whether a session
 * that it found is whole.
 *
 * Exact for sockets with SO_OOBINLINE (else an urgent byte is received and never read), and
 * without TLS of the kernel, fast open, MPTCP or TCP_REPAIR.
 *
 * Threads: any, as long as nobody else reads from or writes to the socket meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct stream_position {
	uint64_t consumed;   /* bytes that the process has taken, peeked ones not */
	uint64_t handed;     /* bytes that the kernel has taken; when closed: that, or one more */
	uint32_t queued_in;  /* bytes received and not consumed */
	uint32_t queued_out; /* bytes and a FIN handed over and not acknowledged */
	int error;           /* errno value that asking has taken off a closed socket, or 0 */
	bool fin_received;   /* the peer's stream has an orderly end, read or not */
	bool fin_sent;       /* ours has, sent or queued; false when closed */
	bool closed;         /* it is over, both ways: nothing can be handed over any more */
	bool reset;          /* closed, and the peer's stream has no orderly end */
};

/*
 * Looks. `connected` says that the socket was made by connect(), not by accept(). Bytes stay where
 * they are, but the pending error of a closed socket is taken; asking again gives the same answer
 * without it. Returns 0 or a negative errno: -EOPNOTSUPP for what is not TCP, -EINVAL for a
 * listening socket, -EAGAIN when it did not stay the same for as long as it takes to look.
 */
int stream_position_get(int fd, bool connected, struct stream_position *ret);

/* Whether nothing has gone through it yet, in either direction. */
static inline bool stream_position_is_start(const struct stream_position *position)
{
	return position->consumed == 0 && position->handed == 0 && !position->fin_sent;
}

/* For how long the peer of a TCP socket has acknowledged nothing; 0 when it cannot be told. */
uint64_t stream_silence_ns(int fd);
