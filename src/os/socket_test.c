#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/testing.h"
#include "os/socket.h"

enum { WAIT_MS = 5000 };

static struct listen_spec at_loopback(uint16_t port)
{
	struct listen_spec spec = {.backlog = 16, .mode = 0600};

	spec.address.length = sizeof spec.address.ip4;
	spec.address.ip4.sin_family = AF_INET;
	spec.address.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	spec.address.ip4.sin_port = htons(port);
	return spec;
}

static struct listen_spec at_path(const char *path)
{
	struct listen_spec spec = {.backlog = 16, .mode = 0640};

	spec.address.length = sizeof spec.address.local;
	spec.address.local.sun_family = AF_UNIX;
	(void)snprintf(spec.address.local.sun_path, sizeof spec.address.local.sun_path, "%s", path);
	return spec;
}

static struct sockaddr_any bound_to(int fd)
{
	struct sockaddr_any address = {.length = sizeof address.local};

	assert_int_equal(getsockname(fd, &address.generic, &address.length), 0);
	return address;
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t length = sizeof value;

	assert_int_equal(getsockopt(fd, level, option, &value, &length), 0);
	return value;
}

static int wait_for(int fd, short events)
{
	struct pollfd one = {.fd = fd, .events = events};

	return poll(&one, 1, WAIT_MS) == 1 ? one.revents : 0;
}

/* Leaves nothing open when it fails. */
static int connect_to(const struct sockaddr_any *address, int *ret_fd)
{
	int r;

	assert_int_equal(socket_open(address, 0, ret_fd), 0);
	assert_false(socket_is_connected(*ret_fd));
	r = socket_connect(*ret_fd, address);
	if (r < 0) {
		socket_close(*ret_fd);
	}
	return r;
}

static void accepted_sockets_inherit_the_options_of_the_listener(void **state)
{
	struct listen_spec spec = at_loopback(0);
	struct sockaddr_any address;
	int listener;
	int client;
	int accepted;

	(void)state;
	spec.keepalive_s = 33;
	assert_int_equal(socket_listen(&spec, &listener, NULL), 0);
	address = bound_to(listener);
	assert_int_equal(connect_to(&address, &client), 0);
	assert_true((wait_for(listener, POLLIN) & POLLIN) != 0);
	accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	assert_true(accepted >= 0);
	assert_true(socket_is_connected(client) && socket_is_connected(accepted));
	assert_int_equal(option_of(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(option_of(accepted, SOL_SOCKET, SO_OOBINLINE), 1);
	assert_int_equal(option_of(accepted, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(accepted, IPPROTO_TCP, TCP_KEEPIDLE), 33);
	assert_int_equal(option_of(client, SOL_SOCKET, SO_OOBINLINE), 1);
	assert_int_equal(option_of(client, SOL_SOCKET, SO_KEEPALIVE), 0);
	assert_int_equal(option_of(client, IPPROTO_TCP, TCP_NODELAY), 0);
	assert_int_equal(socket_keep_alive(client, 7), 0);
	assert_int_equal(socket_send_at_once(client), 0);
	assert_int_equal(option_of(client, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(client, IPPROTO_TCP, TCP_KEEPIDLE), 7);
	assert_int_equal(option_of(client, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_true(socket_cookie(client) != 0);
	assert_true(socket_cookie(client) != socket_cookie(accepted));
	assert_int_equal(fcntl(client, F_GETFD) & FD_CLOEXEC, 0);
	socket_close_pair(client, accepted);
	assert_int_equal(fcntl(client, F_GETFD), -1);
	assert_int_equal(fcntl(accepted, F_GETFD), -1);
	socket_close(listener);
}

static void an_address_in_use_is_found_although_both_sides_share(void **state)
{
	struct listen_spec spec = at_loopback(0);
	struct error err;
	int first;
	int second;

	(void)state;
	spec.share_port = true;
	assert_int_equal(socket_listen(&spec, &first, NULL), 0);
	spec.address = bound_to(first);
	assert_int_equal(socket_prove_free(&spec, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "cannot bind"));
	assert_int_equal(socket_listen(&spec, &second, NULL), 0); /* sharing itself works */
	socket_close(first);
	socket_close(second);
	assert_int_equal(socket_prove_free(&spec, &err), 0);
}

static void what_cannot_be_bound_leaves_nothing_open(void **state)
{
	struct listen_spec spec = at_loopback(0);
	struct error err;
	int fd = -1;
	const int before = dup(0);

	(void)state;
	(void)close(before);
	spec.address.ip4.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 is nobody's */
	assert_int_equal(socket_listen(&spec, &fd, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "192.0.2.1"));
	assert_int_equal(fd, -1);
	fd = dup(0);
	assert_int_equal(fd, before);
	(void)close(fd);
	spec.freebind = true; /* the address may come later */
	assert_int_equal(socket_listen(&spec, &fd, &err), 0);
	socket_close(fd);
}

static void a_stale_unix_socket_is_replaced_and_a_live_one_is_not(void **state)
{
	char directory[] = "/tmp/loble-socket-XXXXXX";
	char path[64];
	struct listen_spec spec;
	struct stat status;
	struct error err;
	int first;
	int second;

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof path, "%s/x.sock", directory);
	spec = at_path(path);
	assert_int_equal(socket_listen(&spec, &first, &err), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
	assert_int_equal(socket_listen(&spec, &second, &err), -EADDRINUSE);
	socket_close(first); /* the file stays, and nobody is behind it */
	assert_int_equal(socket_listen(&spec, &second, &err), 0);
	socket_remove_stale(&spec.address);
	assert_int_equal(stat(path, &status), 0); /* live: it stays */
	socket_close(second);
	socket_remove_stale(&spec.address);
	assert_int_equal(stat(path, &status), -1);
	assert_int_equal(rmdir(directory), 0);
}

static void a_refused_connect_is_told(void **state)
{
	struct listen_spec spec = at_loopback(0);
	struct sockaddr_any address;
	int fd;
	int r;

	(void)state;
	assert_int_equal(socket_listen(&spec, &fd, NULL), 0);
	address = bound_to(fd);
	socket_close(fd);
	r = connect_to(&address, &fd);
	if (r == 0) {
		assert_true((wait_for(fd, POLLOUT) & POLLERR) != 0);
		r = -socket_take_error(fd);
		socket_close(fd);
	}
	assert_int_equal(r, -ECONNREFUSED);
}

static bool starts_at(const char *text)
{
	struct address address;

	assert_null(address_parse(text, strlen(text), &address));
	return socket_starts_there(&address.numeric);
}

static void where_connects_start_from_is_told(void **state)
{
	(void)state;
	assert_true(starts_at("127.0.0.1:40000"));
	assert_true(starts_at("0.0.0.0:40000")); /* another name for it */
	assert_false(starts_at("127.0.0.2:40000"));
	assert_false(starts_at("unix:/nowhere"));
}

/* A queued connection is served after the filter; a new one gets no answer, and then is refused. */
static void a_listener_that_refuses_keeps_its_queue(void **state)
{
	struct listen_spec spec = at_loopback(0);
	struct sockaddr_any address;
	int listener;
	int queued;
	int late;
	int accepted;

	(void)state;
	assert_int_equal(socket_listen(&spec, &listener, NULL), 0);
	address = bound_to(listener);
	assert_int_equal(connect_to(&address, &queued), 0);
	assert_true((wait_for(listener, POLLIN) & POLLIN) != 0);
	assert_int_equal(socket_refuse_new(listener, false), 0);
	assert_int_equal(connect_to(&address, &late), 0);
	accepted = accept4(listener, NULL, NULL, 0);
	assert_true(accepted >= 0);
	assert_int_equal(send(queued, "x", 1, MSG_NOSIGNAL), 1);
	assert_true((wait_for(accepted, POLLIN) & POLLIN) != 0);
	assert_int_equal(accept4(listener, NULL, NULL, SOCK_NONBLOCK), -1);
	socket_close(listener);
	assert_true((wait_for(late, POLLOUT) & (POLLERR | POLLHUP)) != 0);
	assert_int_equal(socket_take_error(late), ECONNREFUSED);
	socket_close(late);
	socket_close(accepted);
	socket_close(queued);
}

static void a_local_listener_that_refuses_keeps_its_queue(void **state)
{
	char directory[] = "/tmp/loble-socket-XXXXXX";
	char path[64];
	struct listen_spec spec;
	int listener;
	int queued;
	int late;
	int accepted;

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof path, "%s/x.sock", directory);
	spec = at_path(path);
	assert_int_equal(socket_listen(&spec, &listener, NULL), 0);
	assert_int_equal(connect_to(&spec.address, &queued), 0);
	assert_int_equal(socket_refuse_new(listener, true), 0);
	assert_int_equal(connect_to(&spec.address, &late), -ECONNREFUSED);
	accepted = accept4(listener, NULL, NULL, 0);
	assert_true(accepted >= 0);
	socket_close(accepted);
	socket_close(queued);
	socket_close(listener);
	(void)unlink(path);
	(void)rmdir(directory);
}

static void a_reset_on_close_reaches_the_peer(void **state)
{
	struct listen_spec spec = at_loopback(0);
	struct sockaddr_any address;
	char bytes[8];
	int listener;
	int client;
	int accepted;

	(void)state;
	spec.max_buffered = 65536;
	assert_int_equal(socket_listen(&spec, &listener, NULL), 0);
	address = bound_to(listener);
	assert_int_equal(connect_to(&address, &client), 0);
	assert_true((wait_for(listener, POLLIN) & POLLIN) != 0);
	accepted = accept4(listener, NULL, NULL, 0);
	assert_true(option_of(accepted, SOL_SOCKET, SO_RCVBUF) <= 65536);
	assert_int_equal(socket_unacknowledged(accepted), 0);
	assert_int_equal(socket_unread(client), 0);
	assert_int_equal(send(accepted, "abc", 3, 0), 3);
	assert_true(wait_for(client, POLLIN) != 0);
	assert_int_equal(socket_unread(client), 3);
	socket_reset_on_close(accepted);
	socket_close(accepted);
	assert_true(wait_for(client, POLLHUP) != 0);
	assert_int_equal(socket_unread(client), 3); /* a reset takes nothing back */
	assert_int_equal(recv(client, bytes, sizeof bytes, 0), 3);
	assert_int_equal(recv(client, bytes, sizeof bytes, 0), -1);
	assert_int_equal(errno, ECONNRESET);
	socket_close(client);
	socket_close(listener);
}

static int lock_of(int fd)
{
	return option_of(fd, SOL_SOCKET, SO_BUF_LOCK);
}

/* To set a size, even to what it is, would keep it from growing. */
static void without_a_size_the_buffers_are_the_kernels(void **state)
{
	struct listen_spec spec = at_loopback(0);
	int receive;
	int send;
	int fd;

	(void)state;
	assert_int_equal(socket_listen(&spec, &fd, NULL), 0);
	receive = option_of(fd, SOL_SOCKET, SO_RCVBUF);
	send = option_of(fd, SOL_SOCKET, SO_SNDBUF);
	assert_int_equal(lock_of(fd), 0);
	/* None was ever set; then one is set and taken back. */
	for (int round = 0; round < 2; round++) {
		spec.max_buffered = 0;
		assert_int_equal(socket_adjust(fd, &spec), 0);
		assert_int_equal(lock_of(fd), 0);
		assert_int_equal(option_of(fd, SOL_SOCKET, SO_RCVBUF), receive);
		assert_int_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), send);
		spec.max_buffered = 65536;
		assert_int_equal(socket_adjust(fd, &spec), 0);
		assert_int_not_equal(lock_of(fd), 0);
		assert_int_not_equal(option_of(fd, SOL_SOCKET, SO_RCVBUF), receive);
		assert_int_not_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), send);
	}
	socket_close(fd);
}

static void keepalive_can_be_changed(void **state)
{
	struct listen_spec spec = at_loopback(0);
	int fd;

	(void)state;
	spec.keepalive_s = 33;
	assert_int_equal(socket_listen(&spec, &fd, NULL), 0);
	spec.keepalive_s = 44;
	assert_int_equal(socket_adjust(fd, &spec), 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 44);
	spec.keepalive_s = 0;
	assert_int_equal(socket_adjust(fd, &spec), 0);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
	socket_close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted_sockets_inherit_the_options_of_the_listener),
		cmocka_unit_test(an_address_in_use_is_found_although_both_sides_share),
		cmocka_unit_test(what_cannot_be_bound_leaves_nothing_open),
		cmocka_unit_test(a_stale_unix_socket_is_replaced_and_a_live_one_is_not),
		cmocka_unit_test(a_refused_connect_is_told),
		cmocka_unit_test(where_connects_start_from_is_told),
		cmocka_unit_test(a_listener_that_refuses_keeps_its_queue),
		cmocka_unit_test(a_local_listener_that_refuses_keeps_its_queue),
		cmocka_unit_test(a_reset_on_close_reaches_the_peer),
		cmocka_unit_test(without_a_size_the_buffers_are_the_kernels),
		cmocka_unit_test(keepalive_can_be_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
