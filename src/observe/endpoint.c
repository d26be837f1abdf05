#include "observe/endpoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "os/socket.h"

enum { BACKLOG = 128, LOCAL_MODE = 0660 };

static int open_one(
	struct endpoint *endpoint, const struct sockaddr_any *address, struct error *err)
{
	const struct listen_spec spec = {
		.address = *address, .backlog = BACKLOG, .mode = LOCAL_MODE};
	struct sockaddr_any bound = {.length = sizeof bound.local};
	int fd;
	int r = socket_listen(&spec, &fd, err);

	if (r < 0) {
		return r;
	}
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	if (getsockname(fd, &bound.generic, &bound.length) == 0) {
		endpoint->port = sockaddr_port(&bound);
	}
	assert(endpoint->count < ENDPOINT_SOCKETS_MAX);
	endpoint->fds[endpoint->count++] = fd;
	return 0;
}

static int open_local(
	struct endpoint *endpoint, const struct sockaddr_any *address, struct error *err)
{
	const int r = open_one(endpoint, address, err);

	if (r == 0) {
		endpoint->local = *address;
	}
	return r;
}

/* Both families on one port. One of them is enough where the system lacks the other. */
static int open_any(struct endpoint *endpoint, uint16_t port, struct error *err)
{
	struct sockaddr_any ip4 = {.length = sizeof ip4.ip4};
	struct sockaddr_any ip6 = {.length = sizeof ip6.ip6};
	int r;

	ip4.ip4.sin_family = AF_INET;
	ip4.ip4.sin_port = htons(port);
	r = open_one(endpoint, &ip4, err);
	if (r < 0 && r != -EAFNOSUPPORT) {
		return r;
	}
	ip6.ip6.sin6_family = AF_INET6;
	ip6.ip6.sin6_addr = in6addr_any;
	ip6.ip6.sin6_port = htons(port == 0 ? endpoint->port : port);
	r = open_one(endpoint, &ip6, err);
	return r == -EAFNOSUPPORT && endpoint->count > 0 ? 0 : r;
}

/* The first address of the name. */
static int open_name(struct endpoint *endpoint, const struct address *address, struct error *err)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
	struct sockaddr_any first = {.length = 0};
	struct addrinfo *list = NULL;
	char port[8];
	int code;

	(void)snprintf(port, sizeof port, "%u", address->port);
	code = getaddrinfo(address->host, port, &hints, &list);
	if (code != 0) {
		return error_say(err, EADDRNOTAVAIL, "%s: %s", address->host, gai_strerror(code));
	}
	first.length = list->ai_addrlen;
	memcpy(&first.generic, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
	return open_one(endpoint, &first, err);
}

static int open_kind(struct endpoint *endpoint, const struct address *address, struct error *err)
{
	switch (address->kind) {
	case ADDRESS_ANY:
		return open_any(endpoint, address->port, err);
	case ADDRESS_NAME:
		return open_name(endpoint, address, err);
	case ADDRESS_NUMERIC:
		return open_one(endpoint, &address->numeric, err);
	case ADDRESS_LOCAL:
		return open_local(endpoint, &address->numeric, err);
	case ADDRESS_UNSET:
		break;
	}
	return error_say(err, EINVAL, "there is no address");
}

int endpoint_open(const struct address *address, struct endpoint *ret_endpoint, struct error *err)
{
	struct endpoint endpoint = {.count = 0};
	const int r = open_kind(&endpoint, address, err);

	if (r < 0) {
		endpoint_close(&endpoint);
		return r;
	}
	*ret_endpoint = endpoint;
	return 0;
}

void endpoint_close(struct endpoint *endpoint)
{
	for (uint32_t i = 0; i < endpoint->count; i++) {
		(void)close(endpoint->fds[i]);
	}
	if (endpoint->local.length > 0 && endpoint->local.local.sun_path[0] != '\0') {
		(void)unlink(endpoint->local.local.sun_path);
	}
	*endpoint = (struct endpoint){.count = 0};
}

int endpoint_accept(
	const struct endpoint *endpoint, uint32_t index, struct sockaddr_any *ret_address)
{
	struct sockaddr_any address = {.length = sizeof address.local};
	int fd;

	assert(index < endpoint->count);
	do {
		fd = accept4(endpoint->fds[index], &address.generic, &address.length,
			SOCK_NONBLOCK | SOCK_CLOEXEC);
		/* The client has gone meanwhile: the next one, please. */
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED || errno == EPROTO));
	if (fd < 0) {
		return -errno;
	}
	*ret_address = address;
	return fd;
}
