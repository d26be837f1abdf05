#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/array.h"
#include "base/rng.h"
#include "base/testing.h"
#include "os/pipe.h"
#include "os/socket.h"
#include "os/stream.h"

enum { WAIT_MS = 5000, ROUNDS = 3000, STEPS = 40, BUFFER_BYTES = 256 * 1024 };

/* One end of a connection, and what really happened at it. */
struct end {
	int fd;
	bool connected;
	uint64_t consumed;
	uint64_t handed;
	bool eof;
	bool finished;
};

static char buffer[BUFFER_BYTES];

static int open_listener(int family, int buffers)
{
	struct listen_spec spec = {.backlog = 16, .max_buffered = (uint64_t)buffers};
	int fd;

	if (family == AF_INET6) {
		spec.address.length = sizeof spec.address.ip6;
		spec.address.ip6.sin6_family = AF_INET6;
		spec.address.ip6.sin6_addr = in6addr_loopback;
	} else {
		spec.address.length = sizeof spec.address.ip4;
		spec.address.ip4.sin_family = AF_INET;
		spec.address.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	assert_int_equal(socket_listen(&spec, &fd, NULL), 0);
	return fd;
}

static short await(int fd, short events)
{
	struct pollfd one = {.fd = fd, .events = events};

	assert_int_equal(poll(&one, 1, WAIT_MS), 1);
	return one.revents;
}

static void open_pair(int listener, int buffers, struct end ends[static 2])
{
	struct sockaddr_any address = {.length = sizeof address.local};

	assert_int_equal(getsockname(listener, &address.generic, &address.length), 0);
	ends[0] = (struct end){.connected = true};
	assert_int_equal(socket_open(&address, (uint64_t)buffers, &ends[0].fd), 0);
	assert_int_equal(socket_connect(ends[0].fd, &address), 0);
	await(listener, POLLIN);
	ends[1] = (struct end){.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)};
	assert_true(ends[1].fd >= 0);
	await(ends[0].fd, POLLOUT);
}

static void close_pair(const struct end ends[static 2])
{
	for (int i = 0; i < 2; i++) {
		if (ends[i].fd >= 0) {
			socket_reset_on_close(ends[i].fd);
			assert_int_equal(close(ends[i].fd), 0);
		}
	}
}

/* Compares the kernel's word with what happened. */
static struct stream_position check(const struct end *end)
{
	struct stream_position position;

	assert_int_equal(stream_position_get(end->fd, end->connected, &position), 0);
	assert_int_equal(position.consumed, end->consumed);
	if (position.closed) {
		assert_true(position.handed == end->handed || position.handed == end->handed + 1);
		assert_int_equal(position.reset, !position.fin_received);
	} else {
		assert_int_equal(position.handed, end->handed);
		assert_int_equal(position.fin_sent, end->finished);
		assert_false(position.reset);
		assert_int_equal(position.error, 0);
	}
	if (end->eof) {
		assert_true(position.fin_received);
		assert_int_equal(position.queued_in, 0);
	}
	return position;
}

static void take(struct end *end, ssize_t n)
{
	if (n > 0) {
		end->consumed += (uint64_t)n;
	} else if (n == 0) {
		end->eof = true;
	}
}

static void step_receive(struct rng *rng, struct end *end)
{
	const size_t wanted = 1 + rng_below(rng, rng_below(rng, 2) == 0 ? 100 : BUFFER_BYTES - 1);

	switch (rng_below(rng, 4)) {
	case 0:
		(void)recv(end->fd, buffer, wanted, MSG_PEEK);
		break;
	case 1: /* bytes are thrown away in the kernel */
		take(end, recv(end->fd, NULL, wanted, MSG_TRUNC));
		break;
	default:
		take(end, recv(end->fd, buffer, wanted, 0));
		break;
	}
}

static void empty(int fd)
{
	while (read(fd, buffer, sizeof buffer) > 0) {
	}
}

static void step_splice(struct rng *rng, struct end *end, const int pipe_ends[static 2])
{
	const size_t wanted = 1 + rng_below(rng, BUFFER_BYTES);
	ssize_t n;

	if (rng_below(rng, 2) == 0) {
		/* Gives 0 at an urgent mark, too: that is no end. */
		n = splice(end->fd, NULL, pipe_ends[1], NULL, wanted, SPLICE_F_NONBLOCK);
		end->consumed += n > 0 ? (uint64_t)n : 0;
	} else if (write(pipe_ends[1], buffer, 1 + rng_below(rng, 60000)) > 0) {
		n = splice(pipe_ends[0], NULL, end->fd, NULL, wanted,
			SPLICE_F_NONBLOCK | (rng_below(rng, 2) == 0 ? SPLICE_F_MORE : 0U));
		end->handed += n > 0 ? (uint64_t)n : 0;
	}
	empty(pipe_ends[0]);
}

static void step_send(struct rng *rng, struct end *end)
{
	static const int flags[] = {0, 0, 0, MSG_MORE, MSG_OOB};
	const size_t length = 1 + rng_below(rng, rng_below(rng, 2) == 0 ? 100 : BUFFER_BYTES - 1);
	const int flag = flags[rng_below(rng, ARRAY_COUNT(flags))];
	const ssize_t n = send(end->fd, buffer, flag == MSG_OOB ? 1 : length, flag | MSG_NOSIGNAL);

	end->handed += n > 0 ? (uint64_t)n : 0;
}

static void step_finish(struct end *end)
{
	struct stream_position position;

	assert_int_equal(stream_position_get(end->fd, end->connected, &position), 0);
	if (!position.closed) {
		assert_int_equal(shutdown(end->fd, SHUT_WR), 0);
		end->finished = true;
	}
}

static void step(struct rng *rng, struct end *end, const int pipe_ends[static 2])
{
	const uint32_t dice = rng_below(rng, 100);

	if (dice < 40) {
		step_send(rng, end);
	} else if (dice < 70) {
		step_receive(rng, end);
	} else if (dice < 95) {
		step_splice(rng, end, pipe_ends);
	} else {
		step_finish(end);
	}
}

/* Waits until the peer's end has arrived; it may wait behind bytes that nobody reads. */
static void await_end(struct rng *rng, struct end *end)
{
	struct pollfd one = {.fd = end->fd, .events = POLLRDHUP};

	for (int i = 0; poll(&one, 1, i < 1000 ? 0 : 1) == 0; i++) {
		assert_true(i < 1000 + WAIT_MS);
		step_receive(rng, end);
		check(end);
	}
}

/*
 * One side goes. With bytes of its peer unread, or asked to, it goes with a reset; else with a FIN.
 * Then whatever the other one reads, at any moment, the answer is the same.
 */
static void leave(struct rng *rng, struct end ends[static 2])
{
	struct end *left = &ends[rng_below(rng, 2)];
	struct end *right = left == &ends[0] ? &ends[1] : &ends[0];
	const bool hard = rng_below(rng, 2) == 0;
	struct stream_position position;

	if (hard) {
		socket_reset_on_close(left->fd);
	}
	assert_int_equal(close(left->fd), 0);
	left->fd = -1;
	await_end(rng, right);
	for (int i = 0; i < 4; i++) {
		position = check(right);
		if (hard && !left->finished) {
			assert_true(position.reset);
		}
		step_receive(rng, right);
		if (position.reset) {
			right->eof = false; /* a 0 after a reset is no end of the stream */
		}
	}
	close_pair(ends);
}

static void run_round(struct rng *rng, const int listeners[static 4], const int pipe_ends[static 2])
{
	const uint32_t kind = rng_below(rng, 4);
	struct end ends[2];

	open_pair(listeners[kind], kind < 2 ? 0 : 4096, ends);
	for (uint32_t i = 1 + rng_below(rng, STEPS); i > 0; i--) {
		step(rng, &ends[rng_below(rng, 2)], pipe_ends);
		check(&ends[0]);
		check(&ends[1]);
	}
	leave(rng, ends);
}

static void counts_what_was_consumed_and_handed_over(void **state)
{
	const int listeners[] = {open_listener(AF_INET, 0), open_listener(AF_INET6, 0),
		open_listener(AF_INET, 4096), open_listener(AF_INET6, 4096)};
	const char *text = getenv("SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
	const uint64_t seed = text == NULL ? 1 : strtoull(text, NULL, 0);
	struct rng rng;
	int pipe_ends[2];

	(void)state;
	rng_init(&rng, seed);
	assert_int_equal(pipe_open(65536, pipe_ends), 0);
	for (int i = 0; i < ROUNDS; i++) {
		run_round(&rng, listeners, pipe_ends);
	}
	pipe_close(pipe_ends);
	for (size_t i = 0; i < ARRAY_COUNT(listeners); i++) {
		socket_close(listeners[i]);
	}
}

/* A pair, of which end 1 has sent `bytes` bytes that end 0 has received and not consumed. */
static void pair_with_bytes(struct end ends[static 2], size_t bytes)
{
	const int listener = open_listener(AF_INET, 0);

	open_pair(listener, 0, ends);
	socket_close(listener);
	if (bytes > 0) {
		assert_int_equal(send(ends[1].fd, buffer, bytes, 0), bytes);
		await(ends[0].fd, POLLIN);
	}
}

static void a_reset_that_was_read_is_no_end_of_the_stream(void **state)
{
	struct stream_position position;
	struct end ends[2];

	(void)state;
	pair_with_bytes(ends, 0);
	socket_reset_on_close(ends[1].fd);
	socket_close(ends[1].fd);
	ends[1].fd = -1;
	await(ends[0].fd, POLLHUP);
	assert_int_equal(recv(ends[0].fd, buffer, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(recv(ends[0].fd, buffer, 1, 0), 0); /* looks like an orderly end */
	position = check(&ends[0]);
	assert_true(position.closed && position.reset && !position.fin_received);
	close_pair(ends);
}

static void the_error_of_a_closed_socket_is_told_once(void **state)
{
	struct stream_position position;
	struct end ends[2];

	(void)state;
	pair_with_bytes(ends, 0);
	socket_reset_on_close(ends[1].fd);
	socket_close(ends[1].fd);
	ends[1].fd = -1;
	await(ends[0].fd, POLLHUP);
	position = check(&ends[0]);
	assert_true(position.reset);
	assert_int_equal(position.error, ECONNRESET);
	position = check(&ends[0]);
	assert_true(position.reset);
	assert_int_equal(position.error, 0);
	close_pair(ends);
}

static void bytes_before_a_reset_stay(void **state)
{
	struct stream_position position;
	struct end ends[2];

	(void)state;
	pair_with_bytes(ends, 10);
	socket_reset_on_close(ends[1].fd);
	socket_close(ends[1].fd);
	ends[1].fd = -1;
	await(ends[0].fd, POLLHUP);
	position = check(&ends[0]);
	assert_true(position.closed && position.reset);
	assert_int_equal(position.queued_in, 10);
	assert_int_equal(recv(ends[0].fd, buffer, 20, 0), 10);
	ends[0].consumed = 10;
	assert_true(check(&ends[0]).reset);
	close_pair(ends);
}

static void a_fin_before_a_reset_is_the_end(void **state)
{
	struct stream_position position;
	struct end ends[2];

	(void)state;
	for (size_t bytes = 0; bytes <= 10; bytes += 10) {
		pair_with_bytes(ends, bytes);
		assert_int_equal(shutdown(ends[1].fd, SHUT_WR), 0);
		await(ends[0].fd, POLLRDHUP);
		socket_reset_on_close(ends[1].fd);
		socket_close(ends[1].fd);
		ends[1].fd = -1;
		await(ends[0].fd, POLLHUP);
		position = check(&ends[0]);
		assert_true(position.closed && position.fin_received && !position.reset);
		assert_int_equal(position.queued_in, bytes);
		assert_int_equal(recv(ends[0].fd, buffer, 20, 0), bytes);
		ends[0].consumed = bytes;
		assert_true(check(&ends[0]).fin_received);
		close_pair(ends);
	}
}

/* Both have said FIN: whoever said it last is closed, and its last bytes can still be read. */
static void both_fins_end_in_a_close_that_is_no_reset(void **state)
{
	struct stream_position position;
	struct end ends[2];

	(void)state;
	pair_with_bytes(ends, 1000);
	assert_int_equal(shutdown(ends[1].fd, SHUT_WR), 0);
	await(ends[0].fd, POLLRDHUP);
	assert_true(check(&ends[0]).fin_received);
	assert_int_equal(shutdown(ends[0].fd, SHUT_WR), 0);
	await(ends[0].fd, POLLHUP);
	for (int i = 0; i < 2; i++) {
		position = check(&ends[0]);
		assert_true(position.closed && position.fin_received && !position.reset);
		assert_int_equal(recv(ends[0].fd, buffer, 500, 0), 500);
		ends[0].consumed += 500;
	}
	assert_int_equal(recv(ends[0].fd, buffer, 1, 0), 0);
	assert_true(check(&ends[0]).fin_received);
	close_pair(ends);
}

static void asking_leaves_no_option_behind(void **state)
{
	struct end ends[2];
	int value = -1;
	socklen_t length = sizeof value;

	(void)state;
	pair_with_bytes(ends, 0);
	socket_reset_on_close(ends[1].fd);
	socket_close(ends[1].fd);
	ends[1].fd = -1;
	await(ends[0].fd, POLLHUP);
	(void)check(&ends[0]);
	assert_int_equal(getsockopt(ends[0].fd, IPPROTO_TCP, TCP_INQ, &value, &length), 0);
	assert_int_equal(value, 0);
	close_pair(ends);
}

/* A socket that is connected to itself has called connect(), and accepted nothing. */
static void a_socket_may_be_its_own_peer(void **state)
{
	struct end end = {.fd = socket(AF_INET, SOCK_STREAM, 0), .connected = true};
	struct sockaddr_any address = {.length = sizeof address.ip4};

	(void)state;
	address.ip4.sin_family = AF_INET;
	address.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(end.fd, &address.generic, address.length), 0);
	assert_int_equal(getsockname(end.fd, &address.generic, &address.length), 0);
	assert_int_equal(connect(end.fd, &address.generic, address.length), 0);
	(void)check(&end);
	assert_int_equal(send(end.fd, buffer, 100, 0), 100);
	end.handed = 100;
	await(end.fd, POLLIN);
	assert_int_equal(check(&end).queued_in, 100);
	assert_int_equal(recv(end.fd, buffer, 30, 0), 30);
	end.consumed = 30;
	(void)check(&end);
	socket_close(end.fd);
}

static void a_failed_connect_is_closed_and_empty(void **state)
{
	const int listener = open_listener(AF_INET, 0);
	struct sockaddr_any address = {.length = sizeof address.local};
	struct stream_position position;
	struct end end = {.connected = true};

	(void)state;
	assert_int_equal(getsockname(listener, &address.generic, &address.length), 0);
	socket_close(listener);
	assert_int_equal(socket_open(&address, 0, &end.fd), 0);
	position = check(&end);
	assert_true(position.closed && position.reset);
	assert_int_equal(position.error, ENOTCONN); /* not even tried */
	assert_int_equal(socket_connect(end.fd, &address), 0);
	await(end.fd, POLLHUP);
	position = check(&end);
	assert_true(position.closed && position.reset);
	assert_int_equal(position.error, ECONNREFUSED);
	socket_close(end.fd);
}

static void what_is_no_tcp_stream_is_refused(void **state)
{
	const int listener = open_listener(AF_INET, 0);
	const int datagram = socket(AF_INET, SOCK_DGRAM, 0);
	struct stream_position position;
	int ends[2];

	(void)state;
	assert_int_equal(stream_position_get(listener, false, &position), -EINVAL);
	assert_int_equal(stream_position_get(datagram, false, &position), -EOPNOTSUPP);
	socket_close(listener);
	socket_close(datagram);
	assert_int_equal(stream_position_get(datagram, false, &position), -EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	assert_int_equal(stream_position_get(ends[0], false, &position), -EOPNOTSUPP);
	pipe_close(ends);
	assert_int_equal(pipe_open(4096, ends), 0);
	assert_int_equal(stream_position_get(ends[0], false, &position), -EOPNOTSUPP);
	pipe_close(ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_what_was_consumed_and_handed_over),
		cmocka_unit_test(a_reset_that_was_read_is_no_end_of_the_stream),
		cmocka_unit_test(the_error_of_a_closed_socket_is_told_once),
		cmocka_unit_test(bytes_before_a_reset_stay),
		cmocka_unit_test(a_fin_before_a_reset_is_the_end),
		cmocka_unit_test(both_fins_end_in_a_close_that_is_no_reset),
		cmocka_unit_test(asking_leaves_no_option_behind),
		cmocka_unit_test(a_socket_may_be_its_own_peer),
		cmocka_unit_test(a_failed_connect_is_closed_and_empty),
		cmocka_unit_test(what_is_no_tcp_stream_is_refused),
	};

	(void)signal(SIGPIPE, SIG_IGN); /* splice() has no flag against it */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
