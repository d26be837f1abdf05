/*
 * What `loble check` says about each file of tests/golden/check, word by word: NAME.toml has its
 * messages in NAME.txt. With --update the messages are written anew, to be read in the difference.
 */
#include <dirent.h>
#include <unistd.h>

#include "config/json_checker.h"
#include "config/testing.h"

static const char folder[] = SOURCE_ROOT "/tests/golden/check";
static bool update;

/* The whole file, to be freed; empty when there is none. */
static char *read_file(const char *path, size_t *ret_length)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 1 << 16);

	assert_non_null(text);
	*ret_length = 0;
	if (file != NULL) {
		*ret_length = fread(text, 1, (1 << 16) - 1, file);
		assert_int_equal(fclose(file), 0);
	}
	return text;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void assert_json(const struct diag *diag)
{
	char *json = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&json, &length);

	assert_non_null(file);
	diag_print_json(diag, file);
	assert_int_equal(fclose(file), 0);
	assert_true(json_is_valid(json));
	free(json);
}

static void check(const char *name, size_t name_length)
{
	struct diag *diag = diag_create();
	char path[512];
	size_t length;
	char *text;
	char *expected;
	char *messages;
	struct config *config;

	(void)snprintf(path, sizeof path, "%s/%s", folder, name);
	text = read_file(path, &length);
	assert_true(length > 0);
	config = config_load_text(text, length, name, diag);
	assert_int_equal(config == NULL, diag_errors(diag) > 0);
	messages = messages_of(diag);
	assert_json(diag);
	(void)snprintf(path, sizeof path, "%s/%.*s.txt", folder, (int)name_length, name);
	if (update) {
		write_file(path, messages);
	}
	expected = read_file(path, &length);
	if (strcmp(messages, expected) != 0) {
		fail_msg("%s: expected:\n%s\nbut it is:\n%s", name, expected, messages);
	}
	free(expected);
	free(messages);
	free(text);
	config_free(config);
	diag_free(diag);
}

static void each_file_is_judged_as_written_down(void **state)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	unsigned checked = 0;

	(void)state;
	assert_non_null(dir);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the directory is ours alone. */
	while ((entry = readdir(dir)) != NULL) {
		const char *end = strstr(entry->d_name, ".toml");

		if (end != NULL && end[5] == '\0') {
			check(entry->d_name, (size_t)(end - entry->d_name));
			checked++;
		}
	}
	assert_int_equal(closedir(dir), 0);
	assert_true(checked >= 15);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_file_is_judged_as_written_down),
	};

	update = argc > 1 && strcmp(argv[1], "--update") == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
