#include "bench/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint64_t net_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

bool net_parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	char *end;
	unsigned long long number;

	if (*text < '0' || *text > '9') {
		return false;
	}
	errno = 0;
	number = strtoull(text, &end, 10);
	if (errno != 0 || *end != '\0' || number > max) {
		return false;
	}
	*ret_number = number;
	return true;
}

bool net_parse(const char *text, struct sockaddr_in *ret_address)
{
	const char *colon = strrchr(text, ':');
	struct sockaddr_in address = {.sin_family = AF_INET};
	char host[INET_ADDRSTRLEN];
	uint64_t port;

	if (colon == NULL || (size_t)(colon - text) >= sizeof host ||
		!net_parse_number(colon + 1, UINT16_MAX, &port)) {
		return false;
	}
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1) {
		return false;
	}
	address.sin_port = htons((uint16_t)port);
	*ret_address = address;
	return true;
}

int net_listen(const struct sockaddr_in *address, int backlog)
{
	const int on = 1;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* Accepted sockets inherit TCP_NODELAY. */
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
		bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ||
		listen(fd, backlog) < 0) {
		perror("cannot listen");
		if (fd >= 0) {
			(void)close(fd);
		}
		return -1;
	}
	return fd;
}

static int bind_source(int fd, uint32_t source)
{
	const int on = 1;
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(source),
	};

	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0) {
		return -1;
	}
	return bind(fd, (const struct sockaddr *)&address, sizeof address);
}

int net_connect(const struct sockaddr_in *address, uint32_t source)
{
	const int on = 1;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		return -1;
	}
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
		(source != 0 && bind_source(fd, source) < 0) ||
		(connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 &&
			errno != EINPROGRESS)) {
		const int error = errno;
		(void)close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

void net_raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}
