#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "main/columns.h"
#include "main/ctl.h"
#include "main/ctl_client.h"
#include "main/exit_code.h"
#include "observe/json.h"
#include "os/clock.h"

enum {
	LIMIT_MS = 60000, /* for one process to take the other's place */
	LOOK_MS = 100,    /* between two looks */
	ANSWER_MS = 5000, /* for the answer to one */
	NS_PER_MS = 1000000,
	MISTAKE_MAX = 256,
};

/*
 * The status of whoever answers now. NULL when nobody does: for a moment nobody listens, and who
 * was about to answer may have gone.
 */
static json_t *look(const char *socket)
{
	const struct ctl_request request = {
		.socket = socket, .method = "GET", .target = "/v1/status", .timeout_ms = ANSWER_MS};
	struct ctl_answer answer;
	json_error_t mistake;
	struct error err;
	json_t *status = NULL;

	if (ctl_exchange(&request, &answer, &err) < 0) {
		return NULL;
	}
	if (answer.status == 200) {
		status = json_loadb(answer.body, answer.length, 0, &mistake);
	}
	ctl_answer_done(&answer);
	return status;
}

/* Whether the attempt is over. */
static bool is_over(const json_t *upgrade, json_int_t attempt)
{
	const char *state = json_string_value(json_object_get(upgrade, "state"));

	return state != NULL && strcmp(state, "running") != 0 &&
		json_integer_value(json_object_get(upgrade, "attempts")) >= attempt;
}

/* `mistake` is NULL where there is none; it may have been cut within a character. */
static void print_json(const json_t *status, json_int_t attempt, const char *mistake)
{
	json_t *outcome = json_pack("{s:b, s:I, s:O, s:O?, s:o*}", "accepted", 1, "attempt",
		attempt, "upgrade", json_object_get(status, "upgrade"), "version",
		json_object_get(status, "version"), "error",
		mistake == NULL ? NULL : json_text(mistake));

	if (outcome != NULL) {
		(void)json_dumpf(outcome, stdout, JSON_COMPACT);
		(void)fputc('\n', stdout);
	}
	json_decref(outcome);
}

static void say_version(const json_t *status)
{
	const char *version = json_string_value(json_object_get(status, "version"));
	char *escaped = columns_escape(version == NULL ? "" : version);

	(void)fprintf(stdout, "done: version %s\n", escaped == NULL ? "" : escaped);
	free(escaped);
}

/* The attempt is over: whether it was done, or why not. */
static int tell(const json_t *status, json_int_t attempt, bool json)
{
	const json_t *upgrade = json_object_get(status, "upgrade");
	const char *state = json_string_value(json_object_get(upgrade, "state"));
	const char *reason = json_string_value(json_object_get(upgrade, "reason"));
	const bool done = strcmp(state, "done") == 0;
	char mistake[MISTAKE_MAX];

	(void)snprintf(mistake, sizeof mistake, "the upgrade was refused: %s",
		reason == NULL ? "" : reason);
	if (json) {
		print_json(status, attempt, done ? NULL : mistake);
	} else if (done) {
		say_version(status);
	} else {
		ctl_complain(false, "", mistake, "");
	}
	return done ? EXIT_CODE_DONE : EXIT_CODE_REFUSED;
}

int ctl_follow_upgrade(const char *socket, const json_t *answer, bool json)
{
	const uint64_t end_ns = clock_monotonic_ns() + (uint64_t)LIMIT_MS * NS_PER_MS;
	const json_int_t attempt = json_integer_value(json_object_get(answer, "attempt"));

	do {
		json_t *status = look(socket);

		if (is_over(json_object_get(status, "upgrade"), attempt)) {
			const int code = tell(status, attempt, json);

			json_decref(status);
			return code;
		}
		json_decref(status);
		(void)poll(NULL, 0, LOOK_MS);
	} while (clock_monotonic_ns() < end_ns);
	ctl_complain(json, "the upgrade was not over in time", "", "");
	return EXIT_CODE_TIMEOUT;
}
