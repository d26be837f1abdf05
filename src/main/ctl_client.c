#include "main/ctl_client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "main/http_reply.h"
#include "os/clock.h"

enum {
	TARGET_MAX = 4096,
	READ_BYTES = 64 * 1024,
	BUSY_WAIT_MS = 20, /* before a full queue is tried again */
	NS_PER_MS = 1000000,
};

static int open_socket(const char *path, int *ret_fd, struct error *err)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int r = 0;
	int fd;

	if (strlen(path) >= sizeof address.sun_path) {
		return error_set(err, ENAMETOOLONG, "%s", path);
	}
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		return error_set(err, errno, "cannot open a socket");
	}
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		r = -errno; /* before close() can change it */
		(void)close(fd);
		return error_set(err, -r, "%s: cannot connect", path);
	}
	*ret_fd = fd;
	return 0;
}

/* The queue of a UNIX socket that is full gives EAGAIN: nothing tells when it no longer is. */
static int open_patiently(const struct ctl_request *request, int *ret_fd, struct error *err)
{
	const uint64_t end_ns = clock_monotonic_ns() + (uint64_t)request->timeout_ms * NS_PER_MS;
	int r;

	for (;;) {
		r = open_socket(request->socket, ret_fd, err);
		if (r != -EAGAIN) {
			return r;
		}
		if (clock_monotonic_ns() >= end_ns) {
			return error_say(err, ETIMEDOUT, "%s: the balancer does not answer",
				request->socket);
		}
		(void)poll(NULL, 0, BUSY_WAIT_MS);
	}
}

static int wait_for(int fd, short events, const struct ctl_request *request, struct error *err)
{
	struct pollfd entry = {.fd = fd, .events = events};
	int r;

	do {
		r = poll(&entry, 1, request->timeout_ms);
	} while (r < 0 && errno == EINTR);
	if (r < 0) {
		return error_set(err, errno, "cannot wait");
	}
	return r > 0
		? 0
		: error_say(err, ETIMEDOUT, "%s: the balancer does not answer", request->socket);
}

static int send_all(int fd, const char *text, size_t length, const struct ctl_request *request,
	struct error *err)
{
	while (length > 0) {
		const ssize_t n = send(fd, text, length, MSG_NOSIGNAL);
		int r = 0;

		if (n >= 0) {
			text += n;
			length -= (size_t)n;
		} else if (errno == EAGAIN) {
			r = wait_for(fd, POLLOUT, request, err);
		} else if (errno == EPIPE || errno == ECONNRESET) {
			return 0; /* it may have answered, and closed */
		} else if (errno != EINTR) {
			r = error_set(err, errno, "%s: cannot send", request->socket);
		}
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

static int read_all(
	int fd, struct http_reply *reply, const struct ctl_request *request, struct error *err)
{
	static char bytes[READ_BYTES];

	for (;;) {
		const ssize_t n = recv(fd, bytes, sizeof bytes, 0);
		int r = 0;

		if (n > 0) {
			r = reply_feed(reply, bytes, (size_t)n);
		} else if (n == 0) {
			r = reply_end(reply);
			return r == 0 ? 0
				      : error_say(err, -r, "%s: the answer is not whole",
						request->socket);
		} else if (errno == EAGAIN) {
			r = wait_for(fd, POLLIN, request, err);
			if (r < 0) {
				return r;
			}
		} else if (errno != EINTR) {
			return error_set(err, errno, "%s: cannot read", request->socket);
		}
		if (r < 0) {
			return error_set(err, -r, "%s: no answer of a balancer", request->socket);
		}
	}
}

int ctl_exchange(
	const struct ctl_request *request, struct ctl_answer *ret_answer, struct error *err)
{
	static struct http_reply reply;
	char text[TARGET_MAX];
	const int length = snprintf(text, sizeof text,
		"%s %s HTTP/1.1\r\nHost: loble\r\nConnection: close\r\n%s\r\n", request->method,
		request->target,
		strcmp(request->method, "POST") == 0 ? "Content-Length: 0\r\n" : "");
	int fd = -1;
	int r;

	if (length < 0 || length >= TARGET_MAX) {
		return error_say(err, EINVAL, "the request is too long");
	}
	r = open_patiently(request, &fd, err);
	if (r < 0) {
		return r;
	}
	reply_begin(&reply);
	r = send_all(fd, text, (size_t)length, request, err);
	if (r == 0) {
		r = read_all(fd, &reply, request, err);
	}
	(void)close(fd);
	if (r == 0 && reply.body == NULL) {
		reply.body = calloc(1, 1);
		r = reply.body == NULL ? error_set(err, ENOMEM, "cannot read the answer") : 0;
	}
	if (r < 0) {
		reply_done(&reply);
		return r;
	}
	*ret_answer = (struct ctl_answer){
		.status = reply.status, .body = reply.body, .length = reply.length};
	return 0;
}

void ctl_answer_done(struct ctl_answer *answer)
{
	free(answer->body);
	*answer = (struct ctl_answer){.body = NULL};
}
