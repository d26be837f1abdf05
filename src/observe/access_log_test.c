#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/access.h"
#include "model/session_record.h"
#include "observe/access_log.h"
#include "observe/log_writer.h"
#include "observe/testing.h"

enum { CLOSE_MS = 20000 };

static const uint64_t moment = 1688169600001234567; /* 2023-07-01T00:00:00.001234567Z */

struct scene {
	void *shm;
	struct access_ring *rings[TEST_WORKERS];
	struct access_log log;
	struct log_writer *writer;
	char path[32];
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);
	struct log_writer_setup setup = {.format = LOG_WRITER_TEXT};

	assert_non_null(scene);
	assert_int_equal(testing_make_shm(&scene->shm), 0);
	testing_fill(scene->shm);
	memcpy(scene->path, "/tmp/loble-access-XXXXXX", sizeof "/tmp/loble-access-XXXXXX");
	(void)close(mkstemp(scene->path));
	setup.path = scene->path;
	assert_int_equal(log_writer_open(&setup, &scene->writer, NULL), 0);
	for (int i = 0; i < TEST_WORKERS; i++) {
		scene->rings[i] = aligned_alloc(CACHE_LINE, sizeof *scene->rings[i]);
		assert_non_null(scene->rings[i]);
		access_init(scene->rings[i]);
	}
	scene->log = (struct access_log){
		.shm = scene->shm, .rings = scene->rings, .writer = scene->writer};
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	log_writer_close(scene->writer, CLOSE_MS);
	for (int i = 0; i < TEST_WORKERS; i++) {
		free(scene->rings[i]);
	}
	(void)unlink(scene->path);
	(void)testing_drop_shm(&scene->shm);
	free(scene);
	return 0;
}

/* All that was written; nothing can be after it. The caller frees it. */
static char *finish(struct scene *scene)
{
	char *text = calloc(1, 4 * 1024 * 1024);
	FILE *file;

	assert_non_null(text);
	log_writer_close(scene->writer, CLOSE_MS);
	scene->writer = NULL;
	file = fopen(scene->path, "re");
	assert_non_null(file);
	text[fread(text, 1, 4 * 1024 * 1024 - 1, file)] = '\0';
	(void)fclose(file);
	return text;
}

static struct access_record record_of(const char *host, uint16_t port)
{
	struct access_record record = {
		.wall_ns = moment,
		.duration_ns = 1234567,
		.connect_ns = 250000,
		.received_bytes = 10,
		.sent_bytes = 20,
		.tries = 2,
		.by = CLOSED_BY_BACKEND,
		.reason = CLOSE_END,
	};
	const uint16_t net_port = htons(port);

	assert_int_equal(inet_pton(AF_INET6, host, record.client_address), 1);
	memcpy(record.client_address + 16, &net_port, sizeof net_port);
	return record;
}

static void a_session_is_one_line(void **state)
{
	struct scene *scene = *state;
	struct access_record record = record_of("::ffff:192.0.2.7", 40000);
	char *text;

	assert_true(access_push(scene->rings[1], &record));
	assert_true(access_log_drain(&scene->log));
	text = finish(scene);
	assert_string_equal(text,
		"time=2023-07-01T00:00:00.001234Z level=info event=session listener=web pool=web "
		"backend=10.0.0.1:8080 client=192.0.2.7:40000 tries=2 connect_ms=0.250 "
		"received_bytes=10 sent_bytes=20 duration_ms=1.235 closed_by=backend reason=end\n");
	free(text);
}

static void other_clients_and_no_backend_are_said(void **state)
{
	struct scene *scene = *state;
	struct access_record record = record_of("2001:db8::1", 443);
	char *text;

	record.slot = RECORD_NONE;
	record.by = CLOSED_BY_PROXY;
	record.reason = CLOSE_NO_BACKEND;
	assert_true(access_push(scene->rings[0], &record));
	record.local = true;
	record.slot = 1;
	record.listener = 1;
	assert_true(access_push(scene->rings[0], &record));
	assert_true(access_log_drain(&scene->log));
	text = finish(scene);
	assert_non_null(strstr(text, " backend=\"\" client=[2001:db8::1]:443 "));
	assert_non_null(strstr(text, " closed_by=proxy reason=no_backend\n"));
	assert_non_null(strstr(text,
		" listener=\"mail \\\"in\\\"\" pool=web backend=\"b\\\\ackend\\n2\" client=unix "));
	free(text);
}

static void lost_records_are_counted_and_told_once(void **state)
{
	struct scene *scene = *state;
	struct shm *shm = scene->shm;
	const struct access_record record = record_of("::1", 1);
	const uint64_t before = counter_get(&shm->header->process.log_lines_dropped);
	char *text;
	const char *line;

	for (int i = 0; i < ACCESS_RING_SIZE + 3; i++) {
		(void)access_push(scene->rings[2], &record);
	}
	while (!access_log_drain(&scene->log)) {
	}
	assert_true(access_log_drain(&scene->log));
	assert_int_equal(counter_get(&shm->header->process.log_lines_dropped), before + 3);
	text = finish(scene);
	line = strstr(text, "level=warn event=log_dropped lines=3\n");
	assert_non_null(line);
	assert_null(strstr(line + strlen("level=warn event="), "event=log_dropped"));
	free(text);
}

/* More than the writer's ring holds waits in the rings of the workers; nothing is lost. */
static void a_slow_writer_makes_records_wait(void **state)
{
	struct scene *scene = *state;
	const struct access_record record = record_of("::1", 1);
	unsigned lines = 0;
	char *text;

	for (int worker = 0; worker < TEST_WORKERS; worker++) {
		for (int i = 0; i < ACCESS_RING_SIZE; i++) {
			assert_true(access_push(scene->rings[worker], &record));
		}
	}
	while (!access_log_drain(&scene->log)) {
	}
	assert_int_equal(log_writer_dropped(scene->writer), 0);
	text = finish(scene);
	for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
		lines++;
	}
	assert_int_equal(lines, TEST_WORKERS * ACCESS_RING_SIZE);
	free(text);
}

int main(void)
{
#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		IN_SCENE(a_session_is_one_line),
		IN_SCENE(other_clients_and_no_backend_are_said),
		IN_SCENE(lost_records_are_counted_and_told_once),
		IN_SCENE(a_slow_writer_makes_records_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
