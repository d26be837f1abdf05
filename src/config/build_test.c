#include "config/build.h"
#include "config/testing.h"

static const char full[] =
	"[[listeners]]\nname = 'one'\naddress = ':1'\npool = 'a'\nidle = '1m'\n"
	"[[listeners]]\naddress = ':2'\npool = 'b'\n"
	"[timeouts]\nidle = 'off'\nconnect = '4s'\nbackend_drain = '9s'\nhalf_close = '7s'\n"
	"[health]\nfailure_threshold = 9\nprobe_timeout = '3s'\n"
	"[pools.b]\nconnect = '8s'\nbackend_drain = 'off'\n"
	"[[pools.b.backends]]\naddress = 'host:1'\n"
	"[pools.a.health]\nfailure_threshold = 5\n"
	"[[pools.a.backends]]\nname = 'x'\naddress = '10.0.0.1:1'\nweight = 0\n"
	"[[pools.a.backends]]\naddress = '[0::1]:1'\nmax_connections = 5\n";

static void the_simple_form_is_called_default(void **state)
{
	struct config *config = load_valid(WITH_LISTENER WITH_BACKEND
		"[balancer]\nalgorithm = 'random'\nconnect = '2s'\n[health]\nmax_ejected = 7\n"
		"[timeouts]\nidle = '2h'\n");

	(void)state;
	assert_int_equal(config->listener_count, 1);
	assert_string_equal(config->listeners[0].name, "default");
	assert_int_equal(config->listeners[0].idle_ms, 7200000);
	assert_int_equal(config->pool_count, 1);
	assert_string_equal(config->pools[0].name, "default");
	assert_int_equal(config->pools[0].algorithm, CONFIG_RANDOM);
	assert_int_equal(config->pools[0].connect_ms, 2000);
	assert_int_equal(config->pools[0].connect_total_ms, 10000);
	assert_int_equal(config->pools[0].health.max_ejected, 7);
	assert_int_equal(config->pools[0].backend_count, 1);
	assert_string_equal(config->pools[0].backends[0].name, "10.0.0.1:80");
	config_free(config);
}

static void a_listener_of_the_simple_form_may_have_a_name(void **state)
{
	struct config *config = load_valid(
		"[listener]\naddress = ':1'\nname = 'web'\npool = 'default'\n" WITH_BACKEND);

	(void)state;
	assert_string_equal(config->listeners[0].name, "web");
	config_free(config);
}

static void the_full_form_inherits_from_the_top(void **state)
{
	struct config *config = load_valid(full);
	const struct config_pool *b = &config->pools[0];
	const struct config_pool *a = &config->pools[1];

	(void)state;
	assert_int_equal(config->pool_count, 2);
	assert_string_equal(b->name, "b");
	assert_string_equal(a->name, "a");
	assert_int_equal(b->connect_ms, 8000);
	assert_int_equal(a->connect_ms, 4000);
	assert_int_equal(b->backend_drain_ms, DURATION_OFF);
	assert_int_equal(a->backend_drain_ms, 9000);
	assert_int_equal(b->health.failure_threshold, 9);
	assert_int_equal(a->health.failure_threshold, 5);
	assert_int_equal(a->health.probe_timeout_ms, 3000);
	assert_int_equal(a->health.success_threshold, 2);
	assert_string_equal(a->backends[0].name, "x");
	assert_int_equal(a->backends[0].weight, 0);
	assert_string_equal(a->backends[1].name, "[::1]:1");
	assert_int_equal(a->backends[1].weight, 1);
	assert_int_equal(a->backends[1].max_connections, 5);
	assert_int_equal(b->backends[0].address.kind, ADDRESS_NAME);
	assert_int_equal(config->listener_count, 2);
	assert_string_equal(config->listeners[0].name, "one");
	assert_int_equal(config->listeners[0].pool, 1);
	assert_int_equal(config->listeners[0].idle_ms, 60000);
	assert_int_equal(config->listeners[0].half_close_ms, 7000);
	assert_string_equal(config->listeners[1].name, ":2");
	assert_int_equal(config->listeners[1].pool, 0);
	assert_int_equal(config->listeners[1].idle_ms, DURATION_OFF);
	config_free(config);
}

static void metrics_are_on_when_the_table_is_there(void **state)
{
	struct config *config = load_valid(WITH_LISTENER WITH_BACKEND);

	(void)state;
	assert_false(config->metrics.enabled);
	config_free(config);
	config = load_valid(WITH_LISTENER WITH_BACKEND "[metrics]\n");
	assert_true(config->metrics.enabled);
	assert_int_equal(config->metrics.address.port, 9090);
	config_free(config);
	config = load_valid(WITH_LISTENER WITH_BACKEND "[metrics]\nenabled = false\n");
	assert_false(config->metrics.enabled);
	config_free(config);
}

static void a_file_has_one_form(void **state)
{
	(void)state;
	assert_complains(WITH_LISTENER "[pools.a]\n",
		":4:2: error: 'pools' and 'listener' (line 2) do not go together");
	assert_complains("[[listeners]]\n" WITH_BACKEND,
		":3:3: error: 'backends' and 'listeners' (line 1) do not go together");
}

static void what_is_required_is_missed(void **state)
{
	(void)state;
	assert_complains("", "test.toml: error: there is no listener\nhelp: add [listener]");
	assert_complains("", "test.toml: error: there is no backend\nhelp: add [[backends]]");
	assert_complains(WITH_LISTENER, "error: there is no backend");
	assert_complains(WITH_BACKEND, "error: there is no listener");
	assert_complains("backends = []" WITH_LISTENER, ":1:1: error: there is no backend");
	assert_complains("[listener]\n" WITH_BACKEND, ":1:1: error: [listener] has no 'address'");
	assert_complains(
		WITH_LISTENER "[[backends]]\n", ":4:1: error: [[backends]] has no 'address'");
	assert_complains("[[listeners]]\n", ":1:1: error: [[listeners]] has no 'address'");
	assert_complains("[[listeners]]\n", "error: there is no pool\nhelp: add [pools.NAME]");
	assert_complains("[pools]\n", ":1:2: error: there is no pool\n");
	assert_complains("[pools.a]\n", ":1:8: error: pool 'a' has no backend\n");
	assert_complains("[pools.a]\nbackends = []\n", ":1:8: error: pool 'a' has no backend\n");
	assert_complains("[pools.a]\n", "error: there is no listener\nhelp: add [[listeners]]");
	assert_complains("listeners = []\n", ":1:1: error: there is no listener\n");
}

static void what_is_no_table_is_said(void **state)
{
	(void)state;
	assert_complains("listener = ':80'" WITH_BACKEND, ":1:1: error: 'listener' is no table\n");
	assert_complains("listener = ':80'" WITH_BACKEND, "help: write [listener]\n");
	assert_complains("[[tcp]]\n", ":1:3: error: 'tcp' is no table\n");
	assert_complains("balancer = 1\n", "help: write [balancer]\n");
	assert_complains("[backends]\n", "'backends' is no list of tables\n");
	assert_complains("[backends]\n", "help: write [[backends]]\n");
	assert_complains(
		"backends = ['a:80']\n", ":1:13: error: a table [[backends]] is expected\n");
	assert_complains("listeners = [1]\n", "error: a table [[listeners]] is expected\n");
	assert_complains("[listeners]\n", "help: write [[listeners]]\n");
	assert_complains("pools = 1\n", "help: write [pools.NAME]\n");
	assert_complains("[pools]\na = 1\n", "help: write [pools.a]\n");
	assert_complains("[pools.a]\nhealth = 1\n", "help: write [pools.a.health]\n");
	assert_complains("[pools.a]\nbackends = 1\n", "help: write [[pools.a.backends]]\n");
}

static void unknown_tables_and_keys_are_errors(void **state)
{
	(void)state;
	assert_complains("[listner]\n", "unknown table 'listner'\n");
	assert_complains("[listner]\n", "help: did you mean 'listener'?\n");
	assert_complains("address = ':80'\n", ":1:1: error: unknown key 'address'\n");
	assert_complains("address = ':80'\n", "help: 'address' is an option of [listener]\n");
	assert_complains("[balancer.health]\n", "help: [health] stands at the top level\n");
	assert_complains("[[balancer.backends]]\n", "help: [[backends]] stands at the top level\n");
	assert_complains("[pools.a.helth]\n", "help: did you mean 'health'?\n");
	assert_complains(
		"[pools.a.health]\nname = 1\n", "unknown key 'name' in [pools.a.health]\n");
	assert_complains("[[pools.a.backends]]\nport = 1\n", "in [[pools.a.backends]]\n");
}

static void names_of_pools_are_checked(void **state)
{
	char text[400];

	(void)state;
	assert_complains("[pools.'']\n", "the name of a pool is empty");
	assert_complains("[pools.'a/b']\n", ":1:8: error: the name of a pool has a '/'");
	assert_complains("[pools.\"a\\tb\"]\n", "the name of a pool has a control character");
	(void)snprintf(text, sizeof text, "[pools.%0128d]\n", 0);
	assert_complains(text, "the name of a pool is longer than 127 bytes");
	(void)snprintf(text, sizeof text,
		"[[pools.%0127d.backends]]\naddress = 'a:1'\n"
		"[[listeners]]\naddress = ':1'\n",
		0);
	config_free(load_valid(text));
}

/* `start`, and `count` times the two texts with a number between them. */
static char *many(const char *start, int count, const char *before, const char *after)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	(void)fputs(start, file);
	for (int i = 0; i < count; i++) {
		(void)fprintf(file, "%s%d%s", before, i, after);
	}
	assert_int_equal(fclose(file), 0);
	return text;
}

static void assert_most(char *text, const char *complaint)
{
	if (complaint == NULL) {
		config_free(load_valid(text));
	} else {
		assert_complains(text, complaint);
	}
	free(text);
}

static void there_is_a_most_of_everything(void **state)
{
	static const char backend[] = "[[backends]]\naddress = 'h";

	(void)state;
	assert_most(many(WITH_LISTENER, CONFIG_BACKENDS_MAX, backend, ":1'\n"), NULL);
	assert_most(many(WITH_LISTENER, CONFIG_BACKENDS_MAX + 1, backend, ":1'\n"),
		":4:3: error: there are too many backends: at most 10000\n");
	assert_most(many("[[pools.a.backends]]\naddress = 'a:1'\n", CONFIG_LISTENERS_MAX,
			    "[[listeners]]\naddress = 'unix:/run/", "'\n"),
		NULL);
	assert_most(many("[[pools.a.backends]]\naddress = 'a:1'\n", CONFIG_LISTENERS_MAX + 1,
			    "[[listeners]]\naddress = 'unix:/run/", "'\n"),
		"there are too many listeners: at most 512\n");
	assert_most(many("[[listeners]]\naddress = ':1'\npool = 'p0'\n", CONFIG_POOLS_MAX + 1,
			    "[[pools.p", ".backends]]\naddress = 'a:1'\n"),
		"there are too many pools: at most 1024\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_simple_form_is_called_default),
		cmocka_unit_test(a_listener_of_the_simple_form_may_have_a_name),
		cmocka_unit_test(the_full_form_inherits_from_the_top),
		cmocka_unit_test(metrics_are_on_when_the_table_is_there),
		cmocka_unit_test(a_file_has_one_form),
		cmocka_unit_test(what_is_required_is_missed),
		cmocka_unit_test(what_is_no_table_is_said),
		cmocka_unit_test(unknown_tables_and_keys_are_errors),
		cmocka_unit_test(names_of_pools_are_checked),
		cmocka_unit_test(there_is_a_most_of_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
