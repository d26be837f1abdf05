#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "main/columns.h"
#include "main/ctl.h"
#include "observe/json.h"

enum { TEXT_MAX = 32, LINE_MAX_BYTES = 256, COMPLAINT_MAX = 1024 };

void ctl_complain(bool json, const char *before, const char *text, const char *after)
{
	char line[COMPLAINT_MAX];
	char *escaped;
	json_t *object;

	if (!json) {
		escaped = columns_escape(text);
		(void)fprintf(
			stderr, "loble: %s%s%s\n", before, escaped == NULL ? "" : escaped, after);
		free(escaped);
		return;
	}
	(void)snprintf(line, sizeof line, "%s%s%s", before, text, after);
	object = json_pack("{s:o}", "error", json_text(line));
	if (object == NULL || json_dumpf(object, stdout, JSON_COMPACT) < 0) {
		(void)fputs("{\"error\":\"out of memory\"}", stdout);
	}
	(void)fputc('\n', stdout);
	json_decref(object);
}

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text == NULL ? "" : text;
}

static long long number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static bool is_true(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* "12.3s", "5m10s", "3h02m", "4d03h"; "" for what is no number. */
static const char *span(const json_t *seconds, char text[static TEXT_MAX])
{
	const double value = json_number_value(seconds);
	const long long whole = (long long)value;

	text[0] = '\0';
	if (!json_is_number(seconds)) {
		return text;
	}
	if (whole < 60) {
		(void)snprintf(text, TEXT_MAX, "%.1fs", value);
	} else if (whole < 3600) {
		(void)snprintf(text, TEXT_MAX, "%lldm%02llds", whole / 60, whole % 60);
	} else if (whole < 86400) {
		(void)snprintf(text, TEXT_MAX, "%lldh%02lldm", whole / 3600, whole / 60 % 60);
	} else {
		(void)snprintf(text, TEXT_MAX, "%lldd%02lldh", whole / 86400, whole / 3600 % 24);
	}
	return text;
}

/* "999", "1.5K", "23.0M": powers of 1024. */
static const char *size(const json_t *bytes, char text[static TEXT_MAX])
{
	static const char units[] = "KMGTPE";
	double value = (double)json_integer_value(bytes);
	int unit = -1;

	while (value >= 1024 && unit < 5) {
		value /= 1024;
		unit++;
	}
	if (unit < 0) {
		(void)snprintf(text, TEXT_MAX, "%.0f", value);
	} else {
		(void)snprintf(text, TEXT_MAX, "%.1f%c", value, units[unit]);
	}
	return text;
}

static void add_pair(struct columns *columns, const char *key, const char *value)
{
	columns_add(columns, key);
	columns_add(columns, value);
}

static void add_process(struct columns *columns, const json_t *answer)
{
	const json_t *worker = json_object_get(answer, "worker");
	const json_t *config = json_object_get(answer, "config");
	const json_t *upgrade = json_object_get(answer, "upgrade");
	char line[LINE_MAX_BYTES];
	char text[TEXT_MAX];

	(void)snprintf(line, sizeof line, "%s, %s%.64s", text_of(answer, "phase"),
		is_true(answer, "ready") ? "ready" : "not ready: ",
		text_of(answer, "not_ready_because"));
	add_pair(columns, "state", line);
	add_pair(columns, "version", text_of(answer, "version"));
	(void)snprintf(line, sizeof line, "%lld (worker %lld, restarted %lld times)",
		number_of(answer, "pid"), number_of(worker, "pid"), number_of(worker, "restarts"));
	add_pair(columns, "process", line);
	add_pair(columns, "uptime", span(json_object_get(answer, "uptime_seconds"), text));
	(void)snprintf(line, sizeof line, "%lld of at most %lld, on %lld workers",
		number_of(answer, "sessions"), number_of(answer, "max_sessions"),
		number_of(answer, "workers"));
	add_pair(columns, "sessions", line);
	(void)snprintf(line, sizeof line, "generation %lld; last load %s, %s",
		number_of(config, "generation"), text_of(config, "last_reload"),
		is_true(config, "last_reload_successful") ? "good" : "refused");
	add_pair(columns, "configuration", line);
	(void)snprintf(line, sizeof line, "%lld done; last attempt: %s%s%.128s",
		number_of(upgrade, "upgrades"), text_of(upgrade, "state"),
		*text_of(upgrade, "reason") == '\0' ? "" : ": ", text_of(upgrade, "reason"));
	add_pair(columns, "upgrades", line);
	(void)snprintf(line, sizeof line, "version %lld",
		number_of(json_object_get(answer, "snapshot"), "version"));
	add_pair(columns, "snapshot", line);
}

static const char *listener_state(const json_t *listener)
{
	if (is_true(listener, "leaving")) {
		return "leaving";
	}
	return is_true(listener, "open") ? "open" : "closed";
}

static bool print_listeners(const json_t *list, FILE *file)
{
	static const char *const titles[] = {
		"LISTENER", "ADDRESS", "POOL", "STATE", ">ACTIVE", ">CONNECTIONS"};
	struct columns columns;
	const json_t *one;
	size_t i;

	columns_begin(&columns, ARRAY_COUNT(titles), titles);
	json_array_foreach(list, i, one)
	{
		columns_add(&columns, text_of(one, "name"));
		columns_add(&columns, text_of(one, "address"));
		columns_add(&columns, text_of(one, "pool"));
		columns_add(&columns, listener_state(one));
		columns_format(&columns, "%lld", number_of(one, "active"));
		columns_format(&columns, "%lld", number_of(one, "connections"));
	}
	return columns_end(&columns, file);
}

static bool print_pools(const json_t *list, FILE *file)
{
	static const char *const titles[] = {"POOL", "STATE", "ALGORITHM", ">HEALTHY", ">DRAINING",
		">UNHEALTHY", ">MAINTENANCE", ">SESSIONS"};
	struct columns columns;
	const json_t *one;
	size_t i;

	columns_begin(&columns, ARRAY_COUNT(titles), titles);
	json_array_foreach(list, i, one)
	{
		columns_add(&columns, text_of(one, "name"));
		columns_add(&columns, is_true(one, "leaving") ? "leaving" : "configured");
		columns_add(&columns, text_of(one, "algorithm"));
		columns_format(&columns, "%lld", number_of(one, "healthy"));
		columns_format(&columns, "%lld", number_of(one, "draining"));
		columns_format(&columns, "%lld", number_of(one, "unhealthy"));
		columns_format(&columns, "%lld", number_of(one, "maintenance"));
		columns_format(&columns, "%lld", number_of(one, "sessions"));
	}
	return columns_end(&columns, file);
}

bool ctl_print_status(const json_t *answer, FILE *file)
{
	struct columns columns;
	bool whole;

	columns_begin(&columns, 2, NULL);
	add_process(&columns, answer);
	whole = columns_end(&columns, file);
	(void)fputc('\n', file);
	whole = print_listeners(json_object_get(answer, "listeners"), file) && whole;
	(void)fputc('\n', file);
	return print_pools(json_object_get(answer, "pools"), file) && whole;
}

/* "traffic: refused" */
static void add_reason(struct columns *columns, const json_t *since)
{
	const char *reason = text_of(since, "reason");

	if (*reason == '\0') {
		columns_add(columns, text_of(since, "cause"));
	} else {
		columns_format(columns, "%s: %s", text_of(since, "cause"), reason);
	}
}

bool ctl_print_backends(const json_t *answer, FILE *file)
{
	static const char *const titles[] = {"POOL", "BACKEND", "STATE", "ADMIN", ">WEIGHT",
		">SESSIONS", ">CONNECTIONS", ">FAILURES", ">SINCE", "REASON"};
	struct columns columns;
	const json_t *one;
	char text[TEXT_MAX];
	size_t i;

	columns_begin(&columns, ARRAY_COUNT(titles), titles);
	json_array_foreach(json_object_get(answer, "backends"), i, one)
	{
		const json_t *since = json_object_get(one, "since");

		columns_add(&columns, text_of(one, "pool"));
		columns_add(&columns, text_of(one, "backend"));
		columns_add(&columns, text_of(one, "state"));
		columns_add(&columns, text_of(one, "admin"));
		columns_format(&columns, "%lld", number_of(one, "weight"));
		columns_format(&columns, "%lld", number_of(one, "sessions"));
		columns_format(&columns, "%lld", number_of(one, "connections"));
		columns_format(&columns, "%lld", number_of(one, "connect_failures"));
		columns_add(&columns, span(json_object_get(since, "seconds"), text));
		add_reason(&columns, since);
	}
	return columns_end(&columns, file);
}

static void add_session(struct columns *columns, const json_t *session)
{
	char text[TEXT_MAX];

	columns_add(columns, text_of(session, "id"));
	columns_add(columns, text_of(session, "client"));
	columns_add(columns, text_of(session, "listener"));
	columns_add(columns, text_of(session, "pool"));
	columns_add(columns, text_of(session, "backend"));
	columns_add(columns, text_of(session, "state"));
	columns_add(columns, span(json_object_get(session, "age_seconds"), text));
	columns_add(columns, span(json_object_get(session, "idle_seconds"), text));
	columns_add(columns, size(json_object_get(session, "received_bytes"), text));
	columns_add(columns, size(json_object_get(session, "sent_bytes"), text));
}

bool ctl_print_sessions(const json_t *answer, FILE *file)
{
	static const char *const titles[] = {"ID", "CLIENT", "LISTENER", "POOL", "BACKEND", "STATE",
		">AGE", ">IDLE", ">RECEIVED", ">SENT"};
	const long long shown = number_of(answer, "shown");
	const long long all = number_of(answer, "sessions_now");
	struct columns columns;
	const json_t *one;
	size_t i;
	bool whole;

	columns_begin(&columns, ARRAY_COUNT(titles), titles);
	json_array_foreach(json_object_get(answer, "sessions"), i, one)
	{
		add_session(&columns, one);
	}
	whole = columns_end(&columns, file);
	(void)fprintf(file, "%lld shown of %lld\n", shown, all);
	return whole;
}

bool ctl_print_accepted(const json_t *answer, FILE *file)
{
	const char *message = text_of(answer, "message");

	if (!is_true(answer, "done")) {
		(void)fputs("accepted\n", file);
		return true;
	}
	(void)fputs("done\n", file);
	return *message == '\0' || columns_print_lines(message, file);
}
