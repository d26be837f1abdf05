#include "data/rig.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "balance/balance.h"
#include "base/arena.h"
#include "base/error.h"
#include "base/testing.h"
#include "data/claims.h"

static const uint64_t S_NS = 1000000000;

static void nap(void)
{
	const struct timespec millisecond = {.tv_nsec = 1000000};

	(void)nanosleep(&millisecond, NULL);
}

static void set_timeouts(int fd)
{
	const struct timeval limit = {.tv_sec = RIG_WAIT_MS / 1000};

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), 0);
}

/* Loopback with a port that the kernel chooses, or a UNIX socket of this name. */
static struct sockaddr_any make_address(const struct rig *rig, bool local, const char *name)
{
	struct sockaddr_any address = {.length = sizeof address.ip4};

	if (local) {
		address.length = sizeof address.local;
		address.local.sun_family = AF_UNIX;
		(void)snprintf(address.local.sun_path, sizeof address.local.sun_path, "%s/%s",
			rig->directory, name);
	} else {
		address.ip4.sin_family = AF_INET;
		address.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	return address;
}

static int listen_at(struct sockaddr_any *address)
{
	const struct listen_spec spec = {
		.address = *address, .backlog = 128, .share_port = false, .mode = 0600};
	struct error err;
	int fd;

	if (socket_listen(&spec, &fd, &err) < 0) {
		fail_msg("%s", err.text);
	}
	address->length = sizeof address->local;
	assert_int_equal(getsockname(fd, &address->generic, &address->length), 0);
	return fd;
}

/* The sockets of backends block: accept() on them waits. */
static int listen_blocking(struct sockaddr_any *address)
{
	const int fd = listen_at(address);

	assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
	set_timeouts(fd);
	return fd;
}

void rig_publish(struct rig *rig, uint32_t count)
{
	struct arena *arena = arena_create();
	struct snapshot *snapshot = arena_alloc(arena, sizeof *snapshot);
	struct snapshot_pool *pool = arena_alloc(arena, sizeof *pool);
	struct snapshot_listener *listener = arena_alloc(arena, sizeof *listener);
	struct snapshot_backend *backends = arena_alloc(arena, sizeof *backends * (count + 1));

	for (uint32_t i = 0; i < count; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "backend%u", i);
		backends[i] = (struct snapshot_backend){
			.address = rig->addresses[i],
			.slot = (uint32_t)shm_slot_index(&rig->shm, 0, name),
			.weight = 1,
			.max_connections = rig->options.backend_limit,
			.may_be_self = rig->options.may_be_self,
		};
	}
	rig->version++;
	counter_set(&rig->shm.listeners[0].idle_ns, rig->options.idle_ns);
	counter_set(&rig->shm.listeners[0].half_close_ns, rig->options.half_close_ns);
	*listener = (struct snapshot_listener){
		.name = "test",
		.max_connections = rig->options.max_connections,
		.max_buffered = rig->options.listener_buffered,
	};
	*pool = (struct snapshot_pool){
		.name = "test",
		.algorithm = balance_find("round_robin"),
		.retries = rig->options.retries,
		.proxy_protocol = rig->options.proxy_protocol,
		.max_buffered = rig->options.pool_buffered,
		.connect_ns = 3 * S_NS,
		.connect_total_ns = rig->options.connect_total_ns == 0
			? 10 * S_NS
			: rig->options.connect_total_ns,
		.limited = rig->options.backend_limit > 0,
		.backend_count = count,
		.backends = backends,
	};
	pool->schedule = count == 0 ? NULL : pool->algorithm->prepare(pool, arena);
	*snapshot = (struct snapshot){
		.version = rig->version,
		.access_enabled = true,
		.access_sample = 1.0,
		.arena = arena,
		.keepalive_s = rig->options.keepalive_s,
		.listener_limit = 1,
		.pool_limit = 1,
		.listeners = arena_alloc(arena, sizeof *snapshot->listeners),
		.pools = arena_alloc(arena, sizeof *snapshot->pools),
	};
	snapshot->listeners[0] = listener;
	snapshot->pools[0] = pool;
	snapshot_publish(&rig->store, snapshot);
	snapshot_reclaim(&rig->store);
}

static struct worker_setup setup_of(struct rig *rig)
{
	return (struct worker_setup){
		.shm = &rig->shm,
		.store = &rig->store,
		.access = rig->access,
		.max_sessions = rig->shm.sessions_per_worker,
		.wake_fd = rig->wake_fd,
		.control_fd = rig->control_fd,
		.seed = 1,
		.batch_min =
			getenv("RIG_BATCH") != NULL ? 1 : 0, /* NOLINT(concurrency-mt-unsafe) */
	};
}

static void run_worker(struct rig *rig, const struct worker_setup *setup)
{
	struct error err;

	if (worker_create(setup, &rig->worker, &err) < 0) {
		fail_msg("%s", err.text);
	}
	/* Before any other worker runs those that were accepted have their places. */
	assert_int_equal(rig->shm.worker_states[0].accepting, setup->orphan_count);
	if (worker_start(rig->worker, &err) < 0) {
		fail_msg("%s", err.text);
	}
}

static void start_worker(struct rig *rig)
{
	const struct worker_setup setup = setup_of(rig);
	const int fd = listen_at(&rig->listener);
	const int number = shm_listen_number(&rig->shm, 0);

	assert_true(number >= 0);
	listen_record_open(shm_listen_record(&rig->shm, 0, (uint32_t)number), fd, 0,
		rig->options.local_client ? LISTEN_LOCAL : 0, socket_cookie(fd));
	run_worker(rig, &setup);
}

enum { RIG_DESCRIPTORS = 1024 };

/* Whatever is open and not the worker's belongs to the test. */
static void note_own(struct rig *rig)
{
	bool workers[RIG_DESCRIPTORS] = {false};

	for (uint32_t i = 0; i < rig->worker->used; i++) {
		const struct session_record *record = shm_record(&rig->shm, 0, i);

		for (int side = 0; side < SIDE_COUNT; side++) {
			if (record->state != RECORD_FREE && record->fd[side] >= 0) {
				workers[record->fd[side]] = true;
			}
		}
	}
	for (uint32_t i = 0; i < rig->worker->pipe_used; i++) {
		if (rig->shm.pipes[i].fd[0] >= 0) {
			workers[rig->shm.pipes[i].fd[0]] = true;
			workers[rig->shm.pipes[i].fd[1]] = true;
		}
	}
	workers[rig->worker->epoll_fd] = true;
	workers[rig->wake_fd] = true;
	workers[shm_listen_record(&rig->shm, 0, 0)->fd] = true;
	rig->kept_count = 0;
	for (int fd = 0; fd < RIG_DESCRIPTORS; fd++) {
		if (!workers[fd] && fcntl(fd, F_GETFD) >= 0) {
			assert_true(rig->kept_count < ARRAY_COUNT(rig->kept));
			rig->kept[rig->kept_count] = fd;
			rig->kept_count++;
		}
	}
}

void rig_die(struct rig *rig)
{
	rig_command(rig, COMMAND_PARK, 0);
	worker_join(rig->worker);
	note_own(rig);
	worker_abandon(rig->worker);
	rig->worker = NULL;
}

void rig_succeed(struct rig *rig)
{
	struct worker_setup setup = setup_of(rig);
	struct claims claims;
	struct error err;

	if (claims_take(&rig->shm, rig->kept, rig->kept_count, &claims, &err) < 0) {
		fail_msg("%s", err.text);
	}
	setup.inherit = true;
	setup.orphans = claims.orphans[0];
	setup.orphan_count = claims.orphan_count[0];
	run_worker(rig, &setup);
	claims_done(&claims);
}

void rig_start(struct rig *rig, const struct rig_options *options)
{
	struct error err;

	*rig = (struct rig){.options = *options, .directory = "/tmp/loble-rig-XXXXXX"};
	assert_non_null(mkdtemp(rig->directory));
	if (rig->options.backend_count == 0) {
		rig->options.backend_count = RIG_BACKENDS;
	}
	if (shm_create(1, options->max_sessions == 0 ? 64 : options->max_sessions, &rig->shm,
		    &err) < 0) {
		fail_msg("%s", err.text);
	}
	snapshot_store_init(&rig->store);
	assert_int_equal(shm_listener_index(&rig->shm, "test"), 0);
	assert_int_equal(shm_pool_index(&rig->shm, "test"), 0);
	rig->wake_fd = eventfd(0, EFD_NONBLOCK);
	rig->control_fd = eventfd(0, EFD_NONBLOCK);
	rig->access = aligned_alloc(CACHE_LINE, sizeof *rig->access);
	assert_non_null(rig->access);
	access_init(rig->access);
	for (uint32_t i = 0; i < RIG_BACKENDS; i++) {
		char name[32];

		(void)snprintf(name, sizeof name, "backend%u", i);
		rig->addresses[i] = make_address(rig, options->local_backend, name);
		rig->backends[i] = listen_blocking(&rig->addresses[i]);
	}
	rig->listener = make_address(rig, options->local_client, "listener");
	rig_publish(rig, rig->options.backend_count);
	start_worker(rig);
}

/* Word by word: the thread sanitizer looks into memcpy(), and what it would say is true. */
__attribute__((no_sanitize("thread"))) struct session_record rig_record(
	const struct rig *rig, uint32_t index)
{
	const volatile uint64_t *from =
		(const volatile uint64_t *)(const void *)shm_record(&rig->shm, 0, index);
	union {
		struct session_record record;
		uint64_t words[sizeof(struct session_record) / sizeof(uint64_t)];
	} copy;

	for (size_t i = 0; i < sizeof copy.words / sizeof copy.words[0]; i++) {
		copy.words[i] = from[i];
	}
	return copy.record;
}

void rig_command(struct rig *rig, enum command_kind kind, uint32_t argument)
{
	const struct command command = {.kind = kind, .argument = argument, .reason = CLOSE_KILLED};

	assert_true(command_push(&rig->shm.commands[0], &command));
	assert_int_equal(eventfd_write(rig->wake_fd, 1), 0);
}

static void remove_path(const struct sockaddr_any *address)
{
	if (address->generic.sa_family == AF_UNIX) {
		(void)unlink(address->local.sun_path);
	}
}

void rig_stop(struct rig *rig)
{
	rig_command(rig, COMMAND_EXIT, 0);
	worker_join(rig->worker);
	assert_int_equal(shm_sessions(&rig->shm), 0);
	assert_int_equal(shm_slot_sessions(&rig->shm, 0), 0);
	assert_int_equal(rig->worker->bulk_pipe_count, 0);
	worker_free(rig->worker);
	snapshot_store_done(&rig->store);
	shm_destroy(&rig->shm);
	for (uint32_t i = 0; i < RIG_BACKENDS; i++) {
		socket_close(rig->backends[i]);
		remove_path(&rig->addresses[i]);
	}
	remove_path(&rig->listener);
	(void)rmdir(rig->directory);
	(void)close(rig->wake_fd);
	(void)close(rig->control_fd);
	free(rig->access);
}

int rig_connect(const struct rig *rig)
{
	const int fd = socket(rig->listener.generic.sa_family, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	set_timeouts(fd);
	assert_int_equal(connect(fd, &rig->listener.generic, rig->listener.length), 0);
	return fd;
}

int rig_accept(const struct rig *rig, uint32_t index)
{
	const int fd = accept(rig->backends[index], NULL, NULL);

	if (fd < 0) {
		fail_msg("backend %u was not connected: %s", index, strerrordesc_np(errno));
	}
	set_timeouts(fd);
	return fd;
}

void rig_backend_down(struct rig *rig, uint32_t index)
{
	socket_close(rig->backends[index]);
	rig->backends[index] = -1;
}

void rig_backend_up(struct rig *rig, uint32_t index)
{
	rig->backends[index] = listen_blocking(&rig->addresses[index]);
}

void rig_write(int fd, const void *bytes, size_t length)
{
	const char *next = bytes;

	while (length > 0) {
		const ssize_t n = send(fd, next, length, MSG_NOSIGNAL);

		if (n <= 0) {
			fail_msg("cannot write: %s", strerrordesc_np(errno));
		}
		next += n;
		length -= (size_t)n;
	}
}

void rig_read(int fd, void *bytes, size_t length)
{
	char *next = bytes;

	while (length > 0) {
		const ssize_t n = recv(fd, next, length, 0);

		if (n <= 0) {
			fail_msg("%zu bytes are missing: %s", length,
				n == 0 ? "the end" : strerrordesc_np(errno));
		}
		next += n;
		length -= (size_t)n;
	}
}

void rig_expect_end(int fd)
{
	char byte;
	const ssize_t n = recv(fd, &byte, 1, 0);

	if (n != 0) {
		fail_msg("the end was expected: %s", n > 0 ? "a byte" : strerrordesc_np(errno));
	}
}

void rig_expect_reset(int fd)
{
	char byte;
	const ssize_t n = recv(fd, &byte, 1, 0);

	if (n >= 0 || errno != ECONNRESET) {
		fail_msg("a reset was expected: %s",
			n > 0 ? "a byte" : (n == 0 ? "the end" : strerrordesc_np(errno)));
	}
}

void rig_reset(int fd)
{
	socket_reset_on_close(fd);
	(void)close(fd);
}

void rig_wait_counter(const counter_t *counter, uint64_t value)
{
	rig_wait_at_least(counter, value);
	assert_int_equal(counter_get(counter), value);
}

void rig_wait_at_least(const counter_t *counter, uint64_t value)
{
	for (int i = 0; i < RIG_WAIT_MS && counter_get(counter) < value; i++) {
		nap();
	}
	assert_true(counter_get(counter) >= value);
}

void rig_wait_closed(const struct rig *rig)
{
	for (int i = 0; i < RIG_WAIT_MS; i++) {
		if (atomic_load(&rig->shm.worker_states[0].listeners_open) == 0) {
			return;
		}
		nap();
	}
	fail_msg("a listener is still open");
}

struct access_record rig_wait_access(const struct rig *rig)
{
	struct access_record record = {.tries = 0};

	for (int i = 0; i < RIG_WAIT_MS; i++) {
		if (access_pop(rig->access, &record)) {
			return record;
		}
		nap();
	}
	fail_msg("no session has ended");
	return record;
}

void line_open(struct line *line, const struct rig_options *options)
{
	char text[5];

	rig_start(&line->rig, options);
	line->client = rig_connect(&line->rig);
	rig_write(line->client, "hello", 5);
	line->backend = rig_accept(&line->rig, 0);
	rig_read(line->backend, text, 5);
	assert_memory_equal(text, "hello", 5);
	rig_write(line->backend, "world", 5);
	rig_read(line->client, text, 5);
	assert_memory_equal(text, "world", 5);
}

void line_close(struct line *line)
{
	(void)close(line->client);
	(void)close(line->backend);
	rig_stop(&line->rig);
}

void rig_expect_text(int from, int to, const char *text)
{
	char got[64];
	const size_t length = strlen(text);

	rig_write(from, text, length);
	rig_read(to, got, length);
	assert_memory_equal(got, text, length);
}

#define LOCAL_PORTS "/proc/sys/net/ipv4/ip_local_port_range"

void rig_old_network(int network)
{
	assert_int_equal(setns(network, CLONE_NEWNET), 0);
	(void)close(network);
}

int rig_new_network(void)
{
	const int before = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd;

	if (before < 0 || unshare(CLONE_NEWNET) < 0) {
		(void)close(before);
		return -1;
	}
	if (access(LOCAL_PORTS, W_OK) < 0) { /* a container may keep /proc/sys to itself */
		rig_old_network(before);
		return -1;
	}
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &lo), 0);
	(void)close(fd);
	return before;
}

void rig_local_ports(unsigned first, unsigned last)
{
	const int fd = open(LOCAL_PORTS, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(dprintf(fd, "%u %u", first, last) > 0);
	(void)close(fd);
}
