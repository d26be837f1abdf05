#include "config/difference.h"
#include "config/testing.h"

#define BASE                                                               \
	"[[listeners]]\nname = 'in'\naddress = ':1'\npool = 'a'\n"         \
	"[pools.a]\n[[pools.a.backends]]\nname = 'one'\naddress = 'h:1'\n" \
	"[[pools.a.backends]]\nname = 'two'\naddress = 'h:2'\n"

/* What the second text changes against the first. */
static void assert_difference(const char *old_text, const char *new_text, const char *expected)
{
	struct config *old = load_valid(old_text);
	struct config *new = load_valid(new_text);
	struct config_difference difference;
	char text[200];

	config_compare(old, new, &difference);
	assert_string_equal(difference_text(&difference, text, sizeof text), expected);
	assert_string_equal(difference.refused, "");
	assert_int_equal(
		difference_is_any(&difference), strcmp(expected, "nothing has changed") != 0);
	config_free(old);
	config_free(new);
}

static void equal_ones_do_not_differ(void **state)
{
	(void)state;
	assert_difference(BASE, BASE, "nothing has changed");
	assert_difference(BASE, "# a comment\n" BASE "weight = 1\n", "nothing has changed");
	assert_difference(
		WITH_LISTENER WITH_BACKEND, WITH_LISTENER WITH_BACKEND, "nothing has changed");
}

static void listeners_are_told_by_name(void **state)
{
	(void)state;
	assert_difference(BASE, BASE "[[listeners]]\nname = 'x'\naddress = ':2'\npool = 'a'\n",
		"listeners +1 -0 ~0");
	assert_difference(BASE "[[listeners]]\nname = 'x'\naddress = ':2'\npool = 'a'\n", BASE,
		"listeners +0 -1 ~0");
	assert_difference(BASE "[[listeners]]\nname = 'x'\naddress = ':2'\npool = 'a'\n",
		BASE "[[listeners]]\nname = 'y'\naddress = ':2'\npool = 'a'\n",
		"listeners +1 -1 ~0");
	assert_difference(BASE "[[listeners]]\nname = 'x'\naddress = ':2'\npool = 'a'\n",
		BASE "[[listeners]]\nname = 'x'\naddress = ':3'\npool = 'a'\n",
		"listeners +0 -0 ~1");
}

static void backends_and_pools_too(void **state)
{
	(void)state;
	assert_difference(BASE, BASE "weight = 2\n", "backends +0 -0 ~1");
	assert_difference(
		BASE, BASE "[[pools.a.backends]]\naddress = 'h:3'\n", "backends +1 -0 ~0");
	assert_difference(BASE, BASE "[pools.b]\n[[pools.b.backends]]\naddress = 'h:3'\n",
		"pools +1 -0 ~0, backends +1 -0 ~0");
	assert_difference(BASE "[pools.b]\n[[pools.b.backends]]\naddress = 'h:3'\n", BASE,
		"pools +0 -1 ~0, backends +0 -1 ~0");
	assert_difference(BASE, BASE "[pools.a.health]\nfailure_threshold = 9\n", "pools +0 -0 ~1");
}

static void defaults_reach_those_that_inherit_them(void **state)
{
	(void)state;
	assert_difference(BASE, BASE "[timeouts]\nidle = '9s'\ndrain = '1s'\n",
		"listeners +0 -0 ~1, 1 option");
	assert_difference(
		BASE, BASE "[logging]\nlevel = 'debug'\n[timeouts]\ndrain = '1s'\n", "2 options");
}

static void another_order_is_a_difference(void **state)
{
	static const char other[] =
		"[[listeners]]\nname = 'in'\naddress = ':1'\npool = 'a'\n"
		"[pools.a]\n[[pools.a.backends]]\nname = 'two'\naddress = 'h:2'\n"
		"[[pools.a.backends]]\nname = 'one'\naddress = 'h:1'\n";

	(void)state;
	assert_difference(BASE, other, "another order");
}

static void what_takes_a_restart_is_named(void **state)
{
	struct config *old = load_valid(BASE);
	struct config *new =
		load_valid(BASE "[server]\nworkers = 7\nuser = 'x'\n[tcp]\nkeepalive = '5s'\n");
	struct config_difference difference;

	(void)state;
	config_compare(old, new, &difference);
	assert_string_equal(difference.refused, "server.workers, server.user");
	assert_string_equal(
		difference.changes, "server.workers (0 -> 7), server.user (unset -> \"x\")");
	assert_int_equal(difference.options, 1);
	config_free(old);
	config_free(new);
}

static void values_that_are_too_long_are_cut(void **state)
{
	struct config *old = load_valid(BASE);
	struct config_difference difference;
	char path[4000];
	char text[5000];
	struct config *new;

	(void)state;
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	(void)snprintf(text, sizeof text, "%s[logging]\nfile = '%s'\n[access_log]\nfile = '%s'\n",
		BASE, path, "short");
	new = load_valid(text);
	config_compare(old, new, &difference);
	assert_string_equal(difference.refused, "logging.file, access_log.file");
	assert_in_range(strlen(difference.changes), sizeof difference.changes - 2,
		sizeof difference.changes - 1);
	assert_memory_equal(difference.changes, "logging.file (unset -> \"xxx", 27);
	config_free(old);
	config_free(new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_ones_do_not_differ),
		cmocka_unit_test(listeners_are_told_by_name),
		cmocka_unit_test(backends_and_pools_too),
		cmocka_unit_test(defaults_reach_those_that_inherit_them),
		cmocka_unit_test(another_order_is_a_difference),
		cmocka_unit_test(what_takes_a_restart_is_named),
		cmocka_unit_test(values_that_are_too_long_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
