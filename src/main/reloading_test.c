#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/testing.h"
#include "config/config.h"
#include "control/control.h"
#include "main/reloading.h"

struct file {
	char path[32];
};

static void write_file(struct file *file, const char *text)
{
	int fd;

	(void)snprintf(file->path, sizeof file->path, "/tmp/loble-test-XXXXXX");
	fd = mkstemp(file->path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(close(fd), 0);
}

static void drop(struct control_loaded *loaded)
{
	config_free(loaded->config);
	free(loaded->problems);
	free(loaded->problem_lines);
	free(loaded->text);
}

static void a_good_file_comes_with_its_text(void **state)
{
	struct control_loaded loaded = {.config = NULL};
	struct file file;

	(void)state;
	write_file(&file, "[listener]\naddress = ':1'\n[[backends]]\naddress = 'h:1'\n");
	reloading_load(file.path, &loaded);
	assert_non_null(loaded.config);
	assert_string_equal(loaded.problems, "");
	assert_string_equal(loaded.problem_lines, "");
	assert_non_null(strstr(loaded.text, "address = \"h:1\""));
	assert_int_equal(strlen(loaded.text), loaded.text_length);
	assert_int_equal(unlink(file.path), 0);
	drop(&loaded);
}

static void every_mistake_has_a_line_with_its_place(void **state)
{
	struct control_loaded loaded = {.config = NULL};
	struct file file;
	char expected[200];

	(void)state;
	write_file(&file, "[listener]\naddress = ':1'\nx = 1\n[[backends]]\naddress = 7\n");
	reloading_load(file.path, &loaded);
	assert_null(loaded.config);
	assert_int_equal(loaded.failure, DIAG_CONTENT);
	assert_null(loaded.text);
	(void)snprintf(expected, sizeof expected, "%s:3:1: error: unknown key 'x'", file.path);
	assert_non_null(strstr(loaded.problem_lines, expected));
	(void)snprintf(expected, sizeof expected, "\n%s:5:11: error: ", file.path);
	assert_non_null(strstr(loaded.problem_lines, expected));
	assert_null(strstr(loaded.problem_lines, "2 errors"));
	assert_non_null(strstr(loaded.problems, "2 errors"));
	assert_int_equal(unlink(file.path), 0);
	drop(&loaded);
}

static void a_file_that_is_gone_is_said_to_be(void **state)
{
	struct control_loaded loaded = {.config = NULL};

	(void)state;
	reloading_load("/nonexistent/loble.toml", &loaded);
	assert_null(loaded.config);
	assert_int_equal(loaded.failure, DIAG_NO_FILE);
	assert_non_null(strstr(loaded.problem_lines, "/nonexistent/loble.toml: error: "));
	drop(&loaded);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_file_comes_with_its_text),
		cmocka_unit_test(every_mistake_has_a_line_with_its_place),
		cmocka_unit_test(a_file_that_is_gone_is_said_to_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
