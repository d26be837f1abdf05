#include "base/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/span.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Printing takes the first that divides, so the largest come first. */
static const struct unit duration_units[] = {
	{"d", 24 * 3600 * 1000},
	{"h", 3600 * 1000},
	{"m", 60 * 1000},
	{"s", 1000},
	{"ms", 1},
	{NULL, 0},
};

static const struct unit size_units[] = {
	{"GiB", UINT64_C(1) << 30},
	{"GB", 1000 * 1000 * 1000},
	{"MiB", 1 << 20},
	{"MB", 1000 * 1000},
	{"KiB", 1 << 10},
	{"KB", 1000},
	{"B", 1},
	{NULL, 0},
};

struct kind {
	const struct unit *units; /* ended by a NULL name */
	const char *no_number;
	const char *no_unit;
	const char *bad_unit;
	const char *too_large;
};

static const struct kind durations = {
	.units = duration_units,
	.no_number = "a duration is a whole number and a unit, such as \"250ms\" or \"5s\"",
	.no_unit = "the unit is missing: ms, s, m, h or d is expected after the number",
	.bad_unit = "the unit of a duration is ms, s, m, h or d",
	.too_large = "the duration is too large",
};

static const struct kind sizes = {
	.units = size_units,
	.no_number = "a size is a whole number and a unit, such as \"64KiB\" or \"1MiB\"",
	.no_unit =
		"the unit is missing: B, KiB, MiB, GiB, KB, MB or GB is expected after the number",
	.bad_unit = "the unit of a size is B, KiB, MiB, GiB, KB, MB or GB",
	.too_large = "the size is too large",
};

static const char *parse(
	const struct kind *kind, const char *text, size_t length, uint64_t *ret_number)
{
	struct span rest = {text, length};
	uint64_t number = 0;

	if (length == 0 || text[0] < '0' || text[0] > '9') {
		return kind->no_number;
	}
	for (; rest.length > 0 && rest.data[0] >= '0' && rest.data[0] <= '9';
		rest = span_skip(rest, 1)) {
		if (__builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, rest.data[0] - '0', &number)) {
			return kind->too_large;
		}
	}
	if (rest.length == 0) {
		return kind->no_unit;
	}
	for (const struct unit *unit = kind->units; unit->name != NULL; unit++) {
		if (span_is(rest, unit->name)) {
			if (__builtin_mul_overflow(number, unit->factor, &number)) {
				return kind->too_large;
			}
			*ret_number = number;
			return NULL;
		}
	}
	return kind->bad_unit;
}

/* As other programs write them, in small letters. */
static const struct unit duration_words[] = {
	{"ms", 1},
	{"msec", 1},
	{"milliseconds", 1},
	{"s", 1000},
	{"sec", 1000},
	{"secs", 1000},
	{"second", 1000},
	{"seconds", 1000},
	{"m", 60 * 1000},
	{"min", 60 * 1000},
	{"mins", 60 * 1000},
	{"minute", 60 * 1000},
	{"minutes", 60 * 1000},
	{"h", 3600 * 1000},
	{"hr", 3600 * 1000},
	{"hour", 3600 * 1000},
	{"hours", 3600 * 1000},
	{"d", 24 * 3600 * 1000},
	{"day", 24 * 3600 * 1000},
	{"days", 24 * 3600 * 1000},
	{"w", 7 * 24 * 3600 * 1000},
	{NULL, 0},
};

static const struct unit size_words[] = {
	{"", 1},
	{"b", 1},
	{"byte", 1},
	{"bytes", 1},
	{"k", 1 << 10},
	{"kib", 1 << 10},
	{"kb", 1000},
	{"m", 1 << 20},
	{"mib", 1 << 20},
	{"mb", 1000 * 1000},
	{"g", UINT64_C(1) << 30},
	{"gib", UINT64_C(1) << 30},
	{"gb", 1000 * 1000 * 1000},
	{NULL, 0},
};

/* A decimal number: `digits` / `scale`. */
struct decimal {
	uint64_t digits;
	uint64_t scale;
};

static bool is_digit(char letter)
{
	return letter >= '0' && letter <= '9';
}

static bool take_decimal(struct span *text, struct decimal *ret)
{
	bool fraction = false;

	*ret = (struct decimal){.scale = 1};
	if (text->length == 0 || !is_digit(text->data[0])) {
		return false;
	}
	for (; text->length > 0; *text = span_skip(*text, 1)) {
		if (text->data[0] == '.' && !fraction) {
			fraction = true;
			continue;
		}
		if (!is_digit(text->data[0])) {
			break;
		}
		if (__builtin_mul_overflow(ret->digits, 10, &ret->digits) ||
			__builtin_add_overflow(ret->digits, text->data[0] - '0', &ret->digits) ||
			(fraction && __builtin_mul_overflow(ret->scale, 10, &ret->scale))) {
			return false;
		}
	}
	return true;
}

/* The unit that the text begins with: all its letters. */
static const struct unit *take_word(const struct unit *words, struct span *text)
{
	char word[UNITS_TEXT_MAX] = "";
	size_t length = 0;

	while (length < text->length && length + 1 < sizeof word &&
		((text->data[length] | 0x20) >= 'a' && (text->data[length] | 0x20) <= 'z')) {
		word[length] = (char)(text->data[length] | 0x20);
		length++;
	}
	*text = span_skip(*text, length);
	while (words->name != NULL && strcmp(words->name, word) != 0) {
		words++;
	}
	return words->name == NULL ? NULL : words;
}

/* The sum of numbers with units, "1h 30m", that is a whole one. */
static bool guess(const struct unit *words, const char *text, size_t length, uint64_t *ret_number)
{
	struct span rest = span_trim((struct span){text, length});
	uint64_t sum = 0;

	do {
		struct decimal decimal;
		const struct unit *unit;
		uint64_t part;

		if (!take_decimal(&rest, &decimal)) {
			return false;
		}
		rest = span_trim(rest);
		unit = take_word(words, &rest);
		if (unit == NULL || (*unit->name == '\0' && (rest.length > 0 || sum > 0)) ||
			__builtin_mul_overflow(decimal.digits, unit->factor, &part) ||
			part % decimal.scale != 0 ||
			__builtin_add_overflow(sum, part / decimal.scale, &sum)) {
			return false;
		}
		rest = span_trim(rest);
	} while (rest.length > 0);
	*ret_number = sum;
	return true;
}

static const char *print(const struct unit *units, const char *zero, uint64_t number,
	char text[static UNITS_TEXT_MAX])
{
	const struct unit *unit = units;

	if (number == 0) {
		(void)snprintf(text, UNITS_TEXT_MAX, "%s", zero);
		return text;
	}
	while (number % unit->factor != 0) {
		unit++; /* ends at the factor 1 */
	}
	(void)snprintf(text, UNITS_TEXT_MAX, "%" PRIu64 "%s", number / unit->factor, unit->name);
	return text;
}

const char *duration_parse(const char *text, size_t length, uint64_t *ret_ms)
{
	return parse(&durations, text, length, ret_ms);
}

const char *size_parse(const char *text, size_t length, uint64_t *ret_bytes)
{
	return parse(&sizes, text, length, ret_bytes);
}

bool duration_guess(const char *text, size_t length, uint64_t *ret_ms)
{
	return guess(duration_words, text, length, ret_ms);
}

bool size_guess(const char *text, size_t length, uint64_t *ret_bytes)
{
	return guess(size_words, text, length, ret_bytes);
}

const char *duration_text(uint64_t ms, char text[static UNITS_TEXT_MAX])
{
	return print(duration_units, "0s", ms, text);
}

const char *size_text(uint64_t bytes, char text[static UNITS_TEXT_MAX])
{
	return print(size_units, "0B", bytes, text);
}
