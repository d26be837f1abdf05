#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/testing.h"
#include "observe/log_writer.h"
#include "os/clock.h"

enum { TIMEOUT_MS = 20000, MANY = 5000, THREADS = 4, NS_PER_MS = 1000000 };

/* A folder for files, and standard error as it was. */
struct place {
	char folder[32];
	char path[48];
	int stderr_fd;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof *place);

	assert_non_null(place);
	memcpy(place->folder, "/tmp/loble-log-XXXXXX", sizeof "/tmp/loble-log-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	(void)snprintf(place->path, sizeof place->path, "%s/log", place->folder);
	place->stderr_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	assert_true(place->stderr_fd >= 0);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	char old[64];

	(void)dup2(place->stderr_fd, STDERR_FILENO);
	(void)close(place->stderr_fd);
	(void)snprintf(old, sizeof old, "%s.old", place->path);
	(void)unlink(old);
	(void)unlink(place->path);
	(void)rmdir(place->folder);
	free(place);
	return 0;
}

static struct log_writer *open_writer(struct log_writer_setup setup)
{
	struct log_writer *writer;
	struct error err;

	if (setup.format == LOG_WRITER_AUTO) {
		setup.format = LOG_WRITER_TEXT;
	}
	assert_int_equal(log_writer_open(&setup, &writer, &err), 0);
	return writer;
}

static void put(struct log_writer *writer, enum log_level level, const char *line)
{
	log_writer_put(writer, level, line, strlen(line));
}

/* What the file holds; the caller frees it. */
static char *content(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, 4 * 1024 * 1024);

	assert_non_null(text);
	if (file != NULL) {
		text[fread(text, 1, 4 * 1024 * 1024 - 1, file)] = '\0';
		(void)fclose(file);
	}
	return text;
}

static void expect_content(const char *path, const char *expected)
{
	char *text = content(path);

	assert_string_equal(text, expected);
	free(text);
}

/* Until the writer's thread has come that far: its work has no other sign. */
static void wait_for_content(const char *path, const char *part)
{
	const uint64_t end_ns = clock_monotonic_ns() + (uint64_t)TIMEOUT_MS * NS_PER_MS;
	bool found = false;

	while (!found && clock_monotonic_ns() < end_ns) {
		char *text = content(path);

		found = strstr(text, part) != NULL;
		free(text);
		(void)poll(NULL, 0, 1);
	}
	assert_true(found);
}

/* A pipe whose write end is standard error from now on. Returns the read end. */
static int pipe_to_stderr(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	(void)close(fds[1]);
	return fds[0];
}

static void lines_arrive_in_order(void **state)
{
	const struct place *place = *state;
	struct log_writer *writer = open_writer((struct log_writer_setup){.path = place->path});
	struct stat status;

	put(writer, LOG_INFO, "one\n");
	put(writer, LOG_ERROR, "two\n");
	log_writer_sink(LOG_DEBUG, "three\n", 6, writer);
	log_writer_close(writer, TIMEOUT_MS);
	expect_content(place->path, "one\ntwo\nthree\n");
	assert_int_equal(stat(place->path, &status), 0);
	assert_int_equal(status.st_mode & 07137, 0);

	writer = open_writer((struct log_writer_setup){.path = place->path});
	put(writer, LOG_INFO, "four\n");
	log_writer_close(writer, TIMEOUT_MS);
	expect_content(place->path, "one\ntwo\nthree\nfour\n");
}

static void a_path_that_cannot_be_opened_is_an_error(void **state)
{
	const struct place *place = *state;
	const struct log_writer_setup setup = {.path = place->folder};
	struct log_writer *writer = NULL;
	struct error err;

	assert_int_equal(log_writer_open(&setup, &writer, &err), -EISDIR);
	assert_non_null(strstr(err.text, place->folder));
	assert_null(writer);
}

static void who_makes_do_writes_to_standard_error_until_the_path_is_there(void **state)
{
	const struct place *place = *state;
	const int instead = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct log_writer *writer;
	char text[256] = "";

	assert_true(instead >= 0);
	assert_int_equal(mkdir(place->path, 0700), 0);
	(void)dup2(instead, STDERR_FILENO);
	writer = open_writer((struct log_writer_setup){.path = place->path, .makes_do = true});
	put(writer, LOG_INFO, "one\n");
	for (int i = 0; strstr(text, "\none\n") == NULL; i++) {
		assert_true(i < TIMEOUT_MS);
		(void)usleep(1000);
		assert_true(pread(instead, text, sizeof text - 1, 0) >= 0);
	}
	assert_non_null(strstr(text, "event=log_open_failed"));
	assert_int_equal(rmdir(place->path), 0);
	log_writer_reopen(writer);
	put(writer, LOG_INFO, "two\n");
	log_writer_close(writer, TIMEOUT_MS);
	expect_content(place->path, "two\n");
	(void)close(instead);
}

/* Opening one to write would wait for a reader. */
static void a_fifo_without_a_reader_is_an_error(void **state)
{
	const struct place *place = *state;
	const struct log_writer_setup setup = {.path = place->path};
	struct log_writer *writer = NULL;
	struct error err;

	assert_int_equal(mkfifo(place->path, 0600), 0);
	assert_int_equal(log_writer_open(&setup, &writer, &err), -ENXIO);
}

static void the_format_follows_the_far_end(void **state)
{
	const struct place *place = *state;
	struct log_writer_setup setup = {.path = place->path};
	const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	struct log_writer *writer;
	char name[64];

	assert_int_equal(log_writer_open(&setup, &writer, NULL), 0);
	assert_int_equal(log_writer_format(writer), LOG_FORMAT_JSON);
	log_writer_close(writer, TIMEOUT_MS);

	assert_true(terminal >= 0);
	assert_int_equal(grantpt(terminal), 0);
	assert_int_equal(unlockpt(terminal), 0);
	assert_int_equal(ptsname_r(terminal, name, sizeof name), 0);
	setup.path = name;
	assert_int_equal(log_writer_open(&setup, &writer, NULL), 0);
	assert_int_equal(log_writer_format(writer), LOG_FORMAT_TEXT);
	log_writer_close(writer, TIMEOUT_MS);
	setup.format = LOG_WRITER_JSON;
	assert_int_equal(log_writer_open(&setup, &writer, NULL), 0);
	assert_int_equal(log_writer_format(writer), LOG_FORMAT_JSON);
	log_writer_close(writer, TIMEOUT_MS);
	(void)close(terminal);
}

static void the_journal_gets_priorities(void **state)
{
	const int reader = pipe_to_stderr();
	struct stat status;
	struct log_writer *writer;
	char stream[64];
	char text[256] = "";

	(void)state;
	assert_int_equal(fstat(STDERR_FILENO, &status), 0);
	(void)snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)status.st_dev,
		(uintmax_t)status.st_ino);
	writer = open_writer((struct log_writer_setup){.journal_stream = stream});
	put(writer, LOG_DEBUG, "d\n");
	put(writer, LOG_INFO, "i\n");
	put(writer, LOG_WARN, "w\n");
	put(writer, LOG_ERROR, "e\n");
	log_writer_close(writer, TIMEOUT_MS);
	assert_int_equal(read(reader, text, sizeof text), 20);
	assert_memory_equal(text, "<7>d\n<6>i\n<4>w\n<3>e\n", 20);

	writer = open_writer((struct log_writer_setup){.journal_stream = "1:2"});
	put(writer, LOG_DEBUG, "d\n");
	log_writer_close(writer, TIMEOUT_MS);
	assert_int_equal(read(reader, text, sizeof text), 2);
	(void)close(reader);
}

/* Puts MANY lines of about 1,000 bytes: far more than ring and pipe hold. */
static void put_many(struct log_writer *writer)
{
	char line[1000];

	memset(line, 'x', sizeof line);
	for (int i = 0; i < MANY; i++) {
		line[snprintf(line, sizeof line, "%06d", i)] = 'x';
		line[sizeof line - 1] = '\n';
		log_writer_put(writer, LOG_INFO, line, sizeof line);
	}
}

static void a_full_pipe_drops_and_says_so(void **state)
{
	const int reader = pipe_to_stderr();
	FILE *stream = fdopen(reader, "r");
	counter_t dropped = 0;
	struct log_writer *writer = open_writer((struct log_writer_setup){.dropped = &dropped});
	unsigned long whole = 0;
	unsigned long told = 0;
	char line[2048];

	(void)state;
	put_many(writer);
	/* Others write to the same pipe: it must block for them as before. */
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	assert_true(log_writer_dropped(writer) > 0);
	assert_int_equal(counter_get(&dropped), log_writer_dropped(writer));
	while (told == 0 && fgets(line, sizeof line, stream) != NULL) {
		const char *lines = strstr(line, " event=log_dropped lines=");

		if (lines != NULL) {
			told = strtoul(lines + strlen(" event=log_dropped lines="), NULL, 10);
		} else {
			assert_int_equal(strlen(line), 1000);
			whole++;
		}
	}
	assert_int_equal(told, log_writer_dropped(writer));
	put(writer, LOG_INFO, "last\n");
	while (fgets(line, sizeof line, stream) != NULL && strcmp(line, "last\n") != 0) {
		whole++;
	}
	assert_int_equal(whole + told, MANY);
	log_writer_close(writer, TIMEOUT_MS);
	(void)fclose(stream);
}

static void a_pipe_that_stays_full_delays_the_end_for_a_bounded_time(void **state)
{
	enum { CLOSE_MS = 50 };
	const int reader = pipe_to_stderr();
	counter_t dropped = 0;
	struct log_writer *writer = open_writer((struct log_writer_setup){.dropped = &dropped});
	uint64_t start_ns;

	(void)state;
	put_many(writer);
	start_ns = clock_monotonic_ns();
	log_writer_close(writer, CLOSE_MS);
	assert_true(clock_monotonic_ns() - start_ns < (uint64_t)TIMEOUT_MS * NS_PER_MS);
	/* What the pipe took was written, the rest is counted: 64 KiB at the least. */
	assert_true(counter_get(&dropped) >= MANY - 100);
	assert_true(counter_get(&dropped) < MANY);
	(void)close(reader);
}

static void a_reader_that_has_gone_costs_lines_and_nothing_else(void **state)
{
	counter_t dropped = 0;
	struct log_writer *writer;

	(void)state;
	(void)close(pipe_to_stderr());
	writer = open_writer((struct log_writer_setup){.dropped = &dropped});
	put(writer, LOG_INFO, "one\n");
	put(writer, LOG_INFO, "two\n");
	log_writer_close(writer, TIMEOUT_MS);
	assert_int_equal(counter_get(&dropped), 2);
}

static void a_full_disk_costs_lines_and_nothing_else(void **state)
{
	counter_t dropped = 0;
	struct log_writer *writer =
		open_writer((struct log_writer_setup){.path = "/dev/full", .dropped = &dropped});

	(void)state;
	put(writer, LOG_INFO, "one\n");
	put(writer, LOG_INFO, "two\n");
	log_writer_close(writer, TIMEOUT_MS);
	assert_int_equal(counter_get(&dropped), 2);
}

static void reopening_goes_on_in_a_new_file(void **state)
{
	const struct place *place = *state;
	struct log_writer *writer = open_writer((struct log_writer_setup){.path = place->path});
	char old[64];

	(void)snprintf(old, sizeof old, "%s.old", place->path);
	put(writer, LOG_INFO, "one\n");
	wait_for_content(place->path, "one\n");
	assert_int_equal(rename(place->path, old), 0);
	log_writer_reopen(writer);
	put(writer, LOG_INFO, "two\n");
	log_writer_close(writer, TIMEOUT_MS);
	expect_content(old, "one\n");
	expect_content(place->path, "two\n");
}

static void a_reopen_that_fails_keeps_the_old_file(void **state)
{
	const struct place *place = *state;
	struct log_writer *writer = open_writer((struct log_writer_setup){.path = place->path});
	char old[64];
	char *text;

	(void)snprintf(old, sizeof old, "%s.old", place->path);
	put(writer, LOG_INFO, "one\n");
	wait_for_content(place->path, "one\n");
	assert_int_equal(rename(place->path, old), 0);
	assert_int_equal(mkdir(place->path, 0700), 0);
	log_writer_reopen(writer);
	wait_for_content(old, "event=log_reopen_failed");
	put(writer, LOG_INFO, "two\n");
	log_writer_close(writer, TIMEOUT_MS);
	text = content(old);
	assert_memory_equal(text, "one\n", 4);
	assert_non_null(strstr(text, "reason=\"Is a directory\"\ntwo\n"));
	free(text);
	assert_int_equal(rmdir(place->path), 0);
}

static void *put_from_thread(void *argument)
{
	struct log_writer *writer = argument;

	for (int i = 0; i < 500; i++) {
		put(writer, LOG_INFO, "a line of thirty-two characters\n");
	}
	return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
	const struct place *place = *state;
	struct log_writer *writer = open_writer((struct log_writer_setup){.path = place->path});
	pthread_t threads[THREADS];
	char *text;

	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, put_from_thread, writer), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		(void)pthread_join(threads[i], NULL);
	}
	log_writer_close(writer, TIMEOUT_MS);
	text = content(place->path);
	assert_int_equal(strlen(text), THREADS * 500 * 32);
	for (size_t i = 0; i < strlen(text); i += 32) {
		assert_memory_equal(text + i, "a line of thirty-two characters\n", 32);
	}
	free(text);
}

int main(void)
{
#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		IN_PLACE(lines_arrive_in_order),
		IN_PLACE(a_path_that_cannot_be_opened_is_an_error),
		IN_PLACE(who_makes_do_writes_to_standard_error_until_the_path_is_there),
		IN_PLACE(a_fifo_without_a_reader_is_an_error),
		IN_PLACE(the_format_follows_the_far_end),
		IN_PLACE(the_journal_gets_priorities),
		IN_PLACE(a_full_pipe_drops_and_says_so),
		IN_PLACE(a_pipe_that_stays_full_delays_the_end_for_a_bounded_time),
		IN_PLACE(a_reader_that_has_gone_costs_lines_and_nothing_else),
		IN_PLACE(a_full_disk_costs_lines_and_nothing_else),
		IN_PLACE(reopening_goes_on_in_a_new_file),
		IN_PLACE(a_reopen_that_fails_keeps_the_old_file),
		IN_PLACE(threads_do_not_mix_their_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
