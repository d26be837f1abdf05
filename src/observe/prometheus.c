#include "observe/prometheus.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum { NUMBER_MAX = 24, SECONDS_MAX = 32, FRACTION_DIGITS = 9 };

static const uint64_t NS_PER_S = 1000000000;

static void add(struct page *page, const char *text)
{
	page_add(page, text, strlen(text));
}

/* Writes the digits and returns how many there are. */
static size_t format_number(uint64_t number, char text[static NUMBER_MAX])
{
	char digits[NUMBER_MAX];
	size_t at = sizeof digits;
	size_t length;

	do {
		at--;
		digits[at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	length = sizeof digits - at;
	memcpy(text, digits + at, length);
	return length;
}

static void add_number(struct page *page, uint64_t number)
{
	char text[NUMBER_MAX];

	page_add(page, text, format_number(number, text));
}

void page_metric(struct page *page, const char *name, const char *type, const char *help)
{
	add(page, "# HELP ");
	add(page, name);
	add(page, " ");
	add(page, help);
	add(page, "\n# TYPE ");
	add(page, name);
	add(page, " ");
	add(page, type);
	add(page, "\n");
}

/* Appends one character of a label's value, escaped, and returns the new length. */
static size_t append_character(char *text, size_t at, const char *value, size_t bytes)
{
	static const char replacement[] = "\xef\xbf\xbd";

	if (bytes == 0) {
		memcpy(text + at, replacement, sizeof replacement - 1);
		return at + sizeof replacement - 1;
	}
	if (*value == '\\' || *value == '"' || *value == '\n') {
		text[at] = '\\';
		text[at + 1] = *value == '\n' ? 'n' : *value;
		return at + 2;
	}
	memcpy(text + at, value, bytes);
	return at + bytes;
}

size_t page_labels(char *text, size_t size, const char *key, const char *value)
{
	size_t left = strlen(value);
	size_t at = strlen(key);

	assert(at + 3 * left + 4 <= size);
	memcpy(text, key, at);
	text[at++] = '=';
	text[at++] = '"';
	while (left > 0) {
		uint32_t character;
		const size_t bytes = utf8_decode(value, left, &character);
		const size_t taken = bytes == 0 ? 1 : bytes;

		at = append_character(text, at, value, bytes);
		value += taken;
		left -= taken;
	}
	text[at++] = '"';
	text[at] = '\0';
	return at;
}

static void add_name(struct page *page, const struct sample *sample)
{
	const bool labelled = sample->labels[0] != '\0';

	add(page, sample->name);
	add(page, sample->suffix);
	if (labelled || sample->key != NULL) {
		add(page, "{");
		add(page, sample->labels);
		if (sample->key != NULL) {
			add(page, labelled ? "," : "");
			add(page, sample->key);
			add(page, "=\"");
			add(page, sample->value);
			add(page, "\"");
		}
		add(page, "}");
	}
	add(page, " ");
}

void page_number(struct page *page, const struct sample *sample, uint64_t number)
{
	add_name(page, sample);
	add_number(page, number);
	add(page, "\n");
}

size_t page_format_seconds(uint64_t ns, char text[static SECONDS_MAX])
{
	uint64_t rest = ns % NS_PER_S;
	size_t length = format_number(ns / NS_PER_S, text);

	if (rest == 0) {
		return length;
	}
	text[length] = '.';
	for (size_t i = FRACTION_DIGITS; i > 0; i--) {
		text[length + i] = (char)('0' + rest % 10);
		rest /= 10;
	}
	length += 1 + FRACTION_DIGITS;
	while (text[length - 1] == '0') {
		length--;
	}
	return length;
}

void page_seconds(struct page *page, const struct sample *sample, uint64_t ns)
{
	char text[SECONDS_MAX];

	add_name(page, sample);
	page_add(page, text, page_format_seconds(ns, text));
	add(page, "\n");
}
