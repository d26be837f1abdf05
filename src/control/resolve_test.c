#include <poll.h>

#include "base/testing.h"
#include "control/resolve.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_carries_address_and_port),
		cmocka_unit_test(a_name_that_is_none_says_why),
		cmocka_unit_test(the_descriptor_says_that_there_is_an_answer),
		cmocka_unit_test(many_questions_are_all_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
