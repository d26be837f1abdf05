/*
 * Log lines: one event, one line, as key=value text or as JSON.
 *
 * A line is put together on the caller's stack and handed whole to the sink, which must not
 * block: see observe/log_writer.h. Text is escaped, so that nothing from outside can forge a
 * line. A line that grows too long is cut at a field and says so with truncated=true.
 *
 *     struct log_line line;
 *
 *     log_begin(&line, LOG_INFO, "backend_health");
 *     log_text(&line, "pool", pool);
 *     log_number(&line, "failures", failures);
 *     log_end(&line);
 *
 * Threads: any may log once log_set_up() has been called by the first thread; the level may be
 * changed at any time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum { LOG_LINE_MAX = 2048 };

struct log_line {
	bool active; /* false: below the level, all calls do nothing */
	bool truncated;
	enum log_level level;
	enum log_format format;
	size_t length;
	char text[LOG_LINE_MAX];
};

/* Takes one whole line with its newline. Must not block and must not keep the pointer. */
typedef void log_sink(enum log_level level, const char *line, size_t length, void *context);

void log_set_up(enum log_level level, enum log_format format, log_sink *sink, void *context);
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/* Starts a line with time, level and event. */
void log_begin(struct log_line *line, enum log_level level, const char *event);
/* Starts a line with a time of the past (wall clock, ns) that passes whatever the level is. */
void log_begin_at(struct log_line *line, enum log_level level, const char *event, uint64_t wall_ns);
void log_text(struct log_line *line, const char *key, const char *value); /* NULL: nothing */
void log_number(struct log_line *line, const char *key, uint64_t value);
void log_decimal(struct log_line *line, const char *key, double value); /* three digits */
void log_flag(struct log_line *line, const char *key, bool value);
void log_end(struct log_line *line);

/*
 * For a line that goes elsewhere than to the sink, such as one of the access log: starts it in a
 * format of its own, and ends it with its newline, so that line->text is whole.
 */
void log_begin_as(struct log_line *line, enum log_format format, enum log_level level,
	const char *event, uint64_t wall_ns);
void log_finish(struct log_line *line);

const char *log_level_name(enum log_level level); /* "debug", "info", "warn", "error" */

/* The short form: one event and one sentence, as the field `message`. */
void log_message(enum log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
