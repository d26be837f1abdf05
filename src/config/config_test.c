#include <errno.h>
#include <unistd.h>

#include "base/array.h"
#include "config/testing.h"

static const char minimal[] = WITH_LISTENER WITH_BACKEND;

static void assert_address(const struct address *address, const char *expected)
{
	char text[ADDRESS_HOST_MAX + 8];

	assert_string_equal(address_text(address, text), expected);
}

static void defaults_of_the_process_are_as_documented(void **state)
{
	struct config *config = load_valid(minimal);

	(void)state;
	assert_int_equal(config->server.workers, 0);
	assert_int_equal(config->server.max_sessions, 0);
	assert_true(config->server.supervise);
	assert_int_equal(config->server.watchdog_ms, 30000);
	assert_null(config->server.user);
	assert_null(config->server.group);
	assert_int_equal(config->drain_ms, 30000);
	assert_int_equal(config->lame_duck_ms, 0);
	assert_int_equal(config->keepalive_ms, 60000);
	assert_false(config->metrics.enabled);
	assert_address(&config->metrics.address, "127.0.0.1:9090");
	assert_null(config->admin.socket);
	assert_int_equal(config->logging.level, CONFIG_LOG_INFO);
	assert_int_equal(config->logging.format, CONFIG_FORMAT_AUTO);
	assert_null(config->logging.file);
	assert_false(config->access_log.enabled);
	assert_null(config->access_log.file);
	assert_true(config->access_log.sample == 1.0);
	config_free(config);
}

static void defaults_of_traffic_are_as_documented(void **state)
{
	struct config *config = load_valid(minimal);
	const struct config_listener *listener = &config->listeners[0];
	const struct config_pool *pool = &config->pools[0];

	(void)state;
	assert_int_equal(listener->backlog, 4096);
	assert_int_equal(listener->max_connections, 0);
	assert_int_equal(listener->max_buffered, 0);
	assert_false(listener->freebind);
	assert_int_equal(listener->mode, 0660);
	assert_int_equal(listener->idle_ms, 3600000);
	assert_int_equal(listener->half_close_ms, 300000);
	assert_int_equal(pool->algorithm, CONFIG_ROUND_ROBIN);
	assert_int_equal(pool->retries, 2);
	assert_int_equal(pool->when_all_unhealthy, CONFIG_USE_ALL);
	assert_int_equal(pool->on_unhealthy, CONFIG_KEEP);
	assert_int_equal(pool->proxy_protocol, CONFIG_PROXY_OFF);
	assert_int_equal(pool->connect_ms, 3000);
	assert_int_equal(pool->connect_total_ms, 10000);
	assert_int_equal(pool->backend_drain_ms, DURATION_OFF);
	assert_int_equal(pool->health.failure_threshold, 3);
	assert_int_equal(pool->health.success_threshold, 2);
	assert_int_equal(pool->health.probe_interval_ms, 1000);
	assert_int_equal(pool->health.probe_timeout_ms, 1000);
	assert_int_equal(pool->health.flap_window_ms, 60000);
	assert_int_equal(pool->health.hold_down_max_ms, 300000);
	assert_int_equal(pool->health.max_ejected, 50);
	assert_int_equal(pool->backends[0].weight, 1);
	assert_int_equal(pool->backends[0].max_connections, 0);
	config_free(config);
}

static void words_are_the_right_numbers(void **state)
{
	static const struct {
		const char *line;
		uint32_t number;
	} cases[] = {
		{"[logging]\nlevel = 'debug'", CONFIG_LOG_DEBUG},
		{"[logging]\nlevel = 'info'", CONFIG_LOG_INFO},
		{"[logging]\nlevel = 'warn'", CONFIG_LOG_WARN},
		{"[logging]\nlevel = 'error'", CONFIG_LOG_ERROR},
		{"[logging]\nformat = 'auto'", CONFIG_FORMAT_AUTO},
		{"[logging]\nformat = 'text'", CONFIG_FORMAT_TEXT},
		{"[logging]\nformat = 'json'", CONFIG_FORMAT_JSON},
		{"[balancer]\nalgorithm = 'round_robin'", CONFIG_ROUND_ROBIN},
		{"[balancer]\nalgorithm = 'random'", CONFIG_RANDOM},
		{"[balancer]\nwhen_all_unhealthy = 'use_all'", CONFIG_USE_ALL},
		{"[balancer]\nwhen_all_unhealthy = 'refuse'", CONFIG_REFUSE},
		{"[balancer]\non_unhealthy = 'keep'", CONFIG_KEEP},
		{"[balancer]\non_unhealthy = 'close'", CONFIG_CLOSE},
		{"[balancer]\nproxy_protocol = 'off'", CONFIG_PROXY_OFF},
		{"[balancer]\nproxy_protocol = 'v1'", CONFIG_PROXY_V1},
		{"[balancer]\nproxy_protocol = 'v2'", CONFIG_PROXY_V2},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		char text[256];
		struct config *config;
		uint32_t number = UINT32_MAX;

		(void)snprintf(text, sizeof text, "%s\n%s\n", minimal, cases[i].line);
		config = load_valid(text);
		if (strstr(cases[i].line, "level") != NULL) {
			number = config->logging.level;
		} else if (strstr(cases[i].line, "format") != NULL) {
			number = config->logging.format;
		} else if (strstr(cases[i].line, "algorithm") != NULL) {
			number = config->pools[0].algorithm;
		} else if (strstr(cases[i].line, "when_all") != NULL) {
			number = config->pools[0].when_all_unhealthy;
		} else if (strstr(cases[i].line, "on_unhealthy") != NULL) {
			number = config->pools[0].on_unhealthy;
		} else {
			number = config->pools[0].proxy_protocol;
		}
		assert_int_equal(number, cases[i].number);
		config_free(config);
	}
}

static void off_is_allowed_where_documented(void **state)
{
	struct config *config = load_valid(WITH_LISTENER WITH_BACKEND
		"[timeouts]\nidle = 'off'\nhalf_close = 'off'\nbackend_drain = 'off'\n"
		"lame_duck = '0s'\n[tcp]\nkeepalive = 'off'\n");

	(void)state;
	assert_int_equal(config->keepalive_ms, DURATION_OFF);
	assert_int_equal(config->listeners[0].idle_ms, DURATION_OFF);
	assert_int_equal(config->listeners[0].half_close_ms, DURATION_OFF);
	config_free(config);
	assert_complains("[timeouts]\nconnect = 'off'\n", "\"off\" is not allowed here");
	assert_complains("[timeouts]\nlame_duck = 'off'\n", "\"off\" is not allowed here");
	assert_complains("[server]\nwatchdog = 'off'\n", "\"off\" is not allowed here");
	assert_complains("[health]\nflap_window = 'off'\n", "\"off\" is not allowed here");
	assert_complains("[timeouts]\nidle = '0s'\n", "out of range");
}

static void a_file_is_loaded_and_named_in_messages(void **state)
{
	char path[] = "/tmp/loble-config-XXXXXX";
	const int fd = mkstemp(path);
	struct diag *diag = diag_create();
	struct config *config;
	char *messages;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, minimal, sizeof minimal - 1), sizeof minimal - 1);
	config = config_load_file(path, diag);
	assert_non_null(config);
	assert_string_equal(config->pools[0].backends[0].name, "10.0.0.1:80");
	config_free(config);
	assert_int_equal(write(fd, "x\n", 2), 2);
	assert_null(config_load_file(path, diag));
	messages = messages_of(diag);
	assert_contains(messages, path);
	assert_contains(messages, ":7:2: error: ");
	assert_contains(messages, "\n    7 | x\n");
	free(messages);
	assert_int_equal(close(fd), 0);
	assert_int_equal(unlink(path), 0);
	diag_free(diag);
}

static void all_kinds_of_mistakes_come_in_one_run(void **state)
{
	static const char text[] = "[listener]\naddress = 5\n[health]\nfailur = 1\n"
				   "success_threshold = 0\n[[backends]]\naddress = 'a:1'\n"
				   "[[backends]]\naddress = 'a:1'\nweight = '5'\n[what]\n";
	char *messages = complaints_about(text, sizeof text - 1);

	(void)state;
	assert_contains(messages, ":2:11: ");
	assert_contains(messages, ":4:1: ");
	assert_contains(messages, ":5:21: ");
	assert_contains(messages, ":9:11: ");
	assert_contains(messages, ":10:10: ");
	assert_contains(messages, ":11:2: ");
	assert_contains(messages, "\n6 errors, 0 warnings\n");
	free(messages);
}

/* Whatever is cut off the end of a good file, nothing breaks. */
static void every_prefix_of_a_file_is_survived(void **state)
{
	static const char text[] =
		"[[listeners]]\nname = \"db\"\naddress = \":5432\"\npool = \"db\"\n"
		"[pools.\"db\"]\nalgorithm = 'random'\n[pools.db.health]\nfailure_threshold = 3\n"
		"[[pools.db.backends]]\naddress = \"10.0.0.5:5432\" # \xc3\xa9\n"
		"[access_log]\nsample = 0.5\n[tcp]\nkeepalive = \"\"\"off\"\"\"\n";

	(void)state;
	for (size_t length = 0; length < sizeof text; length++) {
		struct diag *diag = diag_create();
		struct config *config = config_load_text(text, length, "f", diag);

		assert_int_equal(config == NULL, diag_errors(diag) > 0);
		free(messages_of(diag));
		config_free(config);
		diag_free(diag);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_of_the_process_are_as_documented),
		cmocka_unit_test(defaults_of_traffic_are_as_documented),
		cmocka_unit_test(words_are_the_right_numbers),
		cmocka_unit_test(off_is_allowed_where_documented),
		cmocka_unit_test(a_file_is_loaded_and_named_in_messages),
		cmocka_unit_test(all_kinds_of_mistakes_come_in_one_run),
		cmocka_unit_test(every_prefix_of_a_file_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
