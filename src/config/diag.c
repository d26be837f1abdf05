#include "config/diag.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/utf8.h"

enum {
	MESSAGE_MAX = 512,
	EXCERPT_MAX = 100,   /* characters of a line that are shown */
	EXCERPT_BEFORE = 60, /* of these, at most so many before the caret when the line is cut */
};

struct message {
	struct message *next; /* in the arena; in the order in which they were added */
	const char *name;     /* of the source; in the arena, like all strings here */
	enum diag_severity severity;
	unsigned order;
	struct toml_position position;
	const char *text;
	const char *help;    /* NULL: none */
	const char *excerpt; /* NULL: none */
	const char *caret;   /* blanks and tabs up to the caret */
};

struct diag {
	struct arena *arena; /* owned; the messages and their strings */
	struct message *first;
	struct message *last;    /* what a help belongs to; NULL when it was not kept */
	struct message **sorted; /* in the arena; set by diag_end() */
	unsigned kept;
	unsigned errors;
	unsigned warnings;
	int read_error;
	bool out_of_memory;
	const char *name;
	struct span source; /* borrowed between begin and end */
};

struct diag *diag_create(void)
{
	struct diag *diag = calloc(1, sizeof *diag);

	if (diag == NULL) {
		return NULL;
	}
	diag->arena = arena_create();
	if (diag->arena == NULL) {
		free(diag);
		return NULL;
	}
	return diag;
}

void diag_free(struct diag *diag)
{
	if (diag != NULL) {
		arena_free(diag->arena);
		free(diag);
	}
}

void diag_begin(struct diag *diag, const char *name, struct span text)
{
	if (diag == NULL) {
		return;
	}
	diag->name = arena_strdup(diag->arena, name);
	diag->source = text;
	diag->out_of_memory = diag->out_of_memory || diag->name == NULL;
}

/* Whether a terminal would do something else with it than show it, or show it as another. */
static bool is_dangerous(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) ||
		(character >= 0x200b && character <= 0x200f) ||
		(character >= 0x2028 && character <= 0x202e) ||
		(character >= 0x2060 && character <= 0x206f) || character == 0xfeff;
}

/* Copies `text` with everything dangerous escaped. NULL when there is no memory. */
static const char *plain_copy(struct arena *arena, const char *text)
{
	const size_t length = strlen(text);
	char *copy = arena_alloc(arena, length * 6 + 1);
	size_t used = 0;

	if (copy == NULL) {
		return NULL;
	}
	for (size_t done = 0; done < length;) {
		uint32_t character = 0;
		const size_t bytes = utf8_decode(text + done, length - done, &character);

		if (bytes == 0) {
			used += (size_t)snprintf(
				copy + used, 5, "\\x%02x", (unsigned char)text[done]);
			done++;
			continue;
		}
		if (is_dangerous(character)) {
			used += (size_t)snprintf(copy + used, 7,
				character < 0x80 ? "\\x%02x" : "\\u%04x", character);
		} else {
			memcpy(copy + used, text + done, bytes);
			used += bytes;
		}
		done += bytes;
	}
	return copy;
}

static struct message *keep(struct diag *diag, enum diag_severity severity,
	struct toml_position position, const char *text)
{
	struct message *message;

	if (diag->kept == DIAG_KEPT_MAX) {
		return NULL;
	}
	message = arena_alloc(diag->arena, sizeof *message);
	if (message == NULL) {
		diag->out_of_memory = true;
		return NULL;
	}
	*message = (struct message){
		.name = diag->name,
		.severity = severity,
		.order = diag->kept,
		.position = position,
		.text = plain_copy(diag->arena, text),
	};
	if (message->text == NULL) {
		diag->out_of_memory = true;
		return NULL;
	}
	message->next = diag->first;
	diag->first = message;
	diag->kept++;
	return message;
}

void diag_add(struct diag *diag, enum diag_severity severity, struct toml_position position,
	const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list args;

	if (diag == NULL) {
		return;
	}
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	if (severity == DIAG_ERROR) {
		diag->errors++;
	} else {
		diag->warnings++;
	}
	diag->last = keep(diag, severity, position, text);
}

void diag_help(struct diag *diag, const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list args;

	if (diag == NULL || diag->last == NULL) {
		return;
	}
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	diag->last->help = plain_copy(diag->arena, text);
	diag->out_of_memory = diag->out_of_memory || diag->last->help == NULL;
}

void diag_unreadable(struct diag *diag, int code, const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list args;

	assert(code > 0);
	if (diag == NULL) {
		return;
	}
	va_start(args, format);
	(void)vsnprintf(text, sizeof text, format, args);
	va_end(args);
	diag_add(diag, DIAG_ERROR, (struct toml_position){0}, "%s", text);
	diag->read_error = code;
}

int diag_read_error(const struct diag *diag)
{
	if (diag == NULL || (diag->out_of_memory && diag->read_error == 0)) {
		return ENOMEM;
	}
	return diag->read_error;
}

enum diag_failure diag_failure(const struct diag *diag)
{
	switch (diag_read_error(diag)) {
	case ENOENT:
	case ENOTDIR:
		return DIAG_NO_FILE;
	case EACCES:
	case EPERM:
		return DIAG_NOT_PERMITTED;
	case EIO:
		return DIAG_IO;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return DIAG_LIMIT;
	default: /* also a directory, a FIFO: there is something, but no configuration */
		return DIAG_CONTENT;
	}
}

void diag_out_of_memory(struct diag *diag)
{
	if (diag != NULL) {
		diag->out_of_memory = true;
	}
}

unsigned diag_errors(const struct diag *diag)
{
	if (diag == NULL) {
		return 1;
	}
	return diag->errors + (diag->out_of_memory ? 1 : 0);
}

unsigned diag_warnings(const struct diag *diag)
{
	return diag != NULL ? diag->warnings : 0;
}

static int by_position(const void *left, const void *right)
{
	const struct message *a = *(struct message *const *)left;
	const struct message *b = *(struct message *const *)right;

	if (a->position.line != b->position.line) {
		return a->position.line < b->position.line ? -1 : 1;
	}
	if (a->position.column != b->position.column) {
		return a->position.column < b->position.column ? -1 : 1;
	}
	return a->order < b->order ? -1 : 1;
}

/* One character of the line at `text`, an invalid byte counting as one; never 0. */
static size_t step(struct span text, uint32_t *ret_character)
{
	const size_t bytes = utf8_decode(text.data, text.length, ret_character);

	if (bytes == 0) {
		*ret_character = 0;
		return 1;
	}
	return bytes;
}

/*
 * The part of `line` around the column, and the way to the caret under it. Each character shown
 * takes the place of one: so a caret is right whatever the line has, except for wide characters.
 */
static void take_excerpt(struct diag *diag, struct message *message, struct span line)
{
	static const char cut[] = "...";
	const uint32_t column = message->position.column > 0 ? message->position.column : 1;
	const uint32_t first = column > EXCERPT_MAX ? column - EXCERPT_BEFORE : 1;
	char excerpt[EXCERPT_MAX * 4 + 2 * sizeof cut];
	char caret[EXCERPT_MAX + 2 * sizeof cut];
	size_t used = 0;
	size_t way = 0;
	uint32_t at = 1;

	if (first > 1) {
		used = way = sizeof cut - 1;
		memcpy(excerpt, cut, used);
		memset(caret, ' ', way);
	}
	while (line.length > 0 && at < first + EXCERPT_MAX) {
		uint32_t character;
		const size_t bytes = step(line, &character);

		if (at >= first) {
			const bool tab = character == '\t';

			if (!tab && is_dangerous(character)) {
				excerpt[used++] = '?';
			} else {
				memcpy(excerpt + used, line.data, bytes);
				used += bytes;
			}
			if (at < column) {
				caret[way++] = tab ? '\t' : ' ';
			}
		}
		line = span_skip(line, bytes);
		at++;
	}
	if (line.length > 0) {
		memcpy(excerpt + used, cut, sizeof cut - 1);
		used += sizeof cut - 1;
	}
	if (at < column) { /* the place is the end of the line */
		caret[way++] = ' ';
	}
	message->excerpt = arena_strndup(diag->arena, excerpt, used);
	message->caret = arena_strndup(diag->arena, caret, way);
	if (message->excerpt == NULL || message->caret == NULL) {
		message->excerpt = NULL;
		diag->out_of_memory = true;
	}
}

static struct span without_blanks_at_end(struct span line)
{
	while (line.length > 0 && strchr(" \t\r", line.data[line.length - 1]) != NULL) {
		line.length--;
	}
	return line;
}

/* Takes the excerpts of all messages in one walk over the source. */
static void take_excerpts(struct diag *diag)
{
	struct span rest = diag->source;
	struct span line = {0};
	uint32_t number = 0;

	for (unsigned i = 0; i < diag->kept; i++) {
		struct message *message = diag->sorted[i];

		if (message->position.line == 0 || message->excerpt != NULL) {
			continue;
		}
		while (number < message->position.line) {
			if (!span_next_line(&rest, &line)) {
				line = (struct span){0};
			}
			number++;
		}
		take_excerpt(diag, message, without_blanks_at_end(line));
	}
}

void diag_end(struct diag *diag)
{
	struct message *message;

	if (diag == NULL) {
		return;
	}
	diag->last = NULL;
	if (diag->kept > 0) {
		diag->sorted = arena_alloc_array(diag->arena, diag->kept, sizeof(struct message *));
		if (diag->sorted == NULL) {
			diag->out_of_memory = true;
			diag->kept = 0;
			diag->first = NULL;
		}
	}
	message = diag->first;
	for (unsigned i = 0; i < diag->kept; i++) {
		diag->sorted[i] = message;
		message = message->next;
	}
	if (diag->kept > 1) {
		qsort(diag->sorted, diag->kept, sizeof(struct message *), by_position);
	}
	take_excerpts(diag);
	diag->source = (struct span){0};
}

static const char *const severity_words[] = {
	[DIAG_ERROR] = "error",
	[DIAG_WARNING] = "warning",
};

static void print_head(const struct message *message, FILE *file)
{
	const char *name = message->name != NULL ? message->name : "";
	const char *word = severity_words[message->severity];

	if (message->position.line == 0) {
		(void)fprintf(file, "%s: %s: %s\n", name, word, message->text);
	} else {
		(void)fprintf(file, "%s:%u:%u: %s: %s\n", name, message->position.line,
			message->position.column, word, message->text);
	}
}

static void print_message(const struct message *message, FILE *file)
{
	print_head(message, file);
	if (message->excerpt != NULL) {
		(void)fprintf(file, "%5u |%s%s\n      | %s^\n", message->position.line,
			message->excerpt[0] != '\0' ? " " : "", message->excerpt, message->caret);
	}
	if (message->help != NULL) {
		(void)fprintf(file, "help: %s\n", message->help);
	}
}

static void print_sum(const struct diag *diag, FILE *file)
{
	const unsigned errors = diag_errors(diag);
	const unsigned warnings = diag_warnings(diag);

	if (diag->errors + diag->warnings > diag->kept && diag->kept == DIAG_KEPT_MAX) {
		(void)fprintf(file, "(only the first %u messages are shown)\n", diag->kept);
	}
	if (errors + warnings > 0) {
		(void)fprintf(file, "%u error%s, %u warning%s\n", errors, errors == 1 ? "" : "s",
			warnings, warnings == 1 ? "" : "s");
	}
}

void diag_print(const struct diag *diag, FILE *file)
{
	if (diag == NULL || diag->out_of_memory) {
		(void)fprintf(file, "error: out of memory\n");
	}
	if (diag == NULL) {
		return;
	}
	for (unsigned i = 0; i < diag->kept && diag->sorted != NULL; i++) {
		print_message(diag->sorted[i], file);
	}
	print_sum(diag, file);
}

void diag_print_lines(const struct diag *diag, FILE *file)
{
	if (diag == NULL || diag->out_of_memory) {
		(void)fprintf(file, "error: out of memory\n");
	}
	for (unsigned i = 0; diag != NULL && i < diag->kept && diag->sorted != NULL; i++) {
		print_head(diag->sorted[i], file);
	}
}

void json_write_string(FILE *file, const char *text, size_t length)
{
	(void)fputc('"', file);
	for (size_t done = 0; done < length;) {
		uint32_t character;
		const size_t bytes = utf8_decode(text + done, length - done, &character);

		if (bytes == 0) {
			(void)fputs("\\ufffd", file);
			done++;
			continue;
		}
		if (character < 0x20 || character == 0x7f) {
			(void)fprintf(file, "\\u%04x", character);
		} else {
			if (character == '"' || character == '\\') {
				(void)fputc('\\', file);
			}
			(void)fwrite(text + done, 1, bytes, file);
		}
		done += bytes;
	}
	(void)fputc('"', file);
}

static void json_member(FILE *file, const char *key, const char *text)
{
	(void)fprintf(file, ", \"%s\": ", key);
	if (text != NULL) {
		json_write_string(file, text, strlen(text));
	} else {
		(void)fputs("null", file);
	}
}

static void json_message(const struct message *message, FILE *file)
{
	const char *name = message->name != NULL ? message->name : "";

	(void)fputs("\n  {\"file\": ", file);
	json_write_string(file, name, strlen(name));
	if (message->position.line == 0) {
		(void)fputs(", \"line\": null, \"column\": null", file);
	} else {
		(void)fprintf(file, ", \"line\": %u, \"column\": %u", message->position.line,
			message->position.column);
	}
	json_member(file, "severity", severity_words[message->severity]);
	json_member(file, "message", message->text);
	json_member(file, "help", message->help);
	(void)fputc('}', file);
}

void diag_print_json(const struct diag *diag, FILE *file)
{
	static const struct message no_memory = {.severity = DIAG_ERROR, .text = "out of memory"};
	const char *separator = "";

	(void)fputc('[', file);
	if (diag == NULL || diag->out_of_memory) {
		json_message(&no_memory, file);
		separator = ",";
	}
	for (unsigned i = 0; diag != NULL && diag->sorted != NULL && i < diag->kept; i++) {
		(void)fputs(separator, file);
		json_message(diag->sorted[i], file);
		separator = ",";
	}
	(void)fputs(separator[0] == ',' ? "\n]\n" : "]\n", file);
}
