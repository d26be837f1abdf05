#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/error.h"
#include "base/suggest.h"
#include "main/admin_socket.h"
#include "main/columns.h"
#include "main/commands.h"
#include "main/ctl.h"
#include "main/ctl_client.h"
#include "main/exit_code.h"
#include "main/options.h"

enum { TARGET_MAX = 2048, AFTER_MAX = 256, COMPLAINT_MAX = 1024 };

/* An option that becomes a parameter of the request. */
struct parameter {
	enum ctl_option option;
	const char *name;
	const char *value; /* NULL: not given */
};

static int usage(const char *before, const char *text, const char *after)
{
	ctl_complain(false, before, text, after);
	(void)fputs("Try 'loble ctl --help'.\n", stderr);
	return EXIT_CODE_USAGE;
}

/* No command is near, so all are named. */
static void list_commands(char text[static AFTER_MAX])
{
	size_t length = (size_t)snprintf(text, AFTER_MAX, "'; there are");

	for (size_t i = 0; i < ctl_row_count && length < AFTER_MAX; i++) {
		length += (size_t)snprintf(text + length, AFTER_MAX - length, "%s %s",
			i > 0 ? "," : "", ctl_table[i].name);
	}
}

static int refuse_command(const char *word)
{
	struct suggest suggest = {.word = word, .length = strlen(word)};
	char after[AFTER_MAX];

	for (size_t i = 0; i < ctl_row_count; i++) {
		suggest_consider(&suggest, ctl_table[i].name);
	}
	if (suggest.nearest != NULL) {
		(void)snprintf(after, sizeof after, "'; did you mean 'ctl %s'?", suggest.nearest);
	} else {
		list_commands(after);
	}
	return usage("unknown command 'ctl ", word, after);
}

static int refuse_option(const struct ctl_row *row, const struct parameter *parameter)
{
	char before[64];

	(void)snprintf(
		before, sizeof before, "option '--%s' does not go with 'ctl ", parameter->name);
	return usage(before, row->name, "'");
}

static void list_sockets(const struct admin_found *found, bool json)
{
	char text[COMPLAINT_MAX] = "";
	size_t length = 0;

	if (!json) {
		(void)fputs("loble: several balancers run here; name one with --socket:\n", stderr);
	}
	for (uint32_t i = 0; i < found->count; i++) {
		if (!json) {
			ctl_complain(false, "  ", found->paths[i], "");
		} else if (length < sizeof text) {
			length += (size_t)snprintf(text + length, sizeof text - length, "%s%s",
				i > 0 ? ", " : "", found->paths[i]);
		}
	}
	if (json) {
		ctl_complain(
			true, "several balancers run here; name one with --socket: ", text, "");
	}
}

/* The only live socket, or NULL with everything said and *ret_code set. */
static const char *choose_socket(struct admin_found *found, bool json, int *ret_code)
{
	admin_socket_find(found);
	if (found->count == 1) {
		return found->paths[0];
	}
	if (found->count > 1) {
		list_sockets(found, json);
		*ret_code = EXIT_CODE_UNAVAILABLE;
		return NULL;
	}
	if (found->refused[0] != '\0') {
		ctl_complain(json, "", found->refused, ": not permitted");
		*ret_code = EXIT_CODE_PERMISSION;
		return NULL;
	}
	ctl_complain(json,
		"no running balancer was found in the default places; name its admin "
		"socket with --socket",
		"", "");
	*ret_code = EXIT_CODE_UNAVAILABLE;
	return NULL;
}

static bool is_unreserved(char letter)
{
	return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
		(letter >= '0' && letter <= '9') || (letter != '\0' && strchr("-._~", letter));
}

/* Appends "name=value", encoded. Returns false when there is no room. */
static bool add_parameter(char target[static TARGET_MAX], const struct parameter *parameter)
{
	size_t at = strlen(target);

	at += (size_t)snprintf(target + at, TARGET_MAX - at,
		"%c%s=", strchr(target, '?') == NULL ? '?' : '&', parameter->name);
	for (const char *from = parameter->value; *from != '\0'; from++) {
		if (at + 4 > TARGET_MAX) {
			return false;
		}
		if (is_unreserved(*from)) {
			target[at++] = *from;
		} else {
			at += (size_t)snprintf(target + at, TARGET_MAX - at, "%%%02X",
				(unsigned)(unsigned char)*from);
		}
	}
	target[at] = '\0';
	return true;
}

/* The path and query of the command. Returns an exit code, with everything said. */
static int make_target(
	const struct ctl_row *row, const struct options *options, char target[static TARGET_MAX])
{
	const struct parameter parameters[] = {
		{CTL_POOL, "pool", options->pool},
		{CTL_BACKEND, "backend", options->backend_count > 0 ? options->backends[0] : NULL},
		{CTL_LISTENER, "listener", options->listener},
		{CTL_LIMIT, "limit", options->limit},
		{CTL_WAIT, "wait", options->wait ? "true" : NULL},
	};

	(void)snprintf(target, TARGET_MAX, "%s", row->path);
	for (size_t i = 0; i < ARRAY_COUNT(parameters); i++) {
		if (parameters[i].value == NULL) {
			continue;
		}
		if ((row->options & (unsigned)parameters[i].option) == 0) {
			return refuse_option(row, &parameters[i]);
		}
		if (parameters[i].option == CTL_WAIT && row->follow != NULL) {
			continue; /* the waiting is done here */
		}
		if (!add_parameter(target, &parameters[i])) {
			return usage("the name is too long: '", parameters[i].value, "'");
		}
	}
	return EXIT_CODE_DONE;
}

/* Of a request that got no answer. */
static int code_of_error(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return EXIT_CODE_PERMISSION;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return EXIT_CODE_LIMIT;
	case EINVAL:
		return EXIT_CODE_USAGE;
	default:
		return EXIT_CODE_UNAVAILABLE;
	}
}

/* The word for scripts in an answer that says no. */
static const struct {
	const char *reason;
	int code;
} code_of_reason[] = {
	{"invalid", EXIT_CODE_CONFIG}, {"no_file", EXIT_CODE_NO_FILE},
	{"not_permitted", EXIT_CODE_PERMISSION}, {"io", EXIT_CODE_IO}, {"limit", EXIT_CODE_LIMIT},
	{"unknown", EXIT_CODE_USAGE}, /* a name of the command line */
};

/* Of an answer. One without such a word may be that of another version. */
static int code_of_answer(unsigned status, const json_t *json)
{
	const char *reason = json_string_value(json_object_get(json, "reason"));

	for (size_t i = 0; reason != NULL && i < ARRAY_COUNT(code_of_reason); i++) {
		if (strcmp(reason, code_of_reason[i].reason) == 0) {
			return code_of_reason[i].code;
		}
	}
	switch (status) {
	case 200:
	case 202:
		return EXIT_CODE_DONE;
	case 400:
		return EXIT_CODE_USAGE;
	case 422:
		return EXIT_CODE_CONFIG;
	case 504:
		return EXIT_CODE_TIMEOUT;
	default:
		return EXIT_CODE_REFUSED;
	}
}

static int show_error(
	const struct options *options, const struct ctl_answer *answer, const json_t *json)
{
	const char *text = json_string_value(json_object_get(json, "error"));

	if (text != NULL && options->json) {
		(void)fwrite(answer->body, 1, answer->length, stdout);
	} else if (text != NULL && strchr(text, '\n') != NULL) {
		(void)columns_print_lines(text, stderr);
	} else {
		ctl_complain(options->json, "", text == NULL ? "the balancer refuses" : text, "");
	}
	return code_of_answer(answer->status, json);
}

static int print(const struct ctl_row *row, const json_t *json)
{
	if (!row->print(json, stdout)) {
		(void)fputs("loble: out of memory\n", stderr);
		return EXIT_CODE_LIMIT;
	}
	return EXIT_CODE_DONE;
}

/* Shows what there is to show, once it has waited for it where that was asked for. */
static int show(const struct ctl_row *row, const struct options *options, const char *socket,
	const struct ctl_answer *answer, const json_t *json)
{
	if (options->wait && row->follow != NULL) {
		return row->follow(socket, json, options->json);
	}
	if (options->json) {
		(void)fwrite(answer->body, 1, answer->length, stdout);
		return EXIT_CODE_DONE;
	}
	return print(row, json);
}

static int conclude(const struct ctl_row *row, const struct options *options, const char *socket,
	const struct ctl_answer *answer)
{
	json_error_t mistake;
	json_t *json = json_loadb(answer->body, answer->length, 0, &mistake);
	int code = code_of_answer(answer->status, json);

	if (code != EXIT_CODE_DONE) {
		code = show_error(options, answer, json);
	} else if (json == NULL) {
		ctl_complain(options->json, "the answer is no JSON: ", mistake.text, "");
		code = EXIT_CODE_UNAVAILABLE;
	} else {
		code = show(row, options, socket, answer, json);
	}
	json_decref(json);
	return code;
}

int command_ctl(const struct options *options)
{
	static struct admin_found found;
	const struct ctl_row *row;
	struct ctl_request request;
	struct ctl_answer answer;
	struct error err;
	char target[TARGET_MAX];
	int code;

	if (options->operand == NULL) {
		return usage("'loble ctl' needs a command", "", "");
	}
	row = ctl_find(options->operand);
	if (row == NULL) {
		return refuse_command(options->operand);
	}
	code = make_target(row, options, target);
	if (code != EXIT_CODE_DONE) {
		return code;
	}
	request = (struct ctl_request){
		.socket = options->socket,
		.method = row->method,
		.target = target,
		.timeout_ms = options->wait ? row->wait_timeout_ms : row->timeout_ms,
	};
	if (request.socket == NULL) {
		request.socket = choose_socket(&found, options->json, &code);
	}
	if (request.socket == NULL) {
		return code;
	}
	if (ctl_exchange(&request, &answer, &err) < 0) {
		ctl_complain(options->json, "", err.text, "");
		return code_of_error(err.code);
	}
	code = conclude(row, options, request.socket, &answer);
	ctl_answer_done(&answer);
	return code;
}
