#include "base/log.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/utf8.h"

enum {
	MESSAGE_MAX = 1024,
	/* Kept free at the end of each line for ,"truncated":true} and the newline. */
	TAIL_RESERVE = 24,
	NS_PER_S = 1000000000,
	NS_PER_US = 1000,
};

/* The level is changed at run time; the rest is set before a second thread exists. */
static struct {
	_Atomic int level;
	enum log_format format;
	log_sink *sink;
	void *context;
} settings = {.level = LOG_INFO};

static const char *const level_names[] = {
	[LOG_DEBUG] = "debug",
	[LOG_INFO] = "info",
	[LOG_WARN] = "warn",
	[LOG_ERROR] = "error",
};

const char *log_level_name(enum log_level level)
{
	assert((size_t)level < ARRAY_COUNT(level_names));
	return level_names[level];
}

void log_set_up(enum log_level level, enum log_format format, log_sink *sink, void *context)
{
	settings.format = format;
	settings.sink = sink;
	settings.context = context;
	log_set_level(level);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&settings.level, (int)level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&settings.level, memory_order_relaxed);
}

/*
 * Appends to the line as long as it fits; once something did not, `fits` stays false. A field is
 * put together like this and taken back whole when it did not fit.
 */
struct cursor {
	struct log_line *line;
	bool fits;
};

static void put_bytes(struct cursor *cursor, const char *bytes, size_t count)
{
	struct log_line *line = cursor->line;

	if (!cursor->fits || count > LOG_LINE_MAX - TAIL_RESERVE - line->length) {
		cursor->fits = false;
		return;
	}
	memcpy(line->text + line->length, bytes, count);
	line->length += count;
}

static void put_text(struct cursor *cursor, const char *text)
{
	put_bytes(cursor, text, strlen(text));
}

/* The escapes that have a letter in both formats; 0: none. */
static char escape_letter(uint32_t character)
{
	switch (character) {
	case '"':
		return '"';
	case '\\':
		return '\\';
	case '\n':
		return 'n';
	case '\r':
		return 'r';
	case '\t':
		return 't';
	default:
		return 0;
	}
}

/*
 * What a terminal or a viewer would act on instead of showing it: control characters of both sets,
 * line and paragraph separators, and those that turn the direction of writing around.
 */
static bool is_active(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
		(character >= 0x2028 && character <= 0x202e) ||
		(character >= 0x2066 && character <= 0x2069) || character == 0xfeff;
}

/* One invalid byte: shown in text, replaced in JSON, which can hold only Unicode. */
static void put_invalid(struct cursor *cursor, unsigned char byte)
{
	char escape[8];

	if (cursor->line->format == LOG_FORMAT_JSON) {
		put_text(cursor, "\\ufffd");
		return;
	}
	(void)snprintf(escape, sizeof escape, "\\x%02x", byte);
	put_text(cursor, escape);
}

static void put_escaped(struct cursor *cursor, const char *value)
{
	size_t length = strlen(value);

	while (length > 0 && cursor->fits) {
		uint32_t character = 0;
		const size_t bytes = utf8_decode(value, length, &character);
		const char letter = escape_letter(character);
		char escape[8];

		if (bytes == 0) {
			put_invalid(cursor, (unsigned char)*value);
		} else if (letter != 0) {
			escape[0] = '\\';
			escape[1] = letter;
			put_bytes(cursor, escape, 2);
		} else if (is_active(character)) {
			(void)snprintf(escape, sizeof escape, "\\u%04" PRIx32, character & 0xffff);
			put_text(cursor, escape);
		} else {
			put_bytes(cursor, value, bytes);
		}
		value += bytes == 0 ? 1 : bytes;
		length -= bytes == 0 ? 1 : bytes;
	}
}

/* A value of these alone can stand without quotes in the text format. */
static bool is_plain(const char *value)
{
	if (*value == '\0') {
		return false;
	}
	for (; *value != '\0'; value++) {
		if (*value <= ' ' || *value >= 0x7f || *value == '"' || *value == '=' ||
			*value == '\\') {
			return false;
		}
	}
	return true;
}

/* Starts a field; where it began, so that it can be taken back. */
static size_t begin_field(struct cursor *cursor, const char *key)
{
	const size_t start = cursor->line->length;

	if (cursor->line->format == LOG_FORMAT_JSON) {
		put_text(cursor, start == 0 ? "{\"" : ",\"");
		put_text(cursor, key);
		put_text(cursor, "\":");
	} else {
		put_text(cursor, start == 0 ? "" : " ");
		put_text(cursor, key);
		put_text(cursor, "=");
	}
	return start;
}

static void end_field(struct cursor *cursor, size_t start)
{
	if (!cursor->fits) {
		cursor->line->length = start;
		cursor->line->truncated = true;
	}
}

static bool takes_fields(const struct log_line *line)
{
	return line->active && !line->truncated;
}

/* A value that needs no escaping and, in JSON, no quotes. */
static void add_bare(struct log_line *line, const char *key, const char *value)
{
	struct cursor cursor = {.line = line, .fits = true};
	const size_t start = begin_field(&cursor, key);

	put_text(&cursor, value);
	end_field(&cursor, start);
}

void log_text(struct log_line *line, const char *key, const char *value)
{
	struct cursor cursor = {.line = line, .fits = true};
	size_t start;

	if (!takes_fields(line) || value == NULL) {
		return;
	}
	if (line->format == LOG_FORMAT_TEXT && is_plain(value)) {
		add_bare(line, key, value);
		return;
	}
	start = begin_field(&cursor, key);
	put_text(&cursor, "\"");
	put_escaped(&cursor, value);
	put_text(&cursor, "\"");
	end_field(&cursor, start);
}

void log_number(struct log_line *line, const char *key, uint64_t value)
{
	char text[24];

	if (takes_fields(line)) {
		(void)snprintf(text, sizeof text, "%" PRIu64, value);
		add_bare(line, key, text);
	}
}

void log_decimal(struct log_line *line, const char *key, double value)
{
	char text[352]; /* the largest double has 309 digits before the point */

	if (!takes_fields(line)) {
		return;
	}
	if (isfinite(value)) {
		(void)snprintf(text, sizeof text, "%.3f", value);
		add_bare(line, key, text);
	} else {
		add_bare(line, key, line->format == LOG_FORMAT_JSON ? "null" : "none");
	}
}

void log_flag(struct log_line *line, const char *key, bool value)
{
	if (takes_fields(line)) {
		add_bare(line, key, value ? "true" : "false");
	}
}

/* RFC 3339 in UTC, with microseconds. */
static void add_time(struct log_line *line, uint64_t wall_ns)
{
	const time_t seconds = (time_t)(wall_ns / NS_PER_S);
	const unsigned micros = (unsigned)(wall_ns % NS_PER_S / NS_PER_US);
	struct tm tm = {0};
	char text[64];

	(void)gmtime_r(&seconds, &tm); /* 64 bits of nanoseconds end in the year 2554 */
	(void)snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%06uZ", tm.tm_year + 1900,
		tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, micros);
	log_text(line, "time", text);
}

void log_begin_as(struct log_line *line, enum log_format format, enum log_level level,
	const char *event, uint64_t wall_ns)
{
	/* Not by a compound literal: that would clear the text too. */
	line->active = true;
	line->truncated = false;
	line->level = level;
	line->format = format;
	line->length = 0;
	add_time(line, wall_ns);
	log_text(line, "level", log_level_name(level));
	log_text(line, "event", event);
}

void log_begin_at(struct log_line *line, enum log_level level, const char *event, uint64_t wall_ns)
{
	log_begin_as(line, settings.format, level, event, wall_ns);
}

void log_begin(struct log_line *line, enum log_level level, const char *event)
{
	struct timespec now;

	if (!log_enabled(level)) {
		line->active = false;
		return;
	}
	(void)clock_gettime(CLOCK_REALTIME, &now);
	log_begin_at(line, level, event, (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec);
}

void log_finish(struct log_line *line)
{
	const bool json = line->format == LOG_FORMAT_JSON;
	const char *const mark = json ? ",\"truncated\":true" : " truncated=true";
	const char *const end = json ? "}\n" : "\n";

	if (!line->active) {
		return;
	}
	/* Into the reserve, so both always fit. */
	if (line->truncated) {
		memcpy(line->text + line->length, mark, strlen(mark));
		line->length += strlen(mark);
	}
	memcpy(line->text + line->length, end, strlen(end));
	line->length += strlen(end);
	assert(line->length <= LOG_LINE_MAX);
}

void log_end(struct log_line *line)
{
	if (!line->active) {
		return;
	}
	log_finish(line);
	if (settings.sink != NULL) {
		settings.sink(line->level, line->text, line->length, settings.context);
	}
	line->active = false;
}

/*
 * The most bytes of `text` that fill the buffer and end with a whole character: what vsnprintf()
 * cut through is taken off.
 */
static void drop_partial_character(char *text)
{
	size_t length = strlen(text);
	size_t back = 1;

	while (back <= 3 && back < length && ((unsigned char)text[length - back] & 0xc0) == 0x80) {
		back++;
	}
	if (back <= length && utf8_valid_length(text + length - back, back) != back) {
		text[length - back] = '\0';
	}
}

void log_message(enum log_level level, const char *event, const char *format, ...)
{
	struct log_line line;
	char message[MESSAGE_MAX];
	va_list args;
	int length;

	log_begin(&line, level, event);
	if (!line.active) {
		return;
	}
	va_start(args, format);
	length = vsnprintf(message, sizeof message, format, args);
	va_end(args);
	if (length >= MESSAGE_MAX) {
		drop_partial_character(message);
	}
	log_text(&line, "message", length < 0 ? format : message);
	if (length >= MESSAGE_MAX) {
		line.truncated = true;
	}
	log_end(&line);
}
