/* Real sockets on loopback, and tables without workers: the test closes what is retired. */
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "control/sockets.h"
#include "control/testing.h"
#include "os/socket.h"

#define POOL "[pools.p]\n[[pools.p.backends]]\naddress = \"127.0.0.1:1\"\n"

struct bench {
	struct shm shm;
	struct sockets_closing closing;
	char directory[64];
	uint16_t ports[3]; /* that nobody uses */
	int holders[3];    /* bound, so that nobody else gets them, and not listening */
};

static uint16_t reserve(int *ret_fd)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	const int on = 1;

	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
	assert_int_equal(setsockopt(*ret_fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
	assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin_port);
}

static int set_up(void **state)
{
	static struct bench bench;

	bench = (struct bench){.directory = "/tmp/loble-test-XXXXXX"};
	assert_non_null(mkdtemp(bench.directory));
	assert_int_equal(shm_create(2, 1, &bench.shm, NULL), 0);
	for (int i = 0; i < 3; i++) {
		bench.ports[i] = reserve(&bench.holders[i]);
	}
	*state = &bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	sockets_close(&bench->shm);
	sockets_closing_done(&bench->closing);
	shm_destroy(&bench->shm);
	for (int i = 0; i < 3; i++) {
		(void)close(bench->holders[i]);
	}
	assert_int_equal(rmdir(bench->directory), 0);
	return 0;
}

/* A configuration with one listener for each port, named after it; 0 ends the list. */
static struct config *listening(const struct bench *bench, const char *names, const char *more)
{
	char text[2000];
	size_t length = 0;

	for (const char *name = names; *name != '\0'; name++) {
		length += (size_t)snprintf(text + length, sizeof text - length,
			"[[listeners]]\nname = \"%c\"\naddress = \"127.0.0.1:%u\"\n", *name,
			bench->ports[*name - 'a']);
	}
	(void)snprintf(text + length, sizeof text - length, "%s" POOL, more);
	return test_config(text);
}

static int plan_and_commit(struct bench *bench, const struct config *config)
{
	struct sockets_plan *plan;
	struct error err;
	const int r = sockets_plan(config, NULL, &bench->shm, PLAN_WAIT, &plan, &err);

	return r < 0 ? r : (int)sockets_commit(plan, &bench->closing);
}

/* How many records of all workers are in that state. */
static uint32_t count(const struct bench *bench, enum listen_state state, uint32_t flags)
{
	uint32_t n = 0;

	for (uint32_t worker = 0; worker < bench->shm.workers; worker++) {
		for (uint32_t i = 0; i < shm_listen_limit(&bench->shm); i++) {
			const struct listen_record *record =
				shm_listen_record(&bench->shm, worker, i);

			if (listen_record_state(record) == state &&
				(listen_record_flags(record) & LISTEN_RETIRED) == flags) {
				n++;
			}
		}
	}
	return n;
}

/* As the workers do. */
static void close_retired(struct bench *bench)
{
	for (uint32_t worker = 0; worker < bench->shm.workers; worker++) {
		for (uint32_t i = 0; i < shm_listen_limit(&bench->shm); i++) {
			struct listen_record *record = shm_listen_record(&bench->shm, worker, i);

			if (listen_record_is_live(record) &&
				(listen_record_flags(record) & LISTEN_RETIRED) != 0) {
				(void)close(record->fd);
				listen_record_set_state(record, LISTEN_FREE);
			}
		}
	}
}

static void sockets_are_opened_kept_and_retired(void **state)
{
	struct bench *bench = *state;
	struct config *one = listening(bench, "a", "");
	struct config *two = listening(bench, "ab", "");
	struct config *other = listening(bench, "b", "");
	struct error err;
	uint64_t cookie;

	assert_int_equal(sockets_open(one, &bench->shm, &err), 0);
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 2);
	cookie = shm_listen_record(&bench->shm, 1, 0)->cookie;
	assert_int_equal(plan_and_commit(bench, one), 0); /* nothing for the workers to do */
	assert_int_equal(plan_and_commit(bench, two), 1);
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 4);
	assert_int_equal(shm_listen_record(&bench->shm, 1, 0)->cookie, cookie);
	assert_int_equal(plan_and_commit(bench, other), 1);
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 2);
	assert_int_equal(count(bench, LISTEN_OPEN, LISTEN_RETIRED), 2);
	assert_int_equal(bench->closing.count, 1);
	sockets_check_closing(&bench->shm, &bench->closing);
	assert_int_equal(bench->closing.count, 1);
	close_retired(bench);
	sockets_check_closing(&bench->shm, &bench->closing);
	assert_int_equal(bench->closing.count, 0);
	config_free(one);
	config_free(two);
	config_free(other);
}

/* A predecessor died in the middle of a reload. */
static void a_successor_opens_what_is_missing_and_retires_what_is_too_much(void **state)
{
	struct bench *bench = *state;
	struct config *before = listening(bench, "ab", "");
	struct config *after = listening(bench, "bc", "");
	struct error err;

	assert_int_equal(sockets_open(before, &bench->shm, &err), 0);
	assert_int_equal(sockets_open(after, &bench->shm, &err), 0);
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 4);
	assert_int_equal(count(bench, LISTEN_OPEN, LISTEN_RETIRED), 2);
	sockets_find_closing(&bench->shm, &bench->closing);
	assert_int_equal(bench->closing.count, 1);
	close_retired(bench);
	config_free(before);
	config_free(after);
}

static void an_address_goes_to_another_name(void **state)
{
	struct bench *bench = *state;
	struct config *config = listening(bench, "a", "");
	char text[200];
	struct config *renamed;
	struct error err;
	const struct listen_record *record = shm_listen_record(&bench->shm, 0, 0);
	uint64_t cookie;

	assert_int_equal(sockets_open(config, &bench->shm, &err), 0);
	cookie = record->cookie;
	(void)snprintf(text, sizeof text,
		"[[listeners]]\nname = \"z\"\naddress = \"127.0.0.1:%u\"\n" POOL, bench->ports[0]);
	renamed = test_config(text);
	assert_int_equal(plan_and_commit(bench, renamed), 0);
	assert_int_equal(record->cookie, cookie);
	assert_string_equal(
		bench->shm.listeners[atomic_load(&record->listener)].identity.name, "z");
	config_free(config);
	config_free(renamed);
}

static void an_address_that_is_being_closed_is_waited_for_or_opened_beside(void **state)
{
	struct bench *bench = *state;
	struct config *one = listening(bench, "a", "");
	struct config *other = listening(bench, "b", "");
	struct sockets_plan *plan;
	struct error err;

	assert_int_equal(sockets_open(one, &bench->shm, &err), 0);
	assert_int_equal(plan_and_commit(bench, other), 1);
	assert_int_equal(plan_and_commit(bench, one), -EINPROGRESS);
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 2);
	assert_int_equal(sockets_plan(one, NULL, &bench->shm, PLAN_BESIDE, &plan, &err), 0);
	sockets_abandon(plan);
	close_retired(bench);
	assert_int_equal(plan_and_commit(bench, one), 1);
	config_free(one);
	config_free(other);
}

static void what_fails_leaves_nothing(void **state)
{
	struct bench *bench = *state;
	struct config *one = listening(bench, "a", "");
	struct config *three = listening(bench, "abc", "");
	struct sockets_plan *plan;
	struct error err;

	assert_int_equal(sockets_open(one, &bench->shm, &err), 0);
	assert_int_equal(close(bench->holders[2]), 0); /* somebody listens at the third */
	bench->holders[2] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	{
		const struct sockaddr_in address = {.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			.sin_port = htons(bench->ports[2])};

		assert_int_equal(
			bind(bench->holders[2], (const struct sockaddr *)&address, sizeof address),
			0);
	}
	assert_int_equal(listen(bench->holders[2], 1), 0);
	assert_int_equal(
		sockets_plan(three, one, &bench->shm, PLAN_WAIT, &plan, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "listener \"c\": "));
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 2);
	assert_int_equal(bench->closing.count, 0);
	config_free(one);
	config_free(three);
}

static void the_file_of_a_unix_socket_goes_with_it(void **state)
{
	struct bench *bench = *state;
	char more[200];
	char path[100];
	struct config *with;
	struct config *without = listening(bench, "a", "");
	struct stat status;

	(void)snprintf(path, sizeof path, "%s/socket", bench->directory);
	(void)snprintf(
		more, sizeof more, "[[listeners]]\naddress = \"unix:%s\"\nmode = \"0600\"\n", path);
	with = listening(bench, "a", more);
	assert_int_equal(plan_and_commit(bench, with), 1);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(plan_and_commit(bench, with), 0); /* found again by its path */
	assert_int_equal(plan_and_commit(bench, without), 1);
	sockets_check_closing(&bench->shm, &bench->closing);
	assert_int_equal(stat(path, &status), 0);
	close_retired(bench);
	sockets_check_closing(&bench->shm, &bench->closing);
	assert_int_equal(stat(path, &status), -1);
	config_free(with);
	config_free(without);
}

static bool connects(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	r = connect(fd, (const struct sockaddr *)&address, sizeof address);
	(void)close(fd);
	return r == 0;
}

static void a_unix_socket_without_its_file_is_made_again(void **state)
{
	struct bench *bench = *state;
	struct sockets_plan *plan;
	struct error err;
	char more[200];
	char path[100];
	struct config *config;
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/socket", bench->directory);
	(void)snprintf(
		more, sizeof more, "[[listeners]]\naddress = \"unix:%s\"\nbacklog = 1\n", path);
	config = listening(bench, "", more);
	assert_int_equal(sockets_open(config, &bench->shm, &err), 0);
	assert_false(sockets_are_lost(config));
	assert_int_equal(unlink(path), 0);
	assert_true(sockets_are_lost(config));
	assert_int_equal(plan_and_commit(bench, config), 0); /* no reload: it stays as it is */
	assert_false(connects(path));
	assert_int_equal(sockets_plan(config, config, &bench->shm, PLAN_WAIT, &plan, &err), 0);
	sockets_abandon(plan);
	assert_true(sockets_are_lost(config));
	assert_int_equal(sockets_plan(config, config, &bench->shm, PLAN_WAIT, &plan, &err), 0);
	assert_true(sockets_commit(plan, &bench->closing));
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 2);
	assert_int_equal(count(bench, LISTEN_OPEN, LISTEN_RETIRED), 2);
	/* The next reload need not wait until the lost one is closed: the new one serves. */
	assert_int_equal(sockets_plan(config, config, &bench->shm, PLAN_WAIT, &plan, &err), 0);
	assert_false(sockets_commit(plan, &bench->closing));
	assert_int_equal(count(bench, LISTEN_OPEN, 0), 2);
	close_retired(bench);
	sockets_check_closing(&bench->shm, &bench->closing);
	assert_int_equal(bench->closing.count, 0);
	assert_false(sockets_are_lost(config));
	/* The queue has room for two: nobody has connected to see whether it lives. */
	assert_true(connects(path));
	assert_true(connects(path));
	assert_false(connects(path));
	/* What is there now is somebody else's. */
	assert_int_equal(unlink(path), 0);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(sockets_plan(config, config, &bench->shm, PLAN_WAIT, &plan, &err), 0);
	assert_false(sockets_commit(plan, &bench->closing));
	assert_int_equal(unlink(path), 0);
	config_free(config);
}

static void a_successor_finds_what_is_being_closed(void **state)
{
	struct bench *bench = *state;
	struct config *one = listening(bench, "a", "");
	struct config *other = listening(bench, "b", "");
	struct sockets_closing found = {.count = 0};
	struct error err;

	assert_int_equal(sockets_open(one, &bench->shm, &err), 0);
	assert_int_equal(plan_and_commit(bench, other), 1);
	sockets_find_closing(&bench->shm, &found);
	assert_int_equal(found.count, 1);
	assert_int_equal(sockaddr_port(&found.list[0].address), bench->ports[0]);
	sockets_closing_done(&found);
	config_free(one);
	config_free(other);
}

static void options_of_sockets_that_stay_follow(void **state)
{
	struct bench *bench = *state;
	struct config *before = listening(bench, "a", "");
	struct config *after =
		listening(bench, "a", "max_buffered = \"64KiB\"\n[tcp]\nkeepalive = \"7s\"\n");
	const struct listen_record *record = shm_listen_record(&bench->shm, 1, 0);
	struct sockets_plan *plan;
	struct error err;
	int first;
	int value;
	socklen_t length = sizeof value;

	assert_int_equal(sockets_open(before, &bench->shm, &err), 0);
	assert_int_equal(getsockopt(record->fd, SOL_SOCKET, SO_RCVBUF, &first, &length), 0);
	assert_int_equal(sockets_plan(after, before, &bench->shm, PLAN_WAIT, &plan, &err), 0);
	assert_false(sockets_commit(plan, &bench->closing));
	assert_int_equal(getsockopt(record->fd, SOL_SOCKET, SO_RCVBUF, &value, &length), 0);
	assert_int_equal(value, 65536);
	assert_int_equal(
		getsockopt(record->fd, IPPROTO_TCP, 4 /* TCP_KEEPIDLE */, &value, &length), 0);
	assert_int_equal(value, 7);
	assert_int_equal(sockets_plan(before, after, &bench->shm, PLAN_WAIT, &plan, &err), 0);
	assert_false(sockets_commit(plan, &bench->closing));
	assert_int_equal(getsockopt(record->fd, SOL_SOCKET, SO_RCVBUF, &value, &length), 0);
	assert_int_equal(value, first);
	config_free(before);
	config_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			sockets_are_opened_kept_and_retired, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_successor_opens_what_is_missing_and_retires_what_is_too_much, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(an_address_goes_to_another_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			an_address_that_is_being_closed_is_waited_for_or_opened_beside, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(what_fails_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			the_file_of_a_unix_socket_goes_with_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_unix_socket_without_its_file_is_made_again, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_successor_finds_what_is_being_closed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			options_of_sockets_that_stay_follow, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
