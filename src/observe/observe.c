#include "observe/observe.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "model/rcu.h"
#include "model/request.h"
#include "model/snapshot.h"
#include "observe/access_log.h"
#include "observe/api.h"
#include "observe/http.h"
#include "observe/pages.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
	SERVERS_MAX = 2, /* metrics, admin socket */
	ACCESS_PERIOD_MS = 50,
	ACCESS_RETRY_MS = 5,        /* where the writer had no room for all */
	ACCESS_LAST_WAIT_MS = 1000, /* for such a writer, at the end */
	METRICS_RETRY_MS = 1000,    /* where they could not be served */
	NS_PER_MS = 1000000,
};

struct observe {
	struct observe_setup setup;
	struct pages pages;
	struct api api;
	uint32_t server_count;
	struct http *servers[SERVERS_MAX]; /* owned; for whom, does not matter here */
	struct http *metrics;              /* borrowed: one of them; NULL: none */
	_Atomic uint16_t port;             /* of the metrics; 0: none */
	/* The thread's: the metrics that could not be served there, and when it tries again. */
	bool missing;
	struct address missing_address;
	uint64_t retry_ns;
	/* A reload: the first thread prepares, the admin thread takes over and clears `moving`. */
	bool prepared;
	struct http *next_metrics; /* owned while prepared or moving; NULL: none any more */
	bool next_serve;
	struct address next_address;
	_Atomic bool moving;
	struct access_log access_log; /* the thread's; without rings: none */
	pthread_t thread;
	int epoll_fd;
	int wake_fd;         /* eventfd: the thread is to look around, or to end */
	bool access_enabled; /* the thread's: unless a snapshot says that there is no access log */
	_Atomic bool leaving;
};

static int sooner(int a_ms, int b_ms)
{
	return a_ms < 0 || (b_ms >= 0 && b_ms < a_ms) ? b_ms : a_ms;
}

/* When the servers want to be run although nothing has happened; -1: never. */
static int servers_timeout_ms(const struct observe *observe)
{
	int timeout_ms = -1;

	for (uint32_t i = 0; i < observe->server_count; i++) {
		timeout_ms = sooner(timeout_ms, http_timeout_ms(observe->servers[i]));
	}
	return timeout_ms;
}

/* `drained`: whether nothing is left of the access log. */
static int sleep_ms(const struct observe *observe, bool drained)
{
	const int timeout_ms =
		sooner(servers_timeout_ms(observe), observe->missing ? METRICS_RETRY_MS : -1);

	if (observe->access_log.rings == NULL || (!observe->access_enabled && drained)) {
		return timeout_ms;
	}
	return sooner(timeout_ms, drained ? ACCESS_PERIOD_MS : ACCESS_RETRY_MS);
}

static bool drain_access(struct observe *observe)
{
	return observe->access_log.rings == NULL || access_log_drain(&observe->access_log);
}

/* The workers have stopped: what is in the rings is all that there will be. */
static void drain_last(struct observe *observe)
{
	const uint64_t end_ns = clock_monotonic_ns() + (uint64_t)ACCESS_LAST_WAIT_MS * NS_PER_MS;

	while (!drain_access(observe) && clock_monotonic_ns() < end_ns) {
		(void)poll(NULL, 0, 1);
	}
}

static void look_at_snapshot(struct observe *observe)
{
	const struct snapshot *snapshot = snapshot_current(observe->setup.store);

	observe->access_enabled = snapshot == NULL || snapshot->access_enabled;
}

/* The old address has served until now; connections to it end here. */
static void move_metrics(struct observe *observe)
{
	struct http *next = observe->next_metrics;
	struct epoll_event event = {.events = EPOLLIN};
	uint32_t place = 0;

	while (place < observe->server_count && observe->servers[place] != observe->metrics) {
		place++;
	}
	if (observe->metrics != NULL) {
		(void)epoll_ctl(observe->epoll_fd, EPOLL_CTL_DEL, http_fd(observe->metrics), NULL);
		http_free(observe->metrics);
		observe->server_count--;
		observe->servers[place] = observe->servers[observe->server_count];
	}
	if (next != NULL) {
		(void)epoll_ctl(observe->epoll_fd, EPOLL_CTL_ADD, http_fd(next), &event);
		observe->servers[observe->server_count++] = next;
	}
	observe->missing = false;
	observe->metrics = next;
	observe->next_metrics = NULL;
	observe->port = next == NULL ? 0 : http_port(next);
	atomic_store_explicit(&observe->moving, false, memory_order_release);
}

static void serve(struct observe *observe)
{
	eventfd_t count;

	(void)eventfd_read(observe->wake_fd, &count);
	if (atomic_load_explicit(&observe->moving, memory_order_acquire)) {
		move_metrics(observe);
	}
	if (observe->api.http != NULL) {
		api_collect(&observe->api);
	}
	for (uint32_t i = 0; i < observe->server_count; i++) {
		http_run(observe->servers[i]);
	}
}

static int watch(const struct observe *observe, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(observe->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int start_server(struct observe *observe, const struct http_setup *setup, struct error *err)
{
	struct http *http;
	int r = http_create(setup, &http, err);

	if (r < 0) {
		return r;
	}
	observe->servers[observe->server_count++] = http;
	r = watch(observe, http_fd(http));
	if (r < 0) {
		observe->server_count--;
		http_free(http);
		return error_set(err, -r, "cannot watch the HTTP server");
	}
	return 0;
}

static int serve_metrics(struct observe *observe, const struct address *address, struct error *err)
{
	const struct http_setup setup = {
		.name = "metrics",
		.address = *address,
		.site = {.table_count = 1, .tables = {pages_routes(&observe->pages)}},
	};
	const int r = start_server(observe, &setup, err);

	if (r == 0) {
		observe->metrics = observe->servers[observe->server_count - 1];
		observe->port = http_port(observe->metrics);
	}
	return r;
}

static void retry_metrics(struct observe *observe)
{
	const uint64_t now_ns = clock_monotonic_ns();
	struct error err;

	if (!observe->missing || now_ns < observe->retry_ns) {
		return;
	}
	observe->retry_ns = now_ns + (uint64_t)METRICS_RETRY_MS * NS_PER_MS;
	if (serve_metrics(observe, &observe->missing_address, &err) == 0) {
		observe->missing = false;
	}
}

static void *run(void *argument)
{
	struct observe *observe = argument;
	struct epoll_event event;
	bool drained = true;

	rcu_reader_begin();
	while (!atomic_load_explicit(&observe->leaving, memory_order_acquire)) {
		const bool servers_wait = servers_timeout_ms(observe) >= 0;
		int ready;

		rcu_offline();
		ready = epoll_wait(observe->epoll_fd, &event, 1, sleep_ms(observe, drained));
		retry_metrics(observe); /* offline: a name may take its time */
		rcu_online();
		look_at_snapshot(observe);
		if (ready != 0 || servers_wait) { /* else it is time for the access log alone */
			serve(observe);
		}
		drained = drain_access(observe);
	}
	rcu_reader_end();
	drain_last(observe);
	return NULL;
}

static int open_metrics(struct observe *observe, struct error *err)
{
	const struct observe_setup *setup = &observe->setup;
	int r;

	if (!setup->serve_metrics) {
		return 0;
	}
	/* An answer to a name may take its time, too. */
	r = setup->makes_do && setup->metrics_address.kind == ADDRESS_NAME
		? -EAGAIN
		: serve_metrics(observe, &setup->metrics_address, err);
	if (r < 0 && setup->makes_do) {
		if (r != -EAGAIN) {
			log_message(LOG_WARN, "metrics_missing", "%s", err->text);
		}
		observe->missing = true;
		observe->missing_address = setup->metrics_address;
		observe_wake(observe);
		return 0;
	}
	return r;
}

static int open_admin(struct observe *observe, struct error *err)
{
	const struct http_setup setup = {
		.name = "admin socket",
		.borrow_fd = true,
		.listen_fd = observe->setup.admin_fd,
		.site =
			{
				.table_count = 2,
				.tables = {api_routes(&observe->api),
					pages_routes(&observe->pages)},
				.json = true,
			},
	};

	int r;

	if (observe->setup.admin_fd < 0) {
		return 0;
	}
	r = start_server(observe, &setup, err);
	if (r < 0) {
		return r;
	}
	observe->api.http = observe->servers[observe->server_count - 1];
	r = watch(observe, request_box_admin_fd(observe->api.requests));
	return r < 0 ? error_set(err, -r, "cannot watch the requests") : 0;
}

static void release(struct observe *observe)
{
	http_free(observe->next_metrics);
	while (observe->server_count > 0) {
		observe->server_count--;
		http_free(observe->servers[observe->server_count]);
	}
	if (observe->wake_fd >= 0) {
		(void)close(observe->wake_fd);
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

	if (!setup->serve_metrics && setup->admin_fd < 0 && setup->access_rings == NULL) {
		*ret_observe = NULL;
		return 0;
	}
	observe = calloc(1, sizeof *observe);
	if (observe == NULL) {
		return error_set(err, ENOMEM, "cannot start the admin thread");
	}
	observe->setup = *setup;
	observe->pages = (struct pages){
		.source = {.shm = setup->shm, .version = setup->version},
		.store = setup->store,
	};
	observe->api = (struct api){
		.shm = setup->shm,
		.store = setup->store,
		.version = setup->version,
		.requests = setup->requests,
	};
	observe->access_log = (struct access_log){
		.shm = setup->shm,
		.rings = setup->access_rings,
		.writer = setup->access_writer,
	};
	observe->access_enabled = true; /* looks at the first snapshot soon, asked or not */
	observe->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	observe->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (observe->wake_fd < 0 || observe->epoll_fd < 0 || watch(observe, observe->wake_fd) < 0) {
		r = error_set(err, errno, "cannot start the admin thread");
		goto fail_release;
	}
	r = open_metrics(observe, err);
	r = r < 0 ? r : open_admin(observe, err);
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

void observe_wake(struct observe *observe)
{
	if (observe != NULL) {
		(void)eventfd_write(observe->wake_fd, 1);
	}
}

static bool same_place(const struct observe_setup *setup, bool serve, const struct address *address)
{
	char now[ADDRESS_HOST_MAX + 8];
	char next[ADDRESS_HOST_MAX + 8];

	if (setup->serve_metrics != serve) {
		return false;
	}
	return !serve ||
		strcmp(address_text(&setup->metrics_address, now), address_text(address, next)) ==
		0;
}

int observe_prepare_metrics(
	struct observe *observe, bool serve, const struct address *address, struct error *err)
{
	int r = 0;

	if (observe == NULL || same_place(&observe->setup, serve, address)) {
		return 0;
	}
	/* The admin thread has not taken over what the last reload has brought. */
	if (atomic_load_explicit(&observe->moving, memory_order_acquire)) {
		return error_say(err, EBUSY, "metrics: the address is being changed");
	}
	observe->next_metrics = NULL;
	if (serve) {
		const struct http_setup setup = {
			.name = "metrics",
			.address = *address,
			.site = {.table_count = 1, .tables = {pages_routes(&observe->pages)}},
		};

		r = http_create(&setup, &observe->next_metrics, err);
	}
	if (r == 0) {
		observe->prepared = true;
		observe->next_serve = serve;
		observe->next_address = *address;
	}
	return r;
}

void observe_commit_metrics(struct observe *observe)
{
	if (observe == NULL) {
		return;
	}
	if (observe->prepared) {
		observe->prepared = false;
		observe->setup.serve_metrics = observe->next_serve;
		observe->setup.metrics_address = observe->next_address;
		atomic_store_explicit(&observe->moving, true, memory_order_release);
	}
	observe_wake(observe); /* also for what the snapshot says of the access log */
}

void observe_abandon_metrics(struct observe *observe)
{
	if (observe != NULL && observe->prepared) {
		observe->prepared = false;
		http_free(observe->next_metrics);
		observe->next_metrics = NULL;
	}
}

uint16_t observe_port(const struct observe *observe)
{
	return observe->port;
}

void observe_stop(struct observe *observe)
{
	if (observe == NULL) {
		return;
	}
	atomic_store_explicit(&observe->leaving, true, memory_order_release);
	(void)eventfd_write(observe->wake_fd, 1);
	(void)pthread_join(observe->thread, NULL);
	release(observe);
}
