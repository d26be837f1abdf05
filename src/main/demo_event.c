#include "main/demo_event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/*
 * The value of a key, without its quotes, or NULL. The lines are our own: flat objects without
 * spaces, and nothing in the demo has a name that is escaped.
 */
static const char *find_value(const char *line, const char *key, size_t *ret_length)
{
	char pattern[DEMO_WORD_MAX + 4];
	const char *value;

	(void)snprintf(pattern, sizeof pattern, "\"%s\":", key);
	value = strstr(line, pattern);
	if (value == NULL) {
		return NULL;
	}
	value += strlen(pattern);
	if (*value == '"') {
		value++;
		*ret_length = strcspn(value, "\"");
	} else {
		*ret_length = strcspn(value, ",}");
	}
	return value;
}

static void copy_word(const char *line, const char *key, char word[static DEMO_WORD_MAX])
{
	size_t length = 0;
	const char *value = find_value(line, key, &length);

	if (value == NULL || length >= DEMO_WORD_MAX) {
		length = 0;
	}
	if (length > 0) {
		memcpy(word, value, length);
	}
	word[length] = '\0';
}

static uint64_t number(const char *line, const char *key)
{
	size_t length;
	const char *value = find_value(line, key, &length);

	return value != NULL ? strtoull(value, NULL, 10) : 0;
}

/* "2026-11-24T01:48:45.237370Z" as nanoseconds since 1970; 0 when it is no time. */
static uint64_t time_of(const char *line)
{
	char text[DEMO_WORD_MAX];
	struct tm tm = {0};
	const char *rest;
	uint64_t microseconds = 0;

	copy_word(line, "time", text);
	rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	if (rest == NULL || *rest != '.') {
		return 0;
	}
	microseconds = strtoull(rest + 1, NULL, 10);
	return (uint64_t)timegm(&tm) * 1000000000 + microseconds * 1000;
}

static enum demo_event_kind kind_of(const char *line)
{
	char word[DEMO_WORD_MAX];

	if (line[0] != '{') {
		return DEMO_EVENT_NO_EVENT;
	}
	copy_word(line, "event", word);
	if (strcmp(word, "started") == 0) {
		return DEMO_EVENT_STARTED;
	}
	if (strcmp(word, "backend_health") == 0) {
		return DEMO_EVENT_HEALTH;
	}
	return strcmp(word, "stopped") == 0 ? DEMO_EVENT_STOPPED : DEMO_EVENT_OTHER;
}

void demo_event_read(const char *line, struct demo_event *ret_event)
{
	*ret_event = (struct demo_event){
		.kind = kind_of(line),
		.wall_ns = time_of(line),
		.failures = number(line, "failures"),
		.successes = number(line, "successes"),
		.sessions = number(line, "sessions"),
		.sessions_cut = number(line, "sessions_cut"),
	};
	copy_word(line, "backend", ret_event->backend);
	copy_word(line, "from", ret_event->from);
	copy_word(line, "to", ret_event->to);
	copy_word(line, "reason", ret_event->reason);
}
