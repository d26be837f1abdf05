#include "config/hint.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

#include "base/array.h"
#include "base/units.h"
#include "config/diag.h"
#include "config/keys.h"
#include "config/sections.h"

enum { SHOWN_MAX = 100 }; /* bytes of the operator's text in a help */

/* For "%.*s". */
static int shown(struct span span)
{
	return span.length < SHOWN_MAX ? (int)span.length : SHOWN_MAX;
}

static struct span line_at(struct span text, uint32_t number)
{
	struct span line = {0};

	while (number > 0 && span_next_line(&text, &line)) {
		number--;
	}
	return number == 0 ? line : (struct span){0};
}

static struct span without_comment(struct span text)
{
	return span_trim(span_first(text, span_find(text, '#')));
}

static bool is_bare_key(struct span key)
{
	for (size_t i = 0; i < key.length; i++) {
		const unsigned char c = (unsigned char)key.data[i];

		if (!isalnum(c) && c != '_' && c != '-' && c != '.') {
			return false;
		}
	}
	return key.length > 0;
}

/* `key: value`, as in YAML. */
static bool hint_colon(struct span line, struct diag *diag)
{
	const size_t colon = span_find(line, ':');
	const struct span key = span_trim(span_first(line, colon));
	const struct span value = span_trim(span_skip(line, colon + 1));

	if (colon == line.length || !is_bare_key(key)) {
		return false;
	}
	if (value.length == 0) {
		diag_help(diag, "a table is written [%.*s]", shown(key), key.data);
	} else {
		diag_help(diag, "TOML uses '=': write %.*s = %.*s", shown(key), key.data,
			shown(value), value.data);
	}
	return true;
}

/* Words that other formats have for true and false. */
static bool hint_boolean(struct span value, struct diag *diag)
{
	static const struct {
		const char *word;
		const char *meant;
	} words[] = {
		{"True", "true"},
		{"TRUE", "true"},
		{"yes", "true"},
		{"on", "true"},
		{"False", "false"},
		{"FALSE", "false"},
		{"no", "false"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
		if (span_is(value, words[i].word)) {
			diag_help(diag, "write %s, in small letters and without quotes",
				words[i].meant);
			return true;
		}
	}
	return false;
}

/* The first option of that name, of whatever table: the text is no tree. NULL: there is none. */
static const struct field *option_named(struct span key)
{
	const struct field *field = NULL;

	for (const struct section *section = config_sections;
		field == NULL && section->path != NULL; section++) {
		field = keys_find(section->fields, key);
	}
	return field;
}

/* `30us`: a number of microseconds has no unit, and a duration as short as that there is none. */
static bool hint_microseconds(struct span key, struct span value, struct diag *diag)
{
	const struct field *field = option_named(key);
	size_t digits = 0;
	struct span unit;

	while (digits < value.length && value.data[digits] >= '0' && value.data[digits] <= '9') {
		digits++;
	}
	unit = span_trim(span_skip(value, digits));
	if (digits == 0 || digits > SHOWN_MAX || field == NULL ||
		(!span_is(unit, "us") && !span_is(unit, "\u00b5s") && !span_is(unit, "usec"))) {
		return false;
	}
	if (field->unit != NULL && strcmp(field->unit, "microseconds") == 0) {
		diag_help(diag, "the unit is always microseconds and is left out: write %s = %.*s",
			field->key, (int)digits, value.data);
		return true;
	}
	if (field->type == FIELD_DURATION) {
		diag_help(diag, "durations are strings such as \"250ms\", in whole milliseconds");
		return true;
	}
	return false;
}

/* A value that is no TOML: nearly always a string without its quotes. */
static bool hint_quotes(struct span value, struct diag *diag)
{
	uint64_t number;
	char meant[UNITS_TEXT_MAX];

	if (value.length == 0 || strchr("\"'[{", value.data[0]) != NULL) {
		return false;
	}
	if (memchr(value.data, '"', value.length) != NULL ||
		memchr(value.data, '\\', value.length) != NULL) {
		return false;
	}
	if (duration_parse(value.data, value.length, &number) == NULL) {
		diag_help(diag, "durations are strings: write \"%.*s\"", shown(value), value.data);
	} else if (size_parse(value.data, value.length, &number) == NULL) {
		diag_help(diag, "sizes are strings: write \"%.*s\"", shown(value), value.data);
	} else if (duration_guess(value.data, value.length, &number)) {
		diag_help(
			diag, "durations are strings: write \"%s\"", duration_text(number, meant));
	} else if (size_guess(value.data, value.length, &number)) {
		diag_help(diag, "sizes are strings: write \"%s\"", size_text(number, meant));
	} else {
		diag_help(diag, "strings need quotes: write \"%.*s\"", shown(value), value.data);
	}
	return true;
}

/* `[::]:80`, which starts as an array would. */
static bool hint_ip6(struct span value, struct diag *diag)
{
	if (!span_starts_with(value, "[") || span_find(value, ':') == value.length ||
		span_find(value, '"') < value.length) {
		return false;
	}
	diag_help(diag, "strings need quotes: write \"%.*s\"", shown(value), value.data);
	return true;
}

/* The text between the last two single quotes of the parser's message, such as the key. */
static struct span last_quoted(const char *text)
{
	struct span quoted = {0};
	const char *start = strchr(text, '\'');

	while (start != NULL) {
		const char *end = strchr(start + 1, '\'');

		if (end == NULL) {
			break;
		}
		quoted = (struct span){start + 1, (size_t)(end - start - 1)};
		start = strchr(end + 1, '\'');
	}
	return quoted;
}

static bool is_header(struct span line)
{
	return span_starts_with(line, "[");
}

/* The name of the table that this header opens. */
static struct span header_name(struct span line)
{
	struct span inside = span_skip(line, span_starts_with(line, "[[") ? 2 : 1);

	return span_trim(span_first(inside, span_find(inside, ']')));
}

/*
 * The line before `number` that says the same first: a key of the same table, or the header of the
 * same table. 0 when none is found.
 */
static uint32_t first_definition(struct span text, uint32_t number, struct span wanted)
{
	const struct span again = span_trim(line_at(text, number));
	uint32_t found = 0;
	uint32_t at = 0;
	struct span line;

	while (at + 1 < number && span_next_line(&text, &line)) {
		at++;
		line = span_trim(line);
		if (is_header(again)) {
			if (is_header(line) && span_equal(header_name(line), header_name(again)) &&
				found == 0) {
				found = at;
			}
		} else if (is_header(line)) {
			found = 0; /* keys of another table */
		} else if (found == 0) {
			const size_t equals = span_find(line, '=');

			if (equals < line.length &&
				span_equal(span_trim(span_first(line, equals)), wanted)) {
				found = at;
			}
		}
	}
	return found;
}

static void report_duplicate(
	struct span text, const struct toml_failure *failure, struct diag *diag)
{
	const struct span key = last_quoted(failure->text);
	const uint32_t line = first_definition(text, failure->position.line, key);

	diag_add(diag, DIAG_ERROR, failure->position, "'%.*s' is defined twice", shown(key),
		key.data);
	if (line > 0) {
		diag_help(diag, "first defined here: line %u", line);
	}
}

/* What the parser says, without its "Error while parsing", which the word "error" says already. */
static void report_syntax(const struct toml_failure *failure, struct diag *diag)
{
	static const char prefix[] = "Error while parsing ";
	const struct span said = span_of(failure->text);
	const struct span what = span_skip(said, sizeof prefix - 1);
	const size_t colon = span_find(what, ':');

	if (span_starts_with(said, prefix) && colon < what.length) {
		diag_add(diag, DIAG_ERROR, failure->position, "invalid TOML: in %.*s:%s",
			(int)colon, what.data, what.data + colon + 1);
	} else {
		diag_add(diag, DIAG_ERROR, failure->position, "invalid TOML: %s", failure->text);
	}
}

void hint_syntax_error(struct span text, const struct toml_failure *failure, struct diag *diag)
{
	const struct span line = span_trim(line_at(text, failure->position.line));
	const size_t equals = span_find(line, '=');
	const struct span value = without_comment(span_skip(line, equals + 1));

	if (strstr(failure->text, "cannot redefine") != NULL) {
		report_duplicate(text, failure, diag);
		return;
	}
	report_syntax(failure, diag);
	if (strstr(failure->text, "expected '='") != NULL) {
		(void)hint_colon(line, diag);
	} else if (strstr(failure->text, "in string") != NULL ||
		strstr(failure->text, "parsing string") != NULL ||
		strstr(failure->text, "literal string") != NULL) {
		if (strstr(failure->text, "control character") != NULL) {
			diag_help(diag, "is the closing quote missing?");
		}
	} else if (strstr(failure->text, "leading zeroes") != NULL) {
		diag_help(diag,
			"write \"%.*s\" in quotes if it is no number, else without the zero",
			shown(value), value.data);
	} else if (equals == 0 || equals == line.length) {
		return; /* no value that could be wrong */
	} else if (value.length == 0) {
		diag_help(diag, "a value is expected after the '='");
	} else if (!hint_boolean(value, diag) && !hint_ip6(value, diag) &&
		!hint_microseconds(span_trim(span_first(line, equals)), value, diag)) {
		(void)hint_quotes(value, diag);
	}
}
