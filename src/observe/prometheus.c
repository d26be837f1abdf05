#include "observe/prometheus.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_FIRST_BYTES = 64 * 1024, NUMBER_MAX = 24 };

static const uint64_t NS_PER_S = 1000000000;

struct page page_begin(void)
{
	return (struct page){.text = NULL};
}

void page_done(struct page *page)
{
	free(page->text);
	*page = (struct page){.text = NULL};
}

static bool reserve(struct page *page, size_t bytes)
{
	size_t limit = page->limit == 0 ? PAGE_FIRST_BYTES : page->limit;
	char *text;

	if (page->failed) {
		return false;
	}
	if (page->length + bytes <= page->limit) {
		return true;
	}
	while (limit < page->length + bytes) {
		limit *= 2;
	}
	text = realloc(page->text, limit);
	if (text == NULL) {
		page->failed = true;
		return false;
	}
	page->text = text;
	page->limit = limit;
	return true;
}

static void add_bytes(struct page *page, const char *bytes, size_t length)
{
	if (reserve(page, length)) {
		memcpy(page->text + page->length, bytes, length);
		page->length += length;
	}
}

static void add(struct page *page, const char *text)
{
	add_bytes(page, text, strlen(text));
}

static void add_number(struct page *page, uint64_t number)
{
	char digits[NUMBER_MAX];
	size_t at = sizeof digits;

	do {
		at--;
		digits[at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	add_bytes(page, digits + at, sizeof digits - at);
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

/* Appends with backslash, quote and newline escaped. Returns the new length; `size`: no room. */
static size_t escape(char *text, size_t size, size_t at, const char *value)
{
	for (; *value != '\0'; value++) {
		const bool special = *value == '\\' || *value == '"' || *value == '\n';

		if (at + 2 >= size) {
			return size;
		}
		if (special) {
			text[at++] = '\\';
		}
		text[at++] = *value == '\n' ? 'n' : *value;
	}
	return at;
}

static size_t append(char *text, size_t size, size_t at, const char *piece)
{
	const size_t length = strlen(piece);

	if (at + length >= size) {
		return size;
	}
	memcpy(text + at, piece, length);
	return at + length;
}

static size_t append_label(char *text, size_t size, size_t at, const char *key, const char *value)
{
	at = append(text, size, at, key);
	at = append(text, size, at, "=\"");
	at = escape(text, size, at, value);
	return append(text, size, at, "\"");
}

bool page_labels(char *text, size_t size, const char *key, const char *value,
	const char *second_key, const char *second_value)
{
	size_t at = append_label(text, size, 0, key, value);

	if (second_key != NULL) {
		at = append(text, size, at, ",");
		at = append_label(text, size, at, second_key, second_value);
	}
	if (at >= size) {
		text[0] = '\0';
		return false;
	}
	text[at] = '\0';
	return true;
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

void page_seconds(struct page *page, const struct sample *sample, uint64_t ns)
{
	char fraction[10] = "000000000";
	uint64_t rest = ns % NS_PER_S;

	for (size_t i = sizeof fraction - 1; i > 0; i--) {
		fraction[i - 1] = (char)('0' + rest % 10);
		rest /= 10;
	}
	add_name(page, sample);
	add_number(page, ns / NS_PER_S);
	add(page, ".");
	add(page, fraction);
	add(page, "\n");
}
