#include "config/testing.h"

static void an_address_is_used_once_in_a_pool(void **state)
{
	(void)state;
	assert_complains(WITH_LISTENER WITH_BACKEND WITH_BACKEND,
		":9:11: error: the address '10.0.0.1:80' is used twice in pool 'default'\n");
	assert_complains(
		WITH_LISTENER WITH_BACKEND WITH_BACKEND, "help: first defined here: line 6\n");
	assert_complains(WITH_LISTENER WITH_BACKEND WITH_BACKEND, "\n1 error, 0 warnings\n");
	assert_complains(WITH_LISTENER WITH_BACKEND WITH_BACKEND WITH_BACKEND "\n",
		"\n2 errors, 0 warnings\n");
	assert_complains(WITH_LISTENER "[[backends]]\naddress = 'DB.Example:1'\nname = 'a'\n"
				       "[[backends]]\naddress = 'db.example:1'\nname = 'b'\n",
		"the address 'db.example:1' is used twice");
	assert_complains(WITH_LISTENER "[[backends]]\naddress = '[::1]:1'\nname = 'a'\n"
				       "[[backends]]\naddress = '[0:0::1]:01'\nname = 'b'\n",
		"the address '[::1]:1' is used twice");
}

static void a_name_is_used_once_in_a_pool(void **state)
{
	(void)state;
	assert_complains(WITH_LISTENER "[[backends]]\nname = 'x'\naddress = 'a:1'\n"
				       "[[backends]]\naddress = 'b:1'\nname = 'x'\n",
		":9:8: error: the name 'x' is used twice in pool 'default'\n");
	assert_complains(WITH_LISTENER "[[backends]]\naddress = 'a:1'\n"
				       "[[backends]]\naddress = 'b:1'\nname = 'a:1'\n",
		":8:8: error: the name 'a:1' is used twice in pool 'default'\n");
}

static void two_mistakes_of_one_backend_are_two(void **state)
{
	(void)state;
	assert_complains(WITH_LISTENER "[[backends]]\nname = 'x'\naddress = 'a:1'\n"
				       "[[backends]]\naddress = 'a:1'\nname = 'x'\n",
		"\n2 errors, 0 warnings\n");
}

static void pools_may_share_backends(void **state)
{
	struct config *config =
		load_valid("[[pools.a.backends]]\naddress = 'h:1'\n[[pools.b.backends]]\n"
			   "address = 'h:1'\n[[listeners]]\naddress = ':1'\npool = 'a'\n"
			   "[[listeners]]\naddress = ':2'\npool = 'b'\n");

	(void)state;
	config_free(config);
}

static void assert_listeners(const char *first, const char *second, const char *complaint)
{
	char text[512];

	(void)snprintf(text, sizeof text,
		"[[pools.a.backends]]\naddress = 'h:1'\n[[listeners]]\naddress = '%s'\n"
		"[[listeners]]\naddress = '%s'\n",
		first, second);
	if (complaint == NULL) {
		config_free(load_valid(text));
	} else {
		assert_complains(text, complaint);
		assert_complains(text, ":6:11: ");
		assert_complains(text, "first defined here: line 4\n");
		assert_complains(text, "\n1 error, 0 warnings\n");
	}
}

static void listeners_have_addresses_of_their_own(void **state)
{
	(void)state;
	assert_listeners(":1", ":1", "is used twice");
	assert_listeners(":1", "0.0.0.0:1", "the address '0.0.0.0:1' is used twice");
	assert_listeners("[::]:1", ":1", "the address '[::]:1' is used twice");
	assert_listeners("unix:/x", "unix:/x", "the address 'unix:/x' is used twice");
	assert_listeners(":1", "127.0.0.1:1",
		"the address '127.0.0.1:1' is used twice: it is one of '0.0.0.0:1'");
	assert_listeners("127.0.0.1:1", "0.0.0.0:1", "it is one of '0.0.0.0:1'");
	assert_listeners("[::1]:1", ":1", "the address '[::1]:1' is used twice");
	assert_listeners("0.0.0.0:1", "[::1]:1", NULL);
	assert_listeners("127.0.0.1:1", ":2", NULL);
	assert_listeners("0.0.0.0:1", "[::]:1", NULL);
	assert_listeners(":1", ":2", NULL);
	assert_listeners("unix:/x", "unix:@/x", NULL);
	assert_complains(WITH_LISTENER WITH_BACKEND "[metrics]\naddress = '0.0.0.0:9000'\n",
		":8:11: error: the address '0.0.0.0:9000' is used twice\n");
	assert_complains("[listener]\naddress = '127.0.0.1:9090'\n" WITH_BACKEND "[metrics]\n",
		":6:2: error: the address '127.0.0.1:9090' is used twice\n");
	config_free(load_valid("[listener]\naddress = '127.0.0.1:9090'\n" WITH_BACKEND
			       "[metrics]\nenabled = false\n"));
}

static void listeners_have_names_of_their_own(void **state)
{
	(void)state;
	assert_complains("[[pools.a.backends]]\naddress = 'h:1'\n[[listeners]]\naddress = ':1'\n"
			 "name = 'x'\n[[listeners]]\naddress = ':2'\nname = 'x'\n",
		":8:8: error: the name 'x' is used twice by listeners\n");
}

static void the_admin_socket_is_a_path(void **state)
{
	(void)state;
	assert_complains(WITH_LISTENER WITH_BACKEND "[admin]\nsocket = 'off'\n",
		":8:10: error: 'socket' in [admin]: \"off\" is not allowed here\n");
	assert_complains(WITH_LISTENER WITH_BACKEND "[admin]\nsocket = 'unix:/run/a'\n",
		":8:10: error: 'socket' in [admin]: a path is expected, not an address\n");
	assert_complains(WITH_LISTENER WITH_BACKEND "[admin]\nsocket = '@a'\n",
		"a path is expected, not an address\n");
}

static void a_listener_finds_its_pool(void **state)
{
	static const char two[] = "[[pools.a.backends]]\naddress = 'h:1'\n"
				  "[[pools.bb.backends]]\naddress = 'h:1'\n";
	char text[512];

	(void)state;
	(void)snprintf(text, sizeof text, "%s[[listeners]]\naddress = ':1'\npool = 'c'\n", two);
	assert_complains(text, ":7:8: error: there is no pool 'c'\n");
	assert_complains(text, "help: the pools are: a, bb\n");
	(void)snprintf(text, sizeof text, "%s[[listeners]]\naddress = ':1'\n", two);
	assert_complains(text, ":5:1: error: [[listeners]] has no 'pool', and there are several\n");
	assert_complains(WITH_BACKEND "[listener]\naddress = ':1'\npool = 'web'\n",
		"error: there is no pool 'web'\n");
	assert_complains(
		WITH_BACKEND "[listener]\naddress = ':1'\npool = ''\n", "\n1 error, 0 warnings\n");
	assert_complains("[[listeners]]\naddress = ':1'\npool = 'a'\n", "\n1 error, 0 warnings\n");
}

/* The messages about a text that is valid, to be freed. */
static char *warnings_about(const char *text)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_text(text, strlen(text), "test.toml", diag);
	char *messages = messages_of(diag);

	assert_non_null(config);
	assert_int_equal(diag_errors(diag), 0);
	config_free(config);
	diag_free(diag);
	return messages;
}

static void what_is_likely_a_mistake_is_a_warning(void **state)
{
	char *messages = warnings_about(WITH_LISTENER WITH_BACKEND "weight = 0\n");

	(void)state;
	assert_contains(
		messages, "test.toml:5:1: warning: all backends of pool 'default' have weight 0");
	assert_contains(messages, "\n0 errors, 1 warning\n");
	free(messages);
	messages = warnings_about("[[pools.a.backends]]\naddress = 'h:1'\nweight = 0\n"
				  "[[pools.a.backends]]\naddress = 'g:1'\nweight = 1\n"
				  "[pools.b]\n[[pools.b.backends]]\naddress = 'h:1'\nweight = 0\n"
				  "[[listeners]]\naddress = ':1'\npool = 'a'\n");
	assert_contains(messages, ":7:8: warning: no listener uses pool 'b'\n");
	assert_contains(messages, ":7:8: warning: all backends of pool 'b' have weight 0");
	assert_contains(messages, "\n0 errors, 2 warnings\n");
	free(messages);
}

static void an_address_can_be_too_long_to_be_a_name(void **state)
{
	char host[254];
	char text[1024];

	(void)state;
	memset(host, 'a', sizeof host);
	for (size_t i = 60; i < sizeof host; i += 60) {
		host[i] = '.';
	}
	host[150] = '\0';
	(void)snprintf(text, sizeof text, WITH_LISTENER "[[backends]]\naddress = '%s:80'\n", host);
	assert_complains(text, ":5:11: error: the address is longer than 127 bytes");
	assert_complains(text, "help: give it a shorter 'name'\n");
	(void)snprintf(text, sizeof text,
		WITH_LISTENER "[[backends]]\nname = 'x'\naddress = '%s:80'\n", host);
	config_free(load_valid(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_used_once_in_a_pool),
		cmocka_unit_test(a_name_is_used_once_in_a_pool),
		cmocka_unit_test(two_mistakes_of_one_backend_are_two),
		cmocka_unit_test(pools_may_share_backends),
		cmocka_unit_test(listeners_have_addresses_of_their_own),
		cmocka_unit_test(listeners_have_names_of_their_own),
		cmocka_unit_test(the_admin_socket_is_a_path),
		cmocka_unit_test(a_listener_finds_its_pool),
		cmocka_unit_test(what_is_likely_a_mistake_is_a_warning),
		cmocka_unit_test(an_address_can_be_too_long_to_be_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
