#include "bench/client.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/net.h"
#include "bench/pattern.h"

enum { READ_MAX = 256 * 1024, SENDS_PER_TURN = 4 };

static uint8_t buffer[READ_MAX];

bool client_open(struct client *client, const struct sockaddr_in *address, uint32_t source,
	const struct hello *hello)
{
	*client = (struct client){
		.fd = net_connect(address, source),
		.stream = hello->stream,
		.send_until = hello->request,
		.receive_until = hello->response,
	};
	hello_write(hello, client->hello);
	if (client->fd < 0) {
		client->failure = FAILURE_CONNECT;
		return false;
	}
	return true;
}

void client_close(struct client *client)
{
	if (client->fd >= 0) {
		(void)close(client->fd);
		client->fd = -1;
	}
}

void client_watch(struct client *client, int epoll_fd)
{
	const bool sending = client->sent < client->send_until && !client->mute;
	/* By edges while it holds: what waits to be read is reported once, not for ever. */
	const uint32_t interest =
		(client->holding ? EPOLLET : EPOLLIN | EPOLLRDHUP) | (sending ? EPOLLOUT : 0U);
	struct epoll_event event = {.events = interest, .data.ptr = client};

	if (interest != client->interest) {
		(void)epoll_ctl(epoll_fd, client->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD,
			client->fd, &event);
		client->interest = interest;
	}
}

static enum client_event fail(struct client *client, enum client_failure failure)
{
	client->failure = failure;
	return CLIENT_FAILED;
}

static enum client_event fail_by(struct client *client, int error)
{
	return fail(
		client, error == ECONNRESET || error == EPIPE ? FAILURE_RESET : FAILURE_CONNECT);
}

/* One send(): the head of the stream, or what follows it. */
static ssize_t send_some(const struct client *client)
{
	const uint64_t left = client->send_until - client->sent;
	uint8_t head[HELLO_SIZE + 4096];

	if (client->sent < HELLO_SIZE) {
		const size_t end =
			client->send_until < sizeof head ? (size_t)client->send_until : sizeof head;
		memcpy(head, pattern_at(client->stream, PATTERN_UP, 0), end);
		memcpy(head, client->hello, HELLO_SIZE);
		return send(client->fd, head + client->sent, end - client->sent, MSG_NOSIGNAL);
	}
	return send(client->fd, pattern_at(client->stream, PATTERN_UP, client->sent),
		left < PATTERN_SPAN ? (size_t)left : PATTERN_SPAN, MSG_NOSIGNAL);
}

enum client_event client_send(struct client *client, int epoll_fd)
{
	for (int i = 0; i < SENDS_PER_TURN && client->sent < client->send_until && !client->mute;
		i++) {
		const ssize_t n = send_some(client);
		if (n >= 0) {
			client->sent += (uint64_t)n;
		} else if (errno == EAGAIN || errno == ENOTCONN) {
			break;
		} else if (client->end == END_BREAKS) {
			client->mute = true; /* what was answered may still be there to be read */
		} else {
			return fail_by(client, errno);
		}
	}
	if (client->half_close && client->sent == client->send_until && !client->mute) {
		(void)shutdown(client->fd, SHUT_WR);
		client->mute = true;
	}
	client_watch(client, epoll_fd);
	return CLIENT_PROGRESS;
}

static bool is_complete(const struct client *client)
{
	return client->received == client->receive_until && client->sent == client->send_until;
}

static enum client_event on_bytes(struct client *client, size_t length)
{
	if (pattern_match(client->stream, PATTERN_DOWN, client->received, buffer, length) <
		length) {
		return fail(client, FAILURE_CORRUPT);
	}
	client->received += length;
	if (client->received > client->receive_until) {
		return fail(client, FAILURE_EXTRA);
	}
	return client->end == END_STAYS && is_complete(client) ? CLIENT_EXCHANGED : CLIENT_PROGRESS;
}

static enum client_event on_end(struct client *client)
{
	if (client->end == END_BREAKS) {
		return CLIENT_ENDED;
	}
	return client->end == END_FOLLOWS && is_complete(client) ? CLIENT_ENDED
								 : fail(client, FAILURE_TRUNCATED);
}

/* One byte more than is due is asked for: a proxy that repeats some is caught. */
static enum client_event receive(struct client *client)
{
	const uint64_t left = client->receive_until - client->received;
	const size_t wanted = left < READ_MAX ? (size_t)left + 1 : READ_MAX;
	const ssize_t n = recv(client->fd, buffer, wanted, 0);

	if (n > 0) {
		return on_bytes(client, (size_t)n);
	}
	if (n == 0) {
		return on_end(client);
	}
	if (errno == EAGAIN) {
		return CLIENT_PROGRESS;
	}
	return client->end == END_BREAKS ? CLIENT_ENDED : fail_by(client, errno);
}

enum client_event client_on_ready(struct client *client, int epoll_fd, uint32_t events)
{
	if ((events & EPOLLOUT) != 0 && client->sent < client->send_until) {
		const enum client_event event = client_send(client, epoll_fd);
		if (event != CLIENT_PROGRESS) {
			return event;
		}
	}
	if (client->holding) {
		return CLIENT_PROGRESS;
	}
	if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
		return receive(client);
	}
	return CLIENT_PROGRESS;
}
