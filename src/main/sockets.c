#include "main/sockets.h"

#include <errno.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config.h"
#include "model/shm.h"
#include "os/socket.h"
#include "os/steering.h"

/* ":80" stands for two addresses. */
enum { ADDRESSES_MAX = 2 };

static void any_address(int family, uint16_t port, struct sockaddr_any *ret_address)
{
	*ret_address = (struct sockaddr_any){.length = sizeof ret_address->ip4};
	if (family == AF_INET) {
		ret_address->ip4.sin_family = AF_INET;
		ret_address->ip4.sin_port = htons(port);
		return;
	}
	ret_address->length = sizeof ret_address->ip6;
	ret_address->ip6.sin6_family = AF_INET6;
	ret_address->ip6.sin6_addr = in6addr_any;
	ret_address->ip6.sin6_port = htons(port);
}

/* Whether the system lets us use IPv6 at all: ":80" is 0.0.0.0 alone where it does not. */
static bool has_ip6(void)
{
	struct sockaddr_any address;
	const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool usable;

	any_address(AF_INET6, 0, &address);
	usable = fd >= 0 && bind(fd, &address.generic, address.length) == 0;
	socket_close(fd);
	return usable;
}

static uint32_t addresses_of(
	const struct config_listener *listener, struct sockaddr_any ret[static ADDRESSES_MAX])
{
	if (listener->address.kind != ADDRESS_ANY) {
		ret[0] = listener->address.numeric;
		return 1;
	}
	any_address(AF_INET, listener->address.port, &ret[0]);
	any_address(AF_INET6, listener->address.port, &ret[1]);
	return has_ip6() ? 2 : 1;
}

static struct listen_spec spec_of(const struct config *config,
	const struct config_listener *listener, const struct sockaddr_any *address)
{
	return (struct listen_spec){
		.address = *address,
		.backlog = listener->backlog > INT32_MAX ? INT32_MAX : (int)listener->backlog,
		.share_port = true,
		.freebind = listener->freebind,
		.mode = listener->mode,
		.keepalive_s = (uint32_t)((config->keepalive_ms + 999) / 1000),
		.max_buffered = listener->max_buffered,
	};
}

/* The socket of the n-th worker: one of its own, or for a UNIX socket a duplicate of the first. */
static int open_for(const struct listen_spec *spec, int first_fd, int *ret_fd, struct error *err)
{
	if (first_fd < 0 || spec->address.generic.sa_family != AF_UNIX) {
		return socket_listen(spec, ret_fd, err);
	}
	*ret_fd = dup(first_fd);
	return *ret_fd < 0 ? error_set(err, errno, "cannot share a listening socket") : 0;
}

/* The array of loads is made with the first address of several workers, and serves them all. */
static int array_of(struct shm *shm, struct error *err)
{
	struct process_state *process = &shm->header->process;
	int fd = atomic_load_explicit(&process->steering_fd, memory_order_relaxed);
	int r;

	if (fd > 0) {
		return fd;
	}
	r = steering_create(&fd, err);
	if (r == 0) {
		atomic_store_explicit(&process->steering_fd, fd, memory_order_relaxed);
		return fd;
	}
	return r;
}

/*
 * New clients go to the least loaded worker, where BPF is permitted. Otherwise the kernel's hash
 * spreads them: no reason to fail.
 */
static void steer(struct shm *shm, uint32_t number)
{
	int fds[WORKERS_MAX];
	struct error why;
	int r;

	if (shm->workers < 2) {
		return;
	}
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		fds[worker] = shm_listen_record(shm, worker, number)->fd;
	}
	r = array_of(shm, &why);
	if (r >= 0) {
		r = steering_attach(r, fds, shm->workers, &why);
	}
	if (r < 0) {
		atomic_store_explicit(
			&shm->header->process.steering_error, (uint32_t)-r, memory_order_relaxed);
	}
}

/* One address for all workers, under one number. */
static int open_address(
	struct shm *shm, uint32_t listener, const struct listen_spec *spec, struct error *err)
{
	const uint32_t flags = spec->address.generic.sa_family == AF_UNIX ? LISTEN_LOCAL : 0;
	const int number = shm_listen_number(shm);
	int first_fd = -1;
	int r = socket_prove_free(spec, err);

	if (r == 0 && number < 0) {
		r = error_say(err, ENOSPC, "more than %d listening sockets", LISTEN_SOCKETS_MAX);
	}
	for (uint32_t worker = 0; r == 0 && worker < shm->workers; worker++) {
		int fd;

		r = open_for(spec, first_fd, &fd, err);
		if (r == 0) {
			listen_record_open(shm_listen_record(shm, worker, (uint32_t)number), fd,
				listener, flags, socket_cookie(fd));
			first_fd = fd;
		}
	}
	if (r == 0 && flags == 0) {
		steer(shm, (uint32_t)number);
	}
	return r;
}

static int open_listener(const struct config *config, const struct config_listener *listener,
	struct shm *shm, struct error *err)
{
	struct sockaddr_any addresses[ADDRESSES_MAX];
	const uint32_t count = addresses_of(listener, addresses);
	const int index = shm_listener_index(shm, listener->name);
	struct error why;

	if (index < 0) {
		return error_say(err, ENOSPC, "more than %d listeners", LISTENERS_MAX);
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct listen_spec spec = spec_of(config, listener, &addresses[i]);
		const int r = open_address(shm, (uint32_t)index, &spec, &why);

		if (r < 0) {
			return error_say(err, -r, "listener \"%s\": %s", listener->name, why.text);
		}
	}
	return 0;
}

int sockets_open(const struct config *config, struct shm *shm, struct error *err)
{
	for (uint32_t i = 0; i < config->listener_count; i++) {
		const int r = open_listener(config, &config->listeners[i], shm, err);

		if (r < 0) {
			sockets_close(shm);
			return r;
		}
	}
	return 0;
}

static void close_array(struct shm *shm)
{
	const int fd = atomic_exchange_explicit(
		&shm->header->process.steering_fd, 0, memory_order_relaxed);

	if (fd > 0) {
		(void)close(fd);
	}
}

void sockets_close(struct shm *shm)
{
	close_array(shm);
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		for (uint32_t i = 0; i < shm_listen_limit(shm); i++) {
			struct listen_record *record = shm_listen_record(shm, worker, i);

			if (listen_record_is_live(record)) {
				socket_close(record->fd);
				listen_record_set_state(record, LISTEN_FREE);
			}
		}
	}
}

void sockets_unlink(const struct config *config)
{
	for (uint32_t i = 0; i < config->listener_count; i++) {
		const struct address *address = &config->listeners[i].address;

		/* Another process may have taken the path over meanwhile: then it is live. */
		if (address->kind == ADDRESS_LOCAL) {
			socket_remove_stale(&address->numeric);
		}
	}
}
