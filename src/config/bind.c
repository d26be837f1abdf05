#include "config/bind.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/sockaddr.h"
#include "base/suggest.h"
#include "base/units.h"
#include "config/diag.h"
#include "config/keys.h"

static const uint64_t duration_max_ms = UINT64_C(365) * 24 * 3600 * 1000;

enum { SHOWN_MAX = 64 }; /* bytes of the operator's text in a message */

/* For "%.*s". */
static int shown(struct span span)
{
	return span.length < SHOWN_MAX ? (int)span.length : SHOWN_MAX;
}

uint64_t field_max(const struct field *field)
{
	return field->type == FIELD_DURATION && field->max == 0 ? duration_max_ms : field->max;
}

static size_t size_of(enum field_type type)
{
	switch (type) {
	case FIELD_BOOL:
		return sizeof(bool);
	case FIELD_UINT:
	case FIELD_CHOICE:
	case FIELD_MODE:
		return sizeof(uint32_t);
	case FIELD_DURATION:
	case FIELD_SIZE:
		return sizeof(uint64_t);
	case FIELD_STRING:
		return sizeof(const char *);
	case FIELD_ADDRESS:
		return sizeof(struct address);
	case FIELD_RATIO:
		return sizeof(double);
	}
	abort(); /* every type returns above */
}

static void *member_of(const struct field *field, void *target)
{
	assert(field->size == size_of(field->type));
	return (char *)target + field->offset;
}

static void store_number(const struct field *field, void *target, uint64_t number)
{
	void *member = member_of(field, target);

	switch (field->type) {
	case FIELD_BOOL:
		*(bool *)member = number != 0;
		break;
	case FIELD_UINT:
	case FIELD_CHOICE:
	case FIELD_MODE:
		*(uint32_t *)member = (uint32_t)number;
		break;
	case FIELD_DURATION:
	case FIELD_SIZE:
		*(uint64_t *)member = number;
		break;
	case FIELD_RATIO:
		*(double *)member = (double)number;
		break;
	case FIELD_STRING:
	case FIELD_ADDRESS:
		abort(); /* are no numbers */
	}
}

static void store_default(const struct field *field, void *target)
{
	if (field->type == FIELD_STRING) {
		*(const char **)member_of(field, target) = NULL;
	} else if (field->type == FIELD_ADDRESS) {
		struct address *address = member_of(field, target);
		const char *text = field->fallback_address;

		*address = (struct address){0};
		if (text != NULL) {
			const char *mistake = address_parse(text, strlen(text), address);

			assert(mistake == NULL);
			(void)mistake;
		}
	} else {
		store_number(field, target, field->fallback);
	}
}

void bind_defaults(const struct field *fields, void *target)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		if (field->inherits == NULL) {
			store_default(field, target);
		}
	}
}

/* One value on its way to its member. */
struct reading {
	const struct field *field;
	const struct toml_value *value;
	const char *title; /* of the table */
	void *target;
	struct arena *arena;
	struct diag *diag;
};

static void report(const struct reading *reading, const char *what)
{
	diag_add(reading->diag, DIAG_ERROR, reading->value->position, "'%s' in %s: %s",
		reading->field->key, reading->title, what);
}

static const char *expected_of(enum field_type type)
{
	static const char *const texts[] = {
		[FIELD_BOOL] = "true or false is expected",
		[FIELD_UINT] = "a whole number is expected",
		[FIELD_DURATION] = "a duration such as \"250ms\" or \"5s\" is expected",
		[FIELD_SIZE] = "a size such as \"64KiB\" is expected",
		[FIELD_CHOICE] = "a word in quotes is expected",
		[FIELD_STRING] = "a string in quotes is expected",
		[FIELD_ADDRESS] = "an address such as \"10.0.0.1:8080\" is expected",
		[FIELD_RATIO] = "a number is expected",
		[FIELD_MODE] = "permissions such as \"0660\" are expected",
	};

	return texts[type];
}

static bool is_string_type(enum field_type type)
{
	return type != FIELD_BOOL && type != FIELD_UINT && type != FIELD_RATIO;
}

/* How a unit is written behind a number that goes without. */
static const struct number_unit {
	const char *unit; /* of the option */
	const char *word;
	uint64_t factor;
} number_units[] = {
	{"microseconds", "us", 1},
	{"microseconds", "\u00b5s", 1},
	{"microseconds", "usec", 1},
	{"microseconds", "ms", 1000},
	{"microseconds", "s", 1000 * 1000},
	{"percent", "%", 1},
	{"percent", "percent", 1},
};

/* "30us" where a number of microseconds belongs. */
static void help_without_unit(const struct reading *reading)
{
	const struct field *field = reading->field;
	struct span rest = span_trim(reading->value->string);
	const bool has_digit = rest.length > 0 && rest.data[0] >= '0' && rest.data[0] <= '9';
	uint64_t number = 0;

	while (rest.length > 0 && rest.data[0] >= '0' && rest.data[0] <= '9' &&
		number <= field->max) {
		number = 10 * number + (uint64_t)(rest.data[0] - '0');
		rest = span_skip(rest, 1);
	}
	rest = span_trim(rest);
	for (size_t i = 0; has_digit && i < ARRAY_COUNT(number_units); i++) {
		const struct number_unit *row = &number_units[i];

		if (strcmp(field->unit, row->unit) == 0 && span_is(rest, row->word) &&
			number >= field->min && number <= field->max / row->factor) {
			diag_help(reading->diag,
				"the unit is always %s and is left out: write %s = %" PRIu64,
				field->unit, field->key, number * row->factor);
			return;
		}
	}
	diag_help(reading->diag,
		"write a number from %" PRIu64 " to %" PRIu64 ", without its unit (%s)", field->min,
		field->max, field->unit);
}

/* A string where none belongs: says what to write without the quotes, if that would be right. */
static void help_without_quotes(const struct reading *reading)
{
	const struct field *field = reading->field;
	const struct span text = reading->value->string;

	if (field->type == FIELD_BOOL && (span_is(text, "yes") || span_is(text, "on"))) {
		diag_help(reading->diag, "write %s = true", field->key);
	} else if (field->type == FIELD_BOOL && (span_is(text, "no") || span_is(text, "off"))) {
		diag_help(reading->diag, "write %s = false", field->key);
	} else if (field->type == FIELD_BOOL
			? span_is(text, "true") || span_is(text, "false")
			: text.length > 0 && strspn(text.data, "0123456789.") == text.length) {
		diag_help(reading->diag, "remove the quotes: write %s = %.*s", field->key,
			shown(text), text.data);
	} else if (field->unit != NULL) {
		help_without_unit(reading);
	}
}

/* A number where a string belongs. */
static void help_with_quotes(const struct reading *reading)
{
	const struct field *field = reading->field;
	const int64_t number = reading->value->integer;
	char text[UNITS_TEXT_MAX];

	switch (field->type) {
	case FIELD_DURATION:
		diag_help(reading->diag,
			"durations are strings with a unit: write \"%" PRId64 "s\"", number);
		break;
	case FIELD_SIZE:
		diag_help(reading->diag, "sizes are strings with a unit: write \"%s\"",
			number > 0 ? size_text((uint64_t)number, text) : "0B");
		break;
	case FIELD_MODE:
		diag_help(reading->diag, "write the octal number in quotes: \"0660\"");
		break;
	case FIELD_ADDRESS:
		diag_help(reading->diag, "write \"host:%" PRId64 "\"", number);
		break;
	case FIELD_CHOICE:
	case FIELD_STRING:
		diag_help(reading->diag, "missing quotes: write \"%" PRId64 "\"", number);
		break;
	case FIELD_BOOL:
	case FIELD_UINT:
	case FIELD_RATIO:
		break;
	}
}

/* The value is of another type than the option: says so, and how it should have been written. */
static void report_type(const struct reading *reading)
{
	const struct field *field = reading->field;
	const struct toml_value *value = reading->value;

	report(reading, expected_of(field->type));
	if (value->type == TOML_STRING) {
		help_without_quotes(reading);
	} else if (value->type == TOML_INTEGER) {
		help_with_quotes(reading);
	} else if (value->type == TOML_BOOLEAN && field->off && !value->boolean) {
		diag_help(reading->diag, "write %s = \"off\"", field->key);
	} else if (value->type == TOML_BOOLEAN && is_string_type(field->type)) {
		diag_help(reading->diag, "missing quotes: write \"%s\"",
			value->boolean ? "true" : "false");
	}
}

static void report_range(const struct reading *reading)
{
	const struct field *field = reading->field;
	const uint64_t max = field_max(field);
	char low[UNITS_TEXT_MAX];
	char high[UNITS_TEXT_MAX];
	const char *or_off = field->off ? ", or \"off\"" : "";

	switch (field->type) {
	case FIELD_DURATION:
		diag_add(reading->diag, DIAG_ERROR, reading->value->position,
			"'%s' in %s is out of range: \"%s\" to \"%s\"%s is expected", field->key,
			reading->title, duration_text(field->min, low), duration_text(max, high),
			or_off);
		break;
	case FIELD_SIZE:
		diag_add(reading->diag, DIAG_ERROR, reading->value->position,
			"'%s' in %s is out of range: \"%s\" to \"%s\" is expected", field->key,
			reading->title, size_text(field->min, low), size_text(max, high));
		break;
	case FIELD_MODE:
		report(reading, "permissions from \"0000\" to \"0777\" are expected");
		break;
	case FIELD_BOOL:
	case FIELD_UINT:
	case FIELD_CHOICE:
	case FIELD_STRING:
	case FIELD_ADDRESS:
	case FIELD_RATIO:
		diag_add(reading->diag, DIAG_ERROR, reading->value->position,
			"'%s' in %s is out of range: %" PRIu64 " to %" PRIu64 " is expected",
			field->key, reading->title, field->min, max);
		break;
	}
}

static void bind_number(const struct reading *reading, uint64_t number)
{
	if (number < reading->field->min || number > field_max(reading->field)) {
		report_range(reading);
	} else {
		store_number(reading->field, reading->target, number);
	}
}

/* A duration or a size that is written as another program has it. */
static void help_with_unit(const struct reading *reading)
{
	const struct field *field = reading->field;
	const struct span text = reading->value->string;
	const bool is_size = field->type == FIELD_SIZE;
	char meant[UNITS_TEXT_MAX];
	uint64_t number;

	if (is_size ? size_guess(text.data, text.length, &number)
		    : duration_guess(text.data, text.length, &number)) {
		if (number >= field->min && number <= field_max(field)) {
			diag_help(reading->diag, "did you mean \"%s\"?",
				is_size ? size_text(number, meant) : duration_text(number, meant));
		}
	}
}

static void bind_unit(const struct reading *reading,
	const char *(*parse)(const char *text, size_t length, uint64_t *ret_number))
{
	const struct span text = reading->value->string;
	uint64_t number;
	const char *mistake;

	if (reading->field->type == FIELD_DURATION && span_is(text, "off")) {
		if (reading->field->off) {
			store_number(reading->field, reading->target, 0);
		} else {
			report(reading, "\"off\" is not allowed here");
		}
		return;
	}
	mistake = parse(text.data, text.length, &number);
	if (mistake != NULL) {
		report(reading, mistake);
		help_with_unit(reading);
	} else {
		bind_number(reading, number);
	}
}

static void bind_mode(const struct reading *reading)
{
	const struct span text = reading->value->string;
	uint32_t mode = 0;

	for (size_t i = 0; i < text.length; i++) {
		if (text.data[i] < '0' || text.data[i] > '7' || i == 4) {
			report_range(reading);
			return;
		}
		mode = mode * 8 + (uint32_t)(text.data[i] - '0');
	}
	if (text.length < 3) {
		report_range(reading);
	} else {
		bind_number(reading, mode);
	}
}

static void bind_choice(const struct reading *reading)
{
	const struct field *field = reading->field;
	const struct span text = reading->value->string;
	const char *nearest;
	char all[256] = "";
	size_t used = 0;

	for (uint32_t i = 0; field->choices[i] != NULL; i++) {
		if (span_is(text, field->choices[i])) {
			store_number(field, reading->target, i);
			return;
		}
		used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "",
			field->choices[i]);
		assert(used < sizeof all);
	}
	for (uint32_t i = 0; field->later != NULL && field->later[i] != NULL; i++) {
		if (span_is(text, field->later[i])) {
			diag_add(reading->diag, DIAG_ERROR, reading->value->position,
				"'%s' in %s: '%s' is not available in this version", field->key,
				reading->title, field->later[i]);
			diag_help(reading->diag, "available: %s", all);
			return;
		}
	}
	diag_add(reading->diag, DIAG_ERROR, reading->value->position,
		"'%s' in %s: there is no '%.*s'", field->key, reading->title, shown(text),
		text.data);
	nearest = suggest_word(text.data, text.length, field->choices);
	if (nearest != NULL) {
		diag_help(reading->diag, "did you mean '%s'?", nearest);
	} else {
		diag_help(reading->diag, "one of: %s", all);
	}
}

static bool has_control_character(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f) {
			return true;
		}
	}
	return false;
}

static void bind_string(const struct reading *reading)
{
	const struct field *field = reading->field;
	const struct span text = reading->value->string;
	const char *copy;

	if (text.length < field->min) {
		report(reading, "it is empty");
	} else if (text.length > field->max) {
		diag_add(reading->diag, DIAG_ERROR, reading->value->position,
			"'%s' in %s is too long: at most %" PRIu64 " bytes are possible",
			field->key, reading->title, field->max);
	} else if (has_control_character(text)) {
		report(reading, "it has a control character");
	} else {
		copy = arena_strndup(reading->arena, text.data, text.length);
		if (copy == NULL) {
			diag_out_of_memory(reading->diag);
		}
		*(const char **)member_of(field, reading->target) = copy;
	}
}

static void bind_address(const struct reading *reading)
{
	const struct field *field = reading->field;
	const struct span text = reading->value->string;
	struct address address;
	const char *mistake = address_parse(text.data, text.length, &address);

	if (mistake != NULL) {
		diag_add(reading->diag, DIAG_ERROR, reading->value->position,
			"'%s' in %s: '%.*s' is no address: %s", field->key, reading->title,
			shown(text), text.data, mistake);
	} else if (address.kind == ADDRESS_NAME && (field->kinds & ADDRESS_USE_NAME) == 0) {
		report(reading, "a name is not possible here");
		diag_help(reading->diag, "write an IP address, or \":%u\" for all", address.port);
	} else if (address.kind == ADDRESS_ANY && (field->kinds & ADDRESS_USE_ANY) == 0) {
		report(reading, "the host is missing");
		diag_help(reading->diag, "write \"127.0.0.1:%u\" for this machine", address.port);
	} else if (address.kind == ADDRESS_LOCAL && (field->kinds & ADDRESS_USE_LOCAL) == 0) {
		report(reading, "a UNIX socket is not possible here");
	} else {
		*(struct address *)member_of(field, reading->target) = address;
	}
}

static void bind_ratio(const struct reading *reading)
{
	const struct field *field = reading->field;
	const struct toml_value *value = reading->value;
	const double number = value->type == TOML_INTEGER ? (double)value->integer : value->number;

	/* Written so that a NaN is out of range. */
	if (number >= (double)field->min && number <= (double)field->max) {
		*(double *)member_of(field, reading->target) = number;
	} else {
		report_range(reading);
	}
}

static bool is_of_type(const struct field *field, const struct toml_value *value)
{
	switch (field->type) {
	case FIELD_BOOL:
		return value->type == TOML_BOOLEAN;
	case FIELD_UINT:
		return value->type == TOML_INTEGER;
	case FIELD_RATIO:
		return value->type == TOML_FLOAT || value->type == TOML_INTEGER;
	case FIELD_SIZE:
		return value->type == TOML_STRING ||
			(value->type == TOML_INTEGER && value->integer == 0);
	case FIELD_DURATION:
	case FIELD_CHOICE:
	case FIELD_STRING:
	case FIELD_ADDRESS:
	case FIELD_MODE:
		return value->type == TOML_STRING;
	}
	abort(); /* every type returns above */
}

static void bind_value(const struct reading *reading)
{
	const struct toml_value *value = reading->value;

	if (!is_of_type(reading->field, value)) {
		report_type(reading);
		return;
	}
	switch (reading->field->type) {
	case FIELD_BOOL:
		store_number(reading->field, reading->target, value->boolean);
		break;
	case FIELD_UINT:
		bind_number(reading, (uint64_t)value->integer); /* a negative one is too large */
		break;
	case FIELD_DURATION:
		bind_unit(reading, duration_parse);
		break;
	case FIELD_SIZE:
		if (value->type == TOML_INTEGER) {
			bind_number(reading, 0);
		} else {
			bind_unit(reading, size_parse);
		}
		break;
	case FIELD_CHOICE:
		bind_choice(reading);
		break;
	case FIELD_STRING:
		bind_string(reading);
		break;
	case FIELD_ADDRESS:
		bind_address(reading);
		break;
	case FIELD_RATIO:
		bind_ratio(reading);
		break;
	case FIELD_MODE:
		bind_mode(reading);
		break;
	}
}

void bind_table(const struct binding *binding, const struct toml_table *table, struct arena *arena,
	struct diag *diag)
{
	for (size_t i = 0; i < table->entry_count; i++) {
		const struct toml_entry *entry = &table->entries[i];
		const struct field *field = keys_find(binding->fields, entry->key);

		if (field != NULL) {
			bind_value(&(struct reading){
				.field = field,
				.value = &entry->value,
				.title = binding->title,
				.target = binding->target,
				.arena = arena,
				.diag = diag,
			});
		} else if (!keys_is_table(binding, entry->key)) {
			keys_report_unknown(binding, entry, diag);
		}
	}
}
