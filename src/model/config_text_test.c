#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "model/config_text.h"

static int set_up(void **state)
{
	*state = aligned_alloc(CACHE_LINE, sizeof(struct config_text));
	if (*state == NULL) {
		return -1;
	}
	memset(*state, 0, CACHE_LINE);
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void assert_text(const struct config_text *text, const char *expected)
{
	size_t length = 0;
	const char *bytes = config_text_load(text, &length);

	assert_non_null(bytes);
	assert_int_equal(length, strlen(expected));
	assert_memory_equal(bytes, expected, length);
}

static void there_is_none_at_first(void **state)
{
	size_t length = 0;

	assert_null(config_text_load(*state, &length));
}

static void the_last_one_stored_is_in_force(void **state)
{
	struct config_text *text = *state;

	assert_int_equal(config_text_store(text, "one", 3), 0);
	assert_text(text, "one");
	assert_int_equal(config_text_store(text, "second", 6), 0);
	assert_text(text, "second");
	assert_int_equal(config_text_store(text, "", 0), 0);
	assert_text(text, "");
}

static void a_store_that_is_cut_short_leaves_the_old_one(void **state)
{
	struct config_text *text = *state;

	assert_int_equal(config_text_store(text, "first", 5), 0);
	memcpy(text->copies[1].bytes, "half of a", 9);
	text->copies[1].length = 1000;
	assert_text(text, "first");
}

static void damage_is_seen(void **state)
{
	struct config_text *text = *state;
	size_t length = 0;

	assert_int_equal(config_text_store(text, "first", 5), 0);
	text->copies[0].bytes[2] ^= 1;
	assert_null(config_text_load(text, &length));
	text->copies[0].bytes[2] ^= 1;
	assert_text(text, "first");
	text->copies[0].length = 4;
	assert_null(config_text_load(text, &length));
	text->copies[0].length = UINT64_MAX;
	assert_null(config_text_load(text, &length));
	atomic_store(&text->current, 3);
	assert_null(config_text_load(text, &length));
}

static void the_largest_one_fits_and_a_larger_one_is_refused(void **state)
{
	struct config_text *text = *state;
	char *bytes = malloc(CONFIG_TEXT_MAX + 1);
	size_t length = 0;

	assert_non_null(bytes);
	memset(bytes, '#', CONFIG_TEXT_MAX + 1);
	assert_int_equal(config_text_store(text, bytes, CONFIG_TEXT_MAX), 0);
	assert_int_equal(config_text_store(text, bytes, CONFIG_TEXT_MAX + 1), -E2BIG);
	assert_non_null(config_text_load(text, &length));
	assert_int_equal(length, CONFIG_TEXT_MAX);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(there_is_none_at_first, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_last_one_stored_is_in_force, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_store_that_is_cut_short_leaves_the_old_one, set_up, tear_down),
		cmocka_unit_test_setup_teardown(damage_is_seen, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_largest_one_fits_and_a_larger_one_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
