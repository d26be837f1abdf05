#include "config/difference.h"
#include "config/print.h"
#include "config/testing.h"

#define OLD                                                                \
	"[[listeners]]\nname = 'in'\naddress = ':1'\npool = 'a'\n"         \
	"[[listeners]]\nname = 'gone'\naddress = ':2'\npool = 'b'\n"       \
	"[[listeners]]\nname = 'gone too'\naddress = ':3'\npool = 'a'\n"   \
	"[pools.a]\n[[pools.a.backends]]\nname = 'one'\naddress = 'h:1'\n" \
	"[pools.b]\n[[pools.b.backends]]\nname = 'two'\naddress = 'h:2'\n"
#define NEW                                                        \
	"[[listeners]]\nname = 'in'\naddress = ':1'\npool = 'a'\n" \
	"[pools.a]\n[[pools.a.backends]]\nname = 'one'\naddress = 'h:1'\n"

static const struct config_listener *listener_named(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->listener_count; i++) {
		if (strcmp(config->listeners[i].name, name) == 0) {
			return &config->listeners[i];
		}
	}
	fail_msg("there is no listener '%s'", name);
	return NULL;
}

static void copies_outlive_the_other_configuration(void **state)
{
	struct config *old = load_valid(OLD);
	struct config *new = load_valid(NEW);
	const struct config_listener *listeners[3];
	const struct config_pool *pools[2];
	const struct config_listener *kept;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		listeners[i] = &old->listeners[i];
	}
	for (uint32_t i = 0; i < 2; i++) {
		pools[i] = &old->pools[i];
	}
	assert_true(config_keep(new, old, listeners, 3, pools, 2));
	config_free(old);
	assert_int_equal(new->listener_count, 3);
	assert_int_equal(new->kept_listener_count, 2);
	assert_int_equal(new->pool_count, 2);
	assert_int_equal(new->kept_pool_count, 1);
	kept = listener_named(new, "gone");
	assert_non_null(kept);
	assert_string_equal(new->pools[kept->pool].name, "b");
	assert_string_equal(new->pools[kept->pool].backends[0].name, "two");
	kept = listener_named(new, "gone too");
	assert_string_equal(new->pools[kept->pool].name, "a");
	assert_ptr_equal(kept, &new->listeners[kept - new->listeners]);
	assert_true(kept - new->listeners >= 1);
	config_free(new);
}

static void keep_one(
	struct config *new, const struct config *old, const struct config_listener *listener)
{
	const struct config_pool *pool = &old->pools[listener->pool];

	assert_true(config_keep(new, old, &listener, 1, &pool, 1));
}

static void what_is_kept_is_not_of_the_file(void **state)
{
	struct config *old = load_valid(OLD);
	struct config *new = load_valid(NEW);
	struct config *again = load_valid(NEW);
	const struct config_listener *gone = listener_named(old, "gone");
	struct config_difference difference;
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	if (gone == NULL) {
		fail();
		return;
	}
	keep_one(new, old, gone);
	config_compare(new, again, &difference);
	assert_false(difference_is_any(&difference));
	config_compare(again, new, &difference);
	assert_false(difference_is_any(&difference));
	config_print(new, file);
	assert_int_equal(fclose(file), 0);
	assert_null(strstr(text, "gone"));
	assert_null(strstr(text, "two"));
	free(text);
	config_free(old);
	config_free(new);
	config_free(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_outlive_the_other_configuration),
		cmocka_unit_test(what_is_kept_is_not_of_the_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
