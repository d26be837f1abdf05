#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/testing.h"

static void a_system_error_is_described(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(
		error_set(&err, EADDRINUSE, "%s: cannot bind", "127.0.0.1:80"), -EADDRINUSE);
	assert_int_equal(err.code, EADDRINUSE);
	assert_string_equal(err.text, "127.0.0.1:80: cannot bind: Address already in use");
}

static void an_unknown_code_is_no_crash(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(error_set(&err, 4095, "odd"), -4095);
	assert_string_equal(err.text, "odd: unknown error");
}

static void what_is_said_stands_alone(void **state)
{
	struct error err = {0};

	(void)state;
	assert_int_equal(error_say(&err, EINVAL, "weight %d is too large", 70000), -EINVAL);
	assert_string_equal(err.text, "weight 70000 is too large");
}

static void a_long_text_is_cut_and_terminated(void **state)
{
	struct error err = {0};
	char text[2 * ERROR_TEXT_MAX];

	(void)state;
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	error_set(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
	error_say(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.text), ERROR_TEXT_MAX - 1);
}

static void nobody_has_to_listen(void **state)
{
	(void)state;
	assert_int_equal(error_set(NULL, EIO, "unheard"), -EIO);
	assert_int_equal(error_say(NULL, EIO, "unheard"), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_system_error_is_described),
		cmocka_unit_test(an_unknown_code_is_no_crash),
		cmocka_unit_test(what_is_said_stands_alone),
		cmocka_unit_test(a_long_text_is_cut_and_terminated),
		cmocka_unit_test(nobody_has_to_listen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
