#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/testing.h"
#include "control/resolve.h"

enum { PATIENCE_MS = 10000 };

static _Atomic bool hold_up;
static _Atomic uint32_t held_up;

static void nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Stands before that of the library: a name server that takes as long as a test wants. */
int getaddrinfo(
	const char *name, const char *service, const struct addrinfo *req, struct addrinfo **pai)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");

	memcpy(&real, &symbol, sizeof real);
	atomic_fetch_add(&held_up, 1);
	while (atomic_load(&hold_up)) {
		nap();
	}
	return real(name, service, req, pai);
}

/* Numbers need no name server, so these run anywhere; "localhost" is in every hosts file. */
static struct address name(const char *host, uint16_t port)
{
	struct address address = {.kind = ADDRESS_NAME, .port = port};

	for (size_t i = 0; host[i] != '\0'; i++) {
		address.host[i] = host[i];
	}
	return address;
}

static void an_answer_carries_address_and_port(void **state)
{
	const struct address v4 = name("127.0.0.9", 81);
	const struct address v6 = name("::1", 65535);
	struct resolver *resolver;
	struct resolve_answer answer;
	int found = 0;

	(void)state;
	assert_int_equal(resolver_create(2, &resolver, NULL), 0);
	resolver_ask(resolver, 0, &v4);
	resolver_ask(resolver, 1, &v6);
	resolver_wait(resolver, 5000);
	while (resolver_answer(resolver, &answer)) {
		assert_true(answer.found);
		assert_int_equal(sockaddr_port(&answer.address), answer.backend == 0 ? 81 : 65535);
		assert_int_equal(
			answer.address.generic.sa_family, answer.backend == 0 ? AF_INET : AF_INET6);
		found++;
	}
	assert_int_equal(found, 2);
	resolver_free(resolver);
}

static void a_name_that_is_none_says_why(void **state)
{
	const struct address bad = name("no such name", 80);
	struct resolver *resolver;
	struct resolve_answer answer;

	(void)state;
	assert_int_equal(resolver_create(1, &resolver, NULL), 0);
	assert_false(resolver_answer(resolver, &answer));
	resolver_ask(resolver, 0, &bad);
	resolver_wait(resolver, 5000);
	assert_true(resolver_answer(resolver, &answer));
	assert_false(answer.found);
	assert_true(answer.problem[0] != '\0');
	resolver_free(resolver);
}

static void the_descriptor_says_that_there_is_an_answer(void **state)
{
	const struct address local = name("localhost", 80);
	struct resolver *resolver;
	struct resolve_answer answer;
	struct pollfd ready;

	(void)state;
	assert_int_equal(resolver_create(1, &resolver, NULL), 0);
	ready = (struct pollfd){.fd = resolver_fd(resolver), .events = POLLIN};
	assert_int_equal(poll(&ready, 1, 0), 0);
	for (int round = 0; round < 3; round++) {
		resolver_ask(resolver, 0, &local);
		assert_int_equal(poll(&ready, 1, 5000), 1);
		assert_true(resolver_answer(resolver, &answer));
		assert_true(answer.found);
		assert_int_equal(poll(&ready, 1, 0), 0);
	}
	resolver_free(resolver);
	resolver_free(NULL);
}

static void many_questions_are_all_answered(void **state)
{
	enum { COUNT = 100 };
	const struct address local = name("127.0.0.1", 80);
	bool answered[COUNT] = {false};
	struct resolver *resolver;
	struct resolve_answer answer;
	int count = 0;

	(void)state;
	assert_int_equal(resolver_create(COUNT, &resolver, NULL), 0);
	for (uint32_t i = 0; i < COUNT; i++) {
		resolver_ask(resolver, i, &local);
	}
	resolver_wait(resolver, 5000);
	while (resolver_answer(resolver, &answer)) {
		assert_false(answered[answer.backend]);
		answered[answer.backend] = true;
		count++;
	}
	assert_int_equal(count, COUNT);
	resolver_free(resolver);
}

/* Whoever watches the descriptor would be woken all the time, and nobody reads it any more. */
static void after_the_end_the_descriptor_is_quiet(void **state)
{
	const struct address local = name("127.0.0.1", 80);
	struct resolver *resolver;
	struct pollfd ready = {.events = POLLIN};
	int fd;

	(void)state;
	assert_int_equal(resolver_create(2, &resolver, NULL), 0);
	fd = resolver_fd(resolver);
	ready.fd = dup(fd); /* what is written is seen here, too, and after the close */
	assert_true(ready.fd >= 0);
	resolver_ask(resolver, 0, &local);
	resolver_wait(resolver, 5000);
	assert_int_equal(poll(&ready, 1, 0), 1);
	atomic_store(&held_up, 0);
	atomic_store(&hold_up, true);
	resolver_ask(resolver, 1, &local);
	for (int i = 0; i < PATIENCE_MS && atomic_load(&held_up) == 0; i++) {
		nap();
	}
	resolver_free(resolver);
	assert_int_equal(poll(&ready, 1, 0), 0);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	atomic_store(&hold_up, false);
	for (int i = 0; i < PATIENCE_MS && fcntl(fd, F_GETFD) >= 0; i++) {
		nap();
	}
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* the last thread has left */
	assert_int_equal(poll(&ready, 1, 0), 0);
	(void)close(ready.fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_carries_address_and_port),
		cmocka_unit_test(a_name_that_is_none_says_why),
		cmocka_unit_test(the_descriptor_says_that_there_is_an_answer),
		cmocka_unit_test(many_questions_are_all_answered),
		cmocka_unit_test(after_the_end_the_descriptor_is_quiet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
