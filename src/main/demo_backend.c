#include "main/demo_backend.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/sockaddr.h"
#include "os/socket.h"
#include "os/thread.h"

enum { EVENTS_PER_TURN = 64, BACKLOG = 1024 };

static int watch(const struct demo_backend *backend, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(backend->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* At its port, or at a free one for the first time. */
static int open_listener(struct demo_backend *backend, struct error *err)
{
	struct listen_spec spec = {.backlog = BACKLOG};
	struct sockaddr_any bound = {.length = sizeof bound.local};
	int fd;
	int r;

	spec.address.length = sizeof spec.address.ip4;
	spec.address.ip4.sin_family = AF_INET;
	spec.address.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	spec.address.ip4.sin_port = htons(backend->port);
	r = socket_listen(&spec, &fd, err);
	if (r < 0) {
		return r;
	}
	if (getsockname(fd, &bound.generic, &bound.length) < 0 || watch(backend, fd) < 0) {
		r = error_set(err, errno, "demo: cannot listen");
		socket_close(fd);
		return r;
	}
	backend->port = sockaddr_port(&bound);
	atomic_store(&backend->listen_fd, fd);
	return 0;
}

static void take_connections(struct demo_backend *backend, int listen_fd)
{
	for (;;) {
		const int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			return;
		}
		if (watch(backend, fd) < 0) {
			socket_close(fd);
			continue;
		}
		(void)atomic_fetch_add(&backend->taken, 1);
	}
}

/* Requests are smaller than any segment and one at a time, so each arrives in one piece. */
static void answer(const struct demo_backend *backend, int fd)
{
	uint8_t message[DEMO_ANSWER_BYTES];
	const ssize_t n = recv(fd, message + 1, DEMO_REQUEST_BYTES, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		return;
	}
	message[0] = backend->number;
	if (n != DEMO_REQUEST_BYTES ||
		send(fd, message, sizeof message, MSG_NOSIGNAL) != (ssize_t)sizeof message) {
		socket_close(fd);
	}
}

static void *run(void *argument)
{
	struct demo_backend *backend = argument;
	struct epoll_event events[EVENTS_PER_TURN];

	while (atomic_load(&backend->stopping) == 0) {
		const int count = epoll_wait(backend->epoll_fd, events, EVENTS_PER_TURN, -1);

		for (int i = 0; i < count; i++) {
			const int fd = events[i].data.fd;

			if (fd == backend->wake_fd) {
				eventfd_t value;

				(void)eventfd_read(fd, &value);
			} else if (fd == atomic_load(&backend->listen_fd)) {
				take_connections(backend, fd);
			} else {
				answer(backend, fd);
			}
		}
		/* Here no event is left that could name the number for somebody else's socket. */
		if (atomic_exchange(&backend->failing, 0) != 0) {
			const int fd = atomic_load(&backend->listen_fd);

			socket_close(fd);
			atomic_store(&backend->listen_fd, -1);
		}
	}
	return NULL;
}

static void release(struct demo_backend *backend)
{
	socket_close(atomic_exchange(&backend->listen_fd, -1));
	socket_close(backend->wake_fd);
	socket_close(backend->epoll_fd);
}

int demo_backend_start(struct demo_backend *backend, uint8_t number, struct error *err)
{
	int r = 0;

	*backend = (struct demo_backend){.number = number};
	atomic_store(&backend->listen_fd, -1);
	backend->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	backend->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (backend->epoll_fd < 0 || backend->wake_fd < 0 || watch(backend, backend->wake_fd) < 0) {
		r = error_set(err, errno, "demo: cannot start a backend");
	}
	r = r < 0 ? r : open_listener(backend, err);
	r = r < 0 ? r : thread_start(&backend->thread, "demo-backend", run, backend, err);
	if (r < 0) {
		release(backend);
	}
	return r;
}

void demo_backend_fail(struct demo_backend *backend)
{
	const struct timespec pause = {.tv_nsec = 1000000};

	atomic_store(&backend->failing, 1);
	(void)eventfd_write(backend->wake_fd, 1);
	while (atomic_load(&backend->listen_fd) >= 0) {
		(void)nanosleep(&pause, NULL);
	}
}

int demo_backend_recover(struct demo_backend *backend, struct error *err)
{
	return open_listener(backend, err);
}

void demo_backend_stop(struct demo_backend *backend)
{
	atomic_store(&backend->stopping, 1);
	(void)eventfd_write(backend->wake_fd, 1);
	(void)pthread_join(backend->thread, NULL);
	release(backend);
}
