#include "observe/observe.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "model/rcu.h"
#include "observe/access_log.h"
#include "observe/http.h"
#include "os/clock.h"
#include "os/thread.h"

enum { ACCESS_PERIOD_MS = 50 };

struct observe {
	struct observe_setup setup;
	struct http *http; /* owned; NULL: no metrics */
	pthread_t thread;
	int epoll_fd;
	int leave_fd; /* eventfd: the thread is to end */
	_Atomic bool leaving;
};

static int sleep_ms(const struct observe *observe)
{
	int timeout_ms = observe->http == NULL ? -1 : http_timeout_ms(observe->http);

	if (observe->setup.access_rings != NULL &&
		(timeout_ms < 0 || timeout_ms > ACCESS_PERIOD_MS)) {
		timeout_ms = ACCESS_PERIOD_MS;
	}
	return timeout_ms;
}

static void drain_access(const struct observe *observe)
{
	if (observe->setup.access_rings != NULL) {
		(void)access_log_drain(observe->setup.shm, observe->setup.access_rings,
			observe->setup.access_writer);
	}
}

static void *run(void *argument)
{
	struct observe *observe = argument;
	struct epoll_event event;

	rcu_reader_begin();
	while (!atomic_load_explicit(&observe->leaving, memory_order_acquire)) {
		rcu_offline();
		(void)epoll_wait(observe->epoll_fd, &event, 1, sleep_ms(observe));
		rcu_online();
		if (observe->http != NULL) {
			http_run(observe->http);
		}
		drain_access(observe);
	}
	rcu_reader_end();
	drain_access(observe);
	return NULL;
}

static int watch(const struct observe *observe, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(observe->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int open_http(struct observe *observe, struct error *err)
{
	const struct http_setup setup = {
		.address = observe->setup.metrics_address,
		.source =
			{
				.shm = observe->setup.shm,
				.version = observe->setup.version,
			},
		.store = observe->setup.store,
	};
	int r;

	if (!observe->setup.serve_metrics) {
		return 0;
	}
	r = http_create(&setup, &observe->http, err);
	if (r < 0) {
		return r;
	}
	r = watch(observe, http_fd(observe->http));
	return r < 0 ? error_set(err, -r, "cannot watch the HTTP server") : 0;
}

static void release(struct observe *observe)
{
	http_free(observe->http);
	if (observe->leave_fd >= 0) {
		(void)close(observe->leave_fd);
	}
	if (observe->epoll_fd >= 0) {
		(void)close(observe->epoll_fd);
	}
	free(observe);
}

int observe_start(
	const struct observe_setup *setup, struct observe **ret_observe, struct error *err)
{
	struct observe *observe;
	int r;

	if (!setup->serve_metrics && setup->access_rings == NULL) {
		*ret_observe = NULL;
		return 0;
	}
	observe = calloc(1, sizeof *observe);
	if (observe == NULL) {
		return error_set(err, ENOMEM, "cannot start the admin thread");
	}
	observe->setup = *setup;
	observe->leave_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	observe->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (observe->leave_fd < 0 || observe->epoll_fd < 0 ||
		watch(observe, observe->leave_fd) < 0) {
		r = error_set(err, errno, "cannot start the admin thread");
		goto fail_release;
	}
	r = open_http(observe, err);
	if (r < 0) {
		goto fail_release;
	}
	r = thread_start(&observe->thread, "loble-admin", run, observe, err);
	if (r < 0) {
		goto fail_release;
	}
	*ret_observe = observe;
	return 0;

fail_release:
	release(observe);
	return r;
}

uint16_t observe_port(const struct observe *observe)
{
	return observe->http == NULL ? 0 : http_port(observe->http);
}

void observe_stop(struct observe *observe)
{
	if (observe == NULL) {
		return;
	}
	atomic_store_explicit(&observe->leaving, true, memory_order_release);
	(void)eventfd_write(observe->leave_fd, 1);
	(void)pthread_join(observe->thread, NULL);
	release(observe);
}
