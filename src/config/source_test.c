#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/array.h"
#include "config/source.h"
#include "config/testing.h"

/* A folder of its own for each test that needs files. */
struct folder {
	char path[32];
	char file[64];
};

static int make_folder(void **state)
{
	struct folder *folder = calloc(1, sizeof *folder);

	assert_non_null(folder);
	(void)snprintf(folder->path, sizeof folder->path, "/tmp/loble-source-XXXXXX");
	assert_non_null(mkdtemp(folder->path));
	(void)snprintf(folder->file, sizeof folder->file, "%s/file", folder->path);
	*state = folder;
	return 0;
}

static int remove_folder(void **state)
{
	struct folder *folder = *state;

	(void)unlink(folder->file);
	assert_int_equal(rmdir(folder->path), 0);
	free(folder);
	return 0;
}

static void write_file(const char *path, const char *text, size_t length)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

/* Asserts that the file is refused at once, with this code and this in the message. */
static void assert_unreadable(const char *path, int code, const char *part)
{
	struct diag *diag = diag_create();
	char *messages;

	assert_null(config_load_file(path, diag));
	assert_int_equal(diag_read_error(diag), code);
	assert_int_equal(diag_errors(diag), 1);
	messages = messages_of(diag);
	assert_contains(messages, part);
	assert_contains(messages, path);
	free(messages);
	diag_free(diag);
}

static void a_file_is_read_whole(void **state)
{
	struct folder *folder = *state;
	struct diag *diag = diag_create();
	size_t length = 0;
	char *text;

	write_file(folder->file, "a\0b\n", 4);
	text = source_read(folder->file, &length, diag);
	assert_non_null(text);
	assert_int_equal(length, 4);
	assert_memory_equal(text, "a\0b\n", 4);
	free(text);
	write_file(folder->file, "", 0);
	text = source_read(folder->file, &length, diag);
	assert_non_null(text);
	assert_int_equal(length, 0);
	free(text);
	assert_int_equal(diag_errors(diag), 0);
	diag_free(diag);
}

static void a_missing_file_is_told_from_an_invalid_one(void **state)
{
	struct folder *folder = *state;
	struct diag *diag = diag_create();

	assert_unreadable(folder->file, ENOENT, "No such file");
	write_file(folder->file, "x", 1);
	assert_null(config_load_file(folder->file, diag));
	assert_int_equal(diag_read_error(diag), 0);
	diag_free(diag);
}

static void what_is_no_regular_file_is_refused_at_once(void **state)
{
	struct folder *folder = *state;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd;

	assert_unreadable(folder->path, EISDIR, "is a directory");
	assert_unreadable("/dev/null", EINVAL, "not a regular file");
	assert_unreadable("/dev/zero", EINVAL, "not a regular file");
	assert_int_equal(mkfifo(folder->file, 0600), 0);
	assert_unreadable(folder->file, EINVAL, "not a regular file");
	assert_int_equal(unlink(folder->file), 0);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", folder->file);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	assert_unreadable(folder->file, ENXIO, "cannot be opened");
	assert_int_equal(close(fd), 0);
}

static void a_file_without_permission_is_refused(void **state)
{
	struct folder *folder = *state;

	write_file(folder->file, "", 0);
	assert_int_equal(chmod(folder->file, 0), 0);
	if (geteuid() != 0) { /* root may read everything */
		assert_unreadable(folder->file, EACCES, "Permission denied");
	}
	assert_unreadable("/dev/null/file", ENOTDIR, "Not a directory");
}

static void a_large_file_is_refused(void **state)
{
	struct folder *folder = *state;
	struct diag *diag = diag_create();
	char *messages;

	write_file(folder->file, "", 0);
	assert_int_equal(truncate(folder->file, SOURCE_BYTES_MAX + 1), 0);
	assert_null(config_load_file(folder->file, diag));
	assert_int_equal(diag_read_error(diag), 0);
	messages = messages_of(diag);
	assert_contains(messages, "larger than 4 MiB");
	free(messages);
	diag_free(diag);
}

/* Files of /proc say that they have 0 bytes: only reading tells. */
static void the_size_that_a_file_claims_is_not_trusted(void **state)
{
	struct diag *diag = diag_create();
	size_t length = 0;
	char *text = source_read("/proc/self/status", &length, diag);

	(void)state;
	assert_non_null(text);
	assert_true(length > 100);
	free(text);
	diag_free(diag);
}

static bool check(const char *text, size_t length, const char *part)
{
	struct diag *diag = diag_create();
	const bool good = source_check((struct span){text, length}, diag);

	diag_begin(diag, "test", (struct span){0});
	diag_end(diag);
	assert_int_equal(good, diag_errors(diag) == 0);
	if (!good) {
		char *messages = messages_of(diag);

		assert_contains(messages, part);
		free(messages);
	}
	diag_free(diag);
	return good;
}

static void bytes_that_are_no_text_are_refused(void **state)
{
	(void)state;
	assert_false(check("a = 1\nb\0 = 1\n", 13, ":2:2: error: there is a NUL byte"));
	assert_false(check("\xc3\xa9 = \"\xff\"\n", 8, ":1:6: error: this is not valid UTF-8"));
	assert_false(check("\xff\xfe"
			   "a",
		3, ":1:1: error: this is not valid UTF-8"));
	assert_true(check("\xef\xbb\xbf"
			  "a = 1\r\n",
		10, ""));
	assert_true(check("", 0, ""));
}

static void only_so_many_bytes_are_a_file(void **state)
{
	struct diag *diag = diag_create();
	const struct span small = {"", SOURCE_BYTES_MAX};
	const struct span large = {"", SOURCE_BYTES_MAX + 1};

	(void)state;
	assert_true(source_check_size(small, diag));
	assert_int_equal(diag_errors(diag), 0);
	assert_false(source_check_size(large, diag));
	assert_int_equal(diag_errors(diag), 1);
	diag_free(diag);
}

static void long_lines_are_refused(void **state)
{
	char *text = malloc(10 << 20);

	(void)state;
	memset(text, '#', 10 << 20);
	assert_true(check(text, SOURCE_LINE_MAX, ""));
	assert_false(
		check(text, SOURCE_LINE_MAX + 1, ":1:1: error: the line is longer than 16 KiB"));
	text[0] = '\n';
	text[SOURCE_LINE_MAX + 1] = '\n';
	assert_true(check(text, SOURCE_LINE_MAX + 3, ""));
	text[SOURCE_LINE_MAX + 1] = '#';
	assert_false(check(text, SOURCE_LINE_MAX + 3, ":2:1: error"));
	free(text);
}

/* `before`, then so many parts of a key. */
static bool check_parts(const char *before, int parts, const char *part)
{
	char text[16384];
	size_t length = (size_t)snprintf(text, sizeof text, "%s", before);

	for (int i = 0; i < parts; i++) {
		length += (size_t)snprintf(text + length, sizeof text - length, "%s", part);
	}
	return check(text, length, "the key has more than 64 parts");
}

static void keys_of_many_parts_are_refused(void **state)
{
	(void)state;
	assert_true(check_parts("", 63, "a."));
	assert_false(check_parts("", 64, "a."));
	assert_false(check_parts("", 5000, "a."));
	assert_false(check_parts("[", 64, "a."));
	assert_false(check_parts("x = {", 64, "'.' . "));
	assert_false(check_parts("x = \"\"\"\n\\\"\"\"\"\n", 64, "\"\\\"\"."));
	assert_false(check_parts("# comment\n", 64, "a."));
}

static void dots_elsewhere_are_no_parts(void **state)
{
	(void)state;
	assert_true(check_parts("# ", 5000, "a."));
	assert_true(check_parts("x = \"", 5000, "a."));
	assert_true(check_parts("x = '", 5000, "a."));
	assert_true(check_parts("x = '''\n'\n", 5000, "a."));
	assert_true(check_parts("x = \"\"\"\n\"\n", 5000, "a."));
	assert_true(check_parts("x = [", 3000, "1.5, "));
	assert_true(check_parts("", 2000, "a.b = 1\n"));
	assert_true(check_parts("x = \"\\\"", 5000, "."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_is_read_whole, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			a_missing_file_is_told_from_an_invalid_one, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			what_is_no_regular_file_is_refused_at_once, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			a_file_without_permission_is_refused, make_folder, remove_folder),
		cmocka_unit_test_setup_teardown(
			a_large_file_is_refused, make_folder, remove_folder),
		cmocka_unit_test(the_size_that_a_file_claims_is_not_trusted),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(only_so_many_bytes_are_a_file),
		cmocka_unit_test(long_lines_are_refused),
		cmocka_unit_test(keys_of_many_parts_are_refused),
		cmocka_unit_test(dots_elsewhere_are_no_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
