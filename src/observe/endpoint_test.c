#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/testing.h"
#include "observe/endpoint.h"

static struct address parse(const char *text)
{
	struct address address;

	assert_null(address_parse(text, strlen(text), &address));
	return address;
}

/* Any free port, which no text says. */
static struct address any_port(const char *text)
{
	struct address address = parse(text);

	address.port = 0;
	address.numeric.ip4.sin_port = 0;
	return address;
}

static int connect_to(const struct sockaddr_any *address)
{
	const int fd = socket(address->generic.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	assert_true(fd >= 0);
	r = connect(fd, &address->generic, address->length) == 0 ? 0 : -errno;
	(void)close(fd);
	return r;
}

static struct sockaddr_any numeric(const char *host, uint16_t port)
{
	char text[64];

	(void)snprintf(text, sizeof text, "%s:%u", host, port);
	return parse(text).numeric;
}

static void a_free_port_is_found_and_told(void **state)
{
	const struct address address = any_port("127.0.0.1:1");
	struct sockaddr_any client;
	struct endpoint endpoint;
	int fd;

	(void)state;
	assert_int_equal(endpoint_open(&address, &endpoint, NULL), 0);
	assert_int_equal(endpoint.count, 1);
	assert_true(endpoint.port > 0);
	assert_int_equal(fcntl(endpoint.fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(endpoint_accept(&endpoint, 0, &client), -EAGAIN);

	client = numeric("127.0.0.1", endpoint.port);
	assert_int_equal(connect_to(&client), 0);
	fd = endpoint_accept(&endpoint, 0, &client);
	assert_true(fd >= 0);
	assert_int_equal(client.generic.sa_family, AF_INET);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	(void)close(fd);
	endpoint_close(&endpoint);
	assert_int_equal(endpoint.count, 0);
}

/* ":port" serves both families where the system has both. */
static void without_a_host_all_addresses_are_served(void **state)
{
	const struct address address = any_port(":1");
	struct endpoint endpoint;
	struct sockaddr_any client;

	(void)state;
	assert_int_equal(endpoint_open(&address, &endpoint, NULL), 0);
	client = numeric("127.0.0.1", endpoint.port);
	assert_int_equal(connect_to(&client), 0);
	if (endpoint.count == 2) {
		client = numeric("[::1]", endpoint.port);
		assert_int_equal(connect_to(&client), 0);
	}
	endpoint_close(&endpoint);
}

static void a_port_in_use_is_an_error(void **state)
{
	const struct address address = any_port("127.0.0.1:1");
	struct endpoint first;
	struct endpoint second;
	struct address taken = {.kind = ADDRESS_NUMERIC};
	struct error err;
	char text[32];

	(void)state;
	assert_int_equal(endpoint_open(&address, &first, NULL), 0);
	taken.numeric = numeric("127.0.0.1", first.port);
	assert_int_equal(endpoint_open(&taken, &second, &err), -EADDRINUSE);
	(void)snprintf(text, sizeof text, "127.0.0.1:%u", first.port);
	assert_non_null(strstr(err.text, text));
	endpoint_close(&first);
	assert_int_equal(endpoint_open(&taken, &second, &err), 0);
	endpoint_close(&second);
}

static void a_name_is_looked_up(void **state)
{
	const struct address good = any_port("localhost:1");
	const struct address bad = parse("no-such-name.invalid:1");
	struct endpoint endpoint;
	struct error err;

	(void)state;
	assert_int_equal(endpoint_open(&good, &endpoint, &err), 0);
	assert_true(endpoint.port > 0);
	endpoint_close(&endpoint);
	assert_int_equal(endpoint_open(&bad, &endpoint, &err), -EADDRNOTAVAIL);
	assert_memory_equal(err.text, "no-such-name.invalid: ", 22);
}

static void no_address_is_an_error(void **state)
{
	const struct address address = {.kind = ADDRESS_UNSET};
	struct endpoint endpoint;
	struct error err;

	(void)state;
	assert_int_equal(endpoint_open(&address, &endpoint, &err), -EINVAL);
}

static void a_unix_socket_comes_and_goes(void **state)
{
	char folder[] = "/tmp/loble-endpoint-XXXXXX";
	char text[64];
	struct endpoint endpoint;
	struct endpoint second;
	struct address address;

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(text, sizeof text, "unix:%s/s", folder);
	address = parse(text);
	assert_int_equal(endpoint_open(&address, &endpoint, NULL), 0);
	assert_int_equal(endpoint.port, 0);
	assert_int_equal(connect_to(&address.numeric), 0);
	/* Live: an error, and it stays where it is. */
	assert_int_equal(endpoint_open(&address, &second, NULL), -EADDRINUSE);
	assert_int_equal(connect_to(&address.numeric), 0);
	endpoint_close(&endpoint);
	assert_int_equal(connect_to(&address.numeric), -ENOENT);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_free_port_is_found_and_told),
		cmocka_unit_test(without_a_host_all_addresses_are_served),
		cmocka_unit_test(a_port_in_use_is_an_error),
		cmocka_unit_test(a_name_is_looked_up),
		cmocka_unit_test(no_address_is_an_error),
		cmocka_unit_test(a_unix_socket_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
