#include "config/arguments.h"
#include "config/testing.h"

static struct config *from(
	const char *listen, const char *first, const char *second, char **messages)
{
	const char *const backends[] = {first, second};
	const size_t count = first == NULL ? 0 : second == NULL ? 1 : 2;
	struct diag *diag = diag_create();
	struct config *config = config_from_arguments(listen, backends, count, diag);

	assert_int_equal(config == NULL, diag_errors(diag) > 0);
	*messages = messages_of(diag);
	diag_free(diag);
	return config;
}

static void addresses_become_a_configuration(void **state)
{
	char *messages;
	struct config *config = from(":9000", "a:80", "unix:/x \"y\\", &messages);

	(void)state;
	assert_non_null(config);
	assert_string_equal(messages, "");
	assert_int_equal(config->listener_count, 1);
	assert_int_equal(config->listeners[0].address.port, 9000);
	assert_string_equal(config->listeners[0].name, "default");
	assert_int_equal(config->pools[0].backend_count, 2);
	assert_string_equal(config->pools[0].backends[0].name, "a:80");
	assert_string_equal(config->pools[0].backends[1].name, "unix:/x \"y\\");
	assert_int_equal(config->pools[0].retries, 2);
	assert_false(config->metrics.enabled);
	free(messages);
	config_free(config);
}

static void an_apostrophe_is_no_end(void **state)
{
	char *messages;
	struct config *config = from(":9000", "unix:/it's\\\"here", NULL, &messages);

	(void)state;
	assert_non_null(config);
	assert_string_equal(config->pools[0].backends[0].name, "unix:/it's\\\"here");
	free(messages);
	config_free(config);
}

static void mistakes_say_that_they_are_of_the_command_line(void **state)
{
	char *messages;

	(void)state;
	assert_null(from("9000", "a", "b:0", &messages));
	assert_contains(messages, "command line:");
	assert_contains(messages, "'9000' is no address: the host is missing");
	assert_contains(messages, "'a' is no address: the port is missing");
	assert_contains(messages, "'b:0' is no address: the port is out of range");
	assert_contains(messages, "3 errors, 0 warnings\n");
	free(messages);
	assert_null(from(":1", NULL, NULL, &messages));
	assert_contains(messages, "there is no backend");
	free(messages);
	assert_null(from(":1", "a:1", "a:1", &messages));
	assert_contains(messages, "the address 'a:1' is used twice");
	free(messages);
	assert_null(from(":1", "a:1\nweight = 5", NULL, &messages));
	assert_contains(messages, "is no address");
	free(messages);
	assert_null(from(":1", "\xff:1", NULL, &messages));
	assert_contains(messages, "not valid UTF-8");
	free(messages);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_become_a_configuration),
		cmocka_unit_test(an_apostrophe_is_no_end),
		cmocka_unit_test(mistakes_say_that_they_are_of_the_command_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
