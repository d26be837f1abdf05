#include "main/columns.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { FORMAT_MAX = 512, FIRST_ROOM = 64, GAP = 2, ESCAPED_BYTES = 4 };

static bool is_plain(uint32_t character)
{
	return character >= 0x20 && (character < 0x7f || character >= 0xa0);
}

char *columns_escape(const char *text)
{
	static const char digits[] = "0123456789abcdef";
	const size_t length = strlen(text);
	char *copy = malloc(length * ESCAPED_BYTES + 1);
	size_t to = 0;

	for (size_t at = 0; copy != NULL && at < length;) {
		uint32_t character;
		const size_t bytes = utf8_decode(text + at, length - at, &character);

		if (bytes > 0 && is_plain(character)) {
			memcpy(copy + to, text + at, bytes);
			to += bytes;
			at += bytes;
			continue;
		}
		copy[to++] = '\\';
		copy[to++] = 'x';
		copy[to++] = digits[(unsigned char)text[at] >> 4];
		copy[to++] = digits[(unsigned char)text[at] & 15];
		at++;
	}
	if (copy != NULL) {
		copy[to] = '\0';
	}
	return copy;
}

bool columns_print_lines(const char *text, FILE *file)
{
	while (*text != '\0') {
		const size_t length = strcspn(text, "\n");
		char *line = strndup(text, length);
		char *escaped = line == NULL ? NULL : columns_escape(line);

		free(line);
		if (escaped == NULL) {
			return false;
		}
		(void)fprintf(file, "%s\n", escaped);
		free(escaped);
		text += length;
		text += *text == '\n' ? 1 : 0;
	}
	return true;
}

/* In characters; the text is valid UTF-8. */
static size_t width_of(const char *text)
{
	size_t width = 0;

	for (; *text != '\0'; text++) {
		width += ((unsigned char)*text & 0xc0) != 0x80 ? 1 : 0;
	}
	return width;
}

static bool make_room(struct columns *columns)
{
	const size_t room = columns->room == 0 ? FIRST_ROOM : 2 * columns->room;
	char **cells;

	if (columns->cell_count < columns->room) {
		return true;
	}
	cells = realloc(columns->cells, room * sizeof *cells);
	if (cells == NULL) {
		return false;
	}
	columns->cells = cells;
	columns->room = room;
	return true;
}

void columns_add(struct columns *columns, const char *text)
{
	const size_t column = columns->cell_count % columns->count;
	char *copy;

	if (columns->failed) {
		return;
	}
	copy = columns_escape(text == NULL || *text == '\0' ? "-" : text);
	if (copy == NULL || !make_room(columns)) {
		free(copy);
		columns->failed = true;
		return;
	}
	columns->cells[columns->cell_count++] = copy;
	if (width_of(copy) > columns->width[column]) {
		columns->width[column] = width_of(copy);
	}
}

void columns_format(struct columns *columns, const char *format, ...)
{
	char text[FORMAT_MAX];
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	columns_add(columns, text);
}

void columns_begin(struct columns *columns, size_t count, const char *const *titles)
{
	assert(count > 0 && count <= COLUMNS_MAX);
	*columns = (struct columns){.count = count};
	for (size_t i = 0; titles != NULL && i < count; i++) {
		columns->right[i] = titles[i][0] == '>';
		columns_add(columns, titles[i] + (columns->right[i] ? 1 : 0));
	}
}

static void print_cell(const struct columns *columns, size_t index, FILE *file)
{
	const size_t column = index % columns->count;
	const char *text = columns->cells[index];
	const int fill = (int)(columns->width[column] - width_of(text));
	const bool last = column + 1 == columns->count;

	if (columns->right[column]) {
		(void)fprintf(file, "%*s%s", fill, "", text);
	} else {
		(void)fprintf(file, "%s%*s", text, last ? 0 : fill, "");
	}
	(void)fprintf(file, "%*s%s", last ? 0 : GAP, "", last ? "\n" : "");
}

bool columns_end(struct columns *columns, FILE *file)
{
	const bool failed = columns->failed;
	const size_t whole = columns->cell_count - columns->cell_count % columns->count;

	for (size_t i = 0; i < columns->cell_count; i++) {
		if (!failed && i < whole) {
			print_cell(columns, i, file);
		}
		free(columns->cells[i]);
	}
	free(columns->cells);
	*columns = (struct columns){.count = columns->count};
	return !failed;
}
