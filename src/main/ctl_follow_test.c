/* A balancer that is a child process, and has one answer. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/testing.h"
#include "main/ctl.h"
#include "main/exit_code.h"

enum { TEXT_MAX = 2000 };

static int listen_at(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Gives that answer to whoever comes, once. Returns the process. */
static pid_t answer_once(int listener, const char *body)
{
	const pid_t pid = fork();
	char text[TEXT_MAX];
	int length;
	int fd;

	assert_true(pid >= 0);
	if (pid > 0) {
		return pid;
	}
	length = snprintf(text, sizeof text,
		"HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
		strlen(body), body);
	fd = accept(listener, NULL, NULL);
	if (fd < 0 || send(fd, text, (size_t)length, MSG_NOSIGNAL) != length) {
		_exit(1);
	}
	(void)shutdown(fd, SHUT_WR);
	while (read(fd, text, sizeof text) > 0) {
	}
	_exit(0);
}

/* What ctl_follow_upgrade() writes to standard output, NUL-terminated, and its exit code. */
static int follow(const char *path, char ret_output[static TEXT_MAX])
{
	json_t *answer = json_pack("{s:i}", "attempt", 1);
	FILE *file = tmpfile();
	const int before = dup(STDOUT_FILENO);
	size_t length;
	int code;

	assert_non_null(file);
	(void)fflush(stdout);
	assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
	code = ctl_follow_upgrade(path, answer, true);
	(void)fflush(stdout);
	assert_true(dup2(before, STDOUT_FILENO) >= 0);
	(void)close(before);
	rewind(file);
	length = fread(ret_output, 1, TEXT_MAX - 1, file);
	ret_output[length] = '\0';
	(void)fclose(file);
	json_decref(answer);
	return code;
}

/* The message has room for a part of it, and that ends within a character. */
static void a_long_reason_of_a_refused_upgrade_is_still_json(void **state)
{
	char directory[] = "/tmp/loble-test-XXXXXX";
	char path[64];
	char reason[500] = "";
	char body[TEXT_MAX];
	char output[TEXT_MAX];
	json_error_t mistake;
	json_t *outcome;
	const char *error;
	int status = -1;
	int listener;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(directory));
	(void)snprintf(path, sizeof path, "%s/socket", directory);
	for (size_t i = 0; i < sizeof reason - 3; i += 3) {
		memcpy(reason + i, "\u20ac", 4);
	}
	for (size_t shift = 0; shift < 3; shift++) {
		listener = listen_at(path);
		(void)snprintf(body, sizeof body,
			"{\"version\":\"1\",\"upgrade\":{\"attempts\":1,\"state\":\"refused\","
			"\"reason\":\"%.*s%s\"}}",
			(int)shift, "xx", reason);
		pid = answer_once(listener, body);
		assert_int_equal(follow(path, output), EXIT_CODE_REFUSED);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
		outcome = json_loads(output, 0, &mistake);
		assert_non_null(outcome);
		error = json_string_value(json_object_get(outcome, "error"));
		assert_non_null(error);
		assert_int_equal(strncmp(error, "the upgrade was refused: ", 25), 0);
		json_decref(outcome);
		(void)close(listener);
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_reason_of_a_refused_upgrade_is_still_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
