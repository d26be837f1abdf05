#include <ctype.h>

#include "base/array.h"
#include "config/sections.h"
#include "config/testing.h"

static void for_each_field(void (*check)(const struct field *field))
{
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		for (const struct field *field = section->fields; field->key != NULL; field++) {
			check(field);
		}
	}
}

static void check_text(const struct field *field)
{
	const size_t length = strlen(field->doc);

	assert_true(length > 10);
	assert_true(isupper((unsigned char)field->doc[0]));
	assert_int_equal(field->doc[length - 1], '.');
	for (const char *c = field->key; *c != '\0'; c++) {
		assert_true(islower((unsigned char)*c) || *c == '_');
	}
}

static void every_option_has_a_good_text(void **state)
{
	(void)state;
	for_each_field(check_text);
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		assert_int_equal(section->doc[strlen(section->doc) - 1], '.');
	}
}

static void check_default(const struct field *field)
{
	const bool is_off = field->off && field->fallback == DURATION_OFF;
	struct address address;

	switch (field->type) {
	case FIELD_BOOL:
		assert_true(field->fallback <= 1);
		break;
	case FIELD_CHOICE:
		for (uint64_t i = 0; i <= field->fallback; i++) {
			assert_non_null(field->choices[i]);
		}
		break;
	case FIELD_UINT:
	case FIELD_MODE:
	case FIELD_RATIO:
		assert_true(field->max <= UINT32_MAX);
		assert_true(field->fallback >= field->min && field->fallback <= field->max);
		break;
	case FIELD_DURATION:
	case FIELD_SIZE:
		assert_true(field->min <= field_max(field));
		assert_true(field->inherits != NULL || is_off ||
			(field->fallback >= field->min && field->fallback <= field_max(field)));
		assert_true(!field->off || field->min > 0);
		break;
	case FIELD_STRING:
		assert_true(field->min == 1 && field->max > 1);
		assert_non_null(field->fallback_doc);
		break;
	case FIELD_ADDRESS:
		assert_true(field->required != (field->fallback_address != NULL));
		if (field->fallback_address != NULL) {
			assert_null(address_parse(field->fallback_address,
				strlen(field->fallback_address), &address));
		}
		break;
	}
}

static void every_default_is_in_its_range(void **state)
{
	(void)state;
	for_each_field(check_default);
}

/* The row that "timeouts.idle" names. */
static const struct field *find_path(const char *path)
{
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		const size_t length = strlen(section->path);

		if (strncmp(path, section->path, length) != 0 || path[length] != '.') {
			continue;
		}
		for (const struct field *field = section->fields; field->key != NULL; field++) {
			if (strcmp(field->key, path + length + 1) == 0) {
				return field;
			}
		}
	}
	return NULL;
}

static void check_inheritance(const struct field *field)
{
	if (field->inherits != NULL) {
		const struct field *parent = find_path(field->inherits);

		assert_non_null(parent);
		assert_int_equal(parent->type, field->type);
		assert_int_equal(parent->off, field->off);
		assert_true(parent->min == field->min && field_max(parent) == field_max(field));
		assert_string_equal(strrchr(field->inherits, '.') + 1, field->key);
	}
}

static void inherited_options_are_like_their_parents(void **state)
{
	(void)state;
	for_each_field(check_inheritance);
}

static void no_table_has_a_key_twice(void **state)
{
	(void)state;
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		for (const struct field *a = section->fields; a->key != NULL; a++) {
			for (const struct field *b = a + 1; b->key != NULL; b++) {
				assert_string_not_equal(a->key, b->key);
				assert_true(a->offset != b->offset);
			}
		}
	}
}

/* The names that users and scripts rely on. */
static void the_promised_options_are_there(void **state)
{
	static const char *const paths[] = {"server.workers", "server.max_sessions",
		"server.supervise", "server.watchdog", "server.io_uring", "server.busy_poll",
		"server.coalesce", "server.user", "server.group", "listener.address",
		"listener.name", "listener.pool", "listener.backlog", "listener.max_connections",
		"listener.max_buffered", "listener.freebind", "listener.mode", "listener.idle",
		"listener.half_close", "listeners.address", "balancer.algorithm",
		"balancer.retries", "balancer.when_all_unhealthy", "balancer.on_unhealthy",
		"balancer.proxy_protocol", "balancer.max_buffered", "pools.NAME.max_buffered",
		"balancer.connect", "balancer.connect_total", "balancer.backend_drain",
		"pools.NAME.algorithm", "backends.address", "backends.name", "backends.weight",
		"backends.max_connections", "pools.NAME.backends.weight", "timeouts.connect",
		"timeouts.connect_total", "timeouts.backend_drain", "timeouts.idle",
		"timeouts.half_close", "timeouts.drain", "timeouts.lame_duck",
		"health.failure_threshold", "health.success_threshold", "health.probe_interval",
		"health.probe_timeout", "health.flap_window", "health.hold_down_max",
		"health.max_ejected", "pools.NAME.health.max_ejected", "tcp.keepalive",
		"metrics.enabled", "metrics.address", "admin.socket", "logging.level",
		"logging.format", "logging.file", "access_log.enabled", "access_log.file",
		"access_log.sample"};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
		if (find_path(paths[i]) == NULL) {
			fail_msg("%s", paths[i]);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_option_has_a_good_text),
		cmocka_unit_test(every_default_is_in_its_range),
		cmocka_unit_test(inherited_options_are_like_their_parents),
		cmocka_unit_test(no_table_has_a_key_twice),
		cmocka_unit_test(the_promised_options_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
