#include <fcntl.h>
#include <unistd.h>

#include "base/testing.h"
#include "main/held_file.h"

static void it_is_the_same_as_long_as_nobody_puts_another_one_there(void **state)
{
	struct held_file file = held_file_note(open("/dev/null", O_RDONLY | O_CLOEXEC));
	const int other = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(file.fd >= 0 && other >= 0);
	assert_true(held_file_is_same(&file));
	assert_int_equal(dup2(other, file.fd), file.fd);
	assert_false(held_file_is_same(&file));
	(void)close(file.fd);
	assert_false(held_file_is_same(&file));
	(void)close(other);
}

static void no_file_is_never_the_same(void **state)
{
	const struct held_file none = held_file_note(-1);

	(void)state;
	assert_false(held_file_is_same(&none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_the_same_as_long_as_nobody_puts_another_one_there),
		cmocka_unit_test(no_file_is_never_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
