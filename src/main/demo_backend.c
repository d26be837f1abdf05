#include "main/demo_backend.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "os/socket.h"
#include "os/thread.h"

enum {
	VISITORS_MAX = 256, /* the demo has far fewer clients */
	BACKLOG = 256,
	CHUNK = 16 * 1024,
	EVENTS_MAX = 64,
	WAKE = -1,   /* epoll data: what is no visitor's index */
	LISTEN = -2, /* the same */
	LAST_LOOK_US = 2000,
};

enum step { STEP_UNUSED, STEP_HEADER, STEP_BODY, STEP_ANSWER };

/* One connection: a request, its answer, the next request. */
struct visitor {
	enum step step;
	int fd;
	bool waits_for_room; /* watched for output instead of input */
	size_t done;         /* bytes of this step */
	char header[DEMO_HEADER_SIZE];
	struct demo_header request;
	bool intact;
};

enum wish { WISH_SERVE, WISH_FAIL, WISH_END };

struct demo_backend {
	uint32_t index;
	uint16_t port;
	int listen_fd; /* owned by the thread once it runs; -1: failed */
	int epoll_fd;
	int wake_fd;
	bool started;
	pthread_t thread;
	_Atomic int wish;       /* enum wish, written by the first thread */
	_Atomic int new_listen; /* a listener for the thread to take; -1: none */
	_Atomic uint64_t damaged;
	struct visitor visitors[VISITORS_MAX];
};

static void watch(struct demo_backend *backend, int fd, int64_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)what};

	(void)epoll_ctl(backend->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static int listen_on(uint16_t port, int *ret_fd, struct error *err)
{
	struct listen_spec spec = {.backlog = BACKLOG};

	spec.address.length = sizeof spec.address.ip4;
	spec.address.ip4.sin_family = AF_INET;
	spec.address.ip4.sin_port = htons(port);
	spec.address.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return socket_listen(&spec, ret_fd, err);
}

int demo_backend_create(uint32_t index, struct demo_backend **ret_backend, struct error *err)
{
	struct demo_backend *backend = calloc(1, sizeof *backend);
	struct sockaddr_in address = {.sin_port = 0};
	socklen_t length = sizeof address;
	int r;

	if (backend == NULL) {
		return error_set(err, ENOMEM, "cannot make a backend");
	}
	backend->index = index;
	backend->listen_fd = -1;
	backend->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	backend->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	atomic_init(&backend->wish, WISH_SERVE);
	atomic_init(&backend->new_listen, -1);
	atomic_init(&backend->damaged, 0);
	if (backend->epoll_fd < 0 || backend->wake_fd < 0) {
		r = error_set(err, errno, "cannot make a backend");
		goto fail;
	}
	r = listen_on(0, &backend->listen_fd, err);
	if (r < 0) {
		goto fail;
	}
	if (getsockname(backend->listen_fd, (struct sockaddr *)&address, &length) < 0) {
		r = error_set(err, errno, "cannot learn the port of a backend");
		goto fail;
	}
	backend->port = ntohs(address.sin_port);
	watch(backend, backend->listen_fd, LISTEN);
	watch(backend, backend->wake_fd, WAKE);
	*ret_backend = backend;
	return 0;
fail:
	demo_backend_free(backend);
	return r;
}

uint16_t demo_backend_port(const struct demo_backend *backend)
{
	return backend->port;
}

static void leave(struct visitor *visitor)
{
	(void)close(visitor->fd);
	visitor->step = STEP_UNUSED;
}

static void count_damage(struct demo_backend *backend)
{
	(void)atomic_fetch_add_explicit(&backend->damaged, 1, memory_order_relaxed);
}

static void next_step(struct visitor *visitor, enum step step)
{
	visitor->step = step;
	visitor->done = 0;
}

/* True when this step is over and the next one may go on at once. */
static bool take_header(struct demo_backend *backend, struct visitor *visitor)
{
	const ssize_t count = recv(
		visitor->fd, visitor->header + visitor->done, DEMO_HEADER_SIZE - visitor->done, 0);

	if (count <= 0) {
		if (count == 0 && visitor->done > 0) {
			count_damage(backend);
		}
		if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
			leave(visitor);
		}
		return false;
	}
	visitor->done += (size_t)count;
	if (visitor->done < DEMO_HEADER_SIZE) {
		return true;
	}
	if (!demo_header_read(visitor->header, &visitor->request)) {
		count_damage(backend);
		leave(visitor);
		return false;
	}
	visitor->intact = true;
	next_step(visitor, STEP_BODY);
	return true;
}

static bool take_body(struct demo_backend *backend, struct visitor *visitor)
{
	const struct demo_header *request = &visitor->request;
	const size_t left = request->length - visitor->done;
	char chunk[CHUNK];
	ssize_t count;

	if (left == 0) {
		if (!visitor->intact) {
			count_damage(backend);
		}
		next_step(visitor, STEP_ANSWER);
		return true;
	}
	count = recv(visitor->fd, chunk, left < sizeof chunk ? left : sizeof chunk, 0);
	if (count <= 0) {
		if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
			count_damage(backend);
			leave(visitor);
		}
		return false;
	}
	if (!demo_body_check(request->seed, visitor->done, chunk, (size_t)count)) {
		visitor->intact = false;
	}
	visitor->done += (size_t)count;
	return true;
}

/* Puts the part of the answer that begins at `done` into the chunk; returns its length. */
static size_t compose(
	const struct demo_backend *backend, const struct visitor *visitor, char chunk[static CHUNK])
{
	const struct demo_header header = {
		.magic = DEMO_WIRE_MAGIC,
		.length = visitor->request.length,
		.seed = demo_answer_seed(visitor->request.seed),
		.backend = backend->index,
		.intact = visitor->intact ? 1 : 0,
	};
	char front[DEMO_HEADER_SIZE];
	size_t length = 0;
	size_t offset = 0;
	size_t left;

	if (visitor->done < DEMO_HEADER_SIZE) {
		demo_header_write(&header, front);
		length = DEMO_HEADER_SIZE - visitor->done;
		memcpy(chunk, front + visitor->done, length);
	} else {
		offset = visitor->done - DEMO_HEADER_SIZE;
	}
	left = header.length - offset;
	left = left < CHUNK - length ? left : CHUNK - length;
	demo_body_fill(header.seed, offset, chunk + length, left);
	return length + left;
}

static bool give_answer(struct demo_backend *backend, struct visitor *visitor)
{
	const size_t total = DEMO_HEADER_SIZE + visitor->request.length;
	char chunk[CHUNK];
	ssize_t count;

	if (visitor->done == total) {
		next_step(visitor, STEP_HEADER);
		return true;
	}
	count = send(visitor->fd, chunk, compose(backend, visitor, chunk), MSG_NOSIGNAL);
	if (count < 0) {
		if (errno != EAGAIN && errno != EINTR) {
			leave(visitor);
		}
		return false;
	}
	visitor->done += (size_t)count;
	return true;
}

/* As far as it goes; then waits for what is missing. */
static void serve(struct demo_backend *backend, struct visitor *visitor)
{
	bool more = true;

	while (more) {
		switch (visitor->step) {
		case STEP_HEADER:
			more = take_header(backend, visitor);
			break;
		case STEP_BODY:
			more = take_body(backend, visitor);
			break;
		case STEP_ANSWER:
			more = give_answer(backend, visitor);
			break;
		case STEP_UNUSED:
			return;
		}
	}
	if (visitor->step != STEP_UNUSED &&
		visitor->waits_for_room != (visitor->step == STEP_ANSWER)) {
		struct epoll_event event = {.data.u64 = (uint64_t)(visitor - backend->visitors)};

		visitor->waits_for_room = visitor->step == STEP_ANSWER;
		event.events = visitor->waits_for_room ? EPOLLOUT : EPOLLIN;
		(void)epoll_ctl(backend->epoll_fd, EPOLL_CTL_MOD, visitor->fd, &event);
	}
}

static struct visitor *unused_visitor(struct demo_backend *backend)
{
	for (size_t i = 0; i < VISITORS_MAX; i++) {
		if (backend->visitors[i].step == STEP_UNUSED) {
			return &backend->visitors[i];
		}
	}
	return NULL;
}

static void welcome(struct demo_backend *backend)
{
	for (;;) {
		const int fd =
			accept4(backend->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct visitor *visitor;

		if (fd < 0) {
			return;
		}
		visitor = unused_visitor(backend);
		if (visitor == NULL) {
			(void)close(fd);
			continue;
		}
		*visitor = (struct visitor){.step = STEP_HEADER, .fd = fd};
		watch(backend, fd, visitor - backend->visitors);
	}
}

/*
 * New connections are kept out of the queue first, so that none is in it when the listener goes:
 * closing would reset it, with a client's bytes perhaps under way.
 */
static void stop_listening(struct demo_backend *backend)
{
	(void)socket_refuse_new(backend->listen_fd, false);
	welcome(backend);
	(void)usleep(LAST_LOOK_US);
	welcome(backend);
	(void)close(backend->listen_fd);
	backend->listen_fd = -1;
}

static void obey(struct demo_backend *backend)
{
	uint64_t ignored;
	int fd;

	(void)!read(backend->wake_fd, &ignored, sizeof ignored);
	fd = atomic_exchange_explicit(&backend->new_listen, -1, memory_order_acquire);
	if (fd >= 0) {
		assert(backend->listen_fd < 0);
		backend->listen_fd = fd;
		watch(backend, fd, LISTEN);
	}
	if (atomic_load_explicit(&backend->wish, memory_order_acquire) == WISH_FAIL &&
		backend->listen_fd >= 0) {
		stop_listening(backend);
	}
}

static void *run(void *argument)
{
	struct demo_backend *backend = argument;
	struct epoll_event events[EVENTS_MAX];

	while (atomic_load_explicit(&backend->wish, memory_order_acquire) != WISH_END) {
		const int count = epoll_wait(backend->epoll_fd, events, EVENTS_MAX, -1);

		for (int i = 0; i < count; i++) {
			const int64_t what = (int64_t)events[i].data.u64;

			if (what == WAKE) {
				obey(backend);
			} else if (what == LISTEN) {
				welcome(backend);
			} else {
				serve(backend, &backend->visitors[what]);
			}
		}
	}
	return NULL;
}

int demo_backend_start(struct demo_backend *backend, struct error *err)
{
	const int r = thread_start(&backend->thread, "demo-backend", run, backend, err);

	backend->started = r == 0;
	return r;
}

static void wake(struct demo_backend *backend)
{
	const uint64_t one = 1;

	(void)!write(backend->wake_fd, &one, sizeof one);
}

void demo_backend_fail(struct demo_backend *backend)
{
	atomic_store_explicit(&backend->wish, WISH_FAIL, memory_order_release);
	wake(backend);
}

int demo_backend_recover(struct demo_backend *backend, struct error *err)
{
	int fd;
	int r = listen_on(backend->port, &fd, err);

	if (r < 0) {
		return r;
	}
	atomic_store_explicit(&backend->wish, WISH_SERVE, memory_order_release);
	atomic_store_explicit(&backend->new_listen, fd, memory_order_release);
	wake(backend);
	return 0;
}

uint64_t demo_backend_damaged(const struct demo_backend *backend)
{
	return atomic_load_explicit(&backend->damaged, memory_order_relaxed);
}

void demo_backend_free(struct demo_backend *backend)
{
	int fd;

	if (backend == NULL) {
		return;
	}
	if (backend->started) {
		atomic_store_explicit(&backend->wish, WISH_END, memory_order_release);
		wake(backend);
		(void)pthread_join(backend->thread, NULL);
	}
	for (size_t i = 0; i < VISITORS_MAX; i++) {
		if (backend->visitors[i].step != STEP_UNUSED) {
			leave(&backend->visitors[i]);
		}
	}
	fd = atomic_load_explicit(&backend->new_listen, memory_order_relaxed);
	if (fd >= 0) {
		(void)close(fd);
	}
	if (backend->listen_fd >= 0) {
		(void)close(backend->listen_fd);
	}
	if (backend->epoll_fd >= 0) {
		(void)close(backend->epoll_fd);
	}
	if (backend->wake_fd >= 0) {
		(void)close(backend->wake_fd);
	}
	free(backend);
}
