#include "config/print.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/units.h"
#include "config/sections.h"

/* A basic string of TOML. Names and paths are UTF-8; what a terminal would obey is escaped. */
static void print_string(const char *text, FILE *file)
{
	(void)fputc('"', file);
	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\') {
			(void)fprintf(file, "\\%c", *c);
		} else if (*c < 0x20 || *c == 0x7f) {
			(void)fprintf(file, "\\u%04X", *c);
		} else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) {
			c++;
			(void)fprintf(file, "\\u%04X", *c);
		} else {
			(void)fputc(*c, file);
		}
	}
	(void)fputc('"', file);
}

/* The name of a table, in quotes where it needs them. */
static void print_key(const char *name, FILE *file)
{
	static const char bare[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789_-";

	if (*name != '\0' && name[strspn(name, bare)] == '\0') {
		(void)fputs(name, file);
	} else {
		print_string(name, file);
	}
}

/* The shortest text that is this very number again, and no whole number to TOML: "0.1", "1.0". */
static void print_ratio(double ratio, FILE *file)
{
	char text[UNITS_TEXT_MAX];
	int digits = 1;

	do {
		(void)snprintf(text, sizeof text, "%.*g", digits, ratio);
		digits++;
	} while (digits <= DBL_DECIMAL_DIG && strtod(text, NULL) != ratio);
	(void)fprintf(file, "%s%s", text, strpbrk(text, ".e") == NULL ? ".0" : "");
}

static uint32_t number_at(const void *member)
{
	uint32_t number;

	memcpy(&number, member, sizeof number);
	return number;
}

static uint64_t wide_at(const void *member)
{
	uint64_t number;

	memcpy(&number, member, sizeof number);
	return number;
}

static const char *string_at(const void *member)
{
	const char *text;

	memcpy(&text, member, sizeof text);
	return text;
}

/* Whether the member has a value that can be written: an absent string or address has none. */
static bool has_value(const struct field *field, const void *member)
{
	if (field->type == FIELD_STRING) {
		return string_at(member) != NULL;
	}
	if (field->type == FIELD_ADDRESS) {
		return ((const struct address *)member)->kind != ADDRESS_UNSET;
	}
	return true;
}

static void print_value(const struct field *field, const void *member, FILE *file)
{
	char units[UNITS_TEXT_MAX];
	char address[ADDRESS_HOST_MAX + 8];
	double ratio;

	switch (field->type) {
	case FIELD_BOOL:
		(void)fputs(*(const bool *)member ? "true" : "false", file);
		return;
	case FIELD_UINT:
		(void)fprintf(file, "%" PRIu32, number_at(member));
		return;
	case FIELD_DURATION:
		print_string(field->off && wide_at(member) == DURATION_OFF
				? "off"
				: duration_text(wide_at(member), units),
			file);
		return;
	case FIELD_SIZE:
		if (wide_at(member) == 0) {
			(void)fputc('0', file);
		} else {
			print_string(size_text(wide_at(member), units), file);
		}
		return;
	case FIELD_CHOICE:
		print_string(field->choices[number_at(member)], file);
		return;
	case FIELD_STRING:
		print_string(string_at(member), file);
		return;
	case FIELD_ADDRESS:
		print_string(address_text(member, address), file);
		return;
	case FIELD_RATIO:
		memcpy(&ratio, member, sizeof ratio);
		print_ratio(ratio, file);
		return;
	case FIELD_MODE:
		(void)fprintf(file, "\"%04o\"", number_at(member));
		return;
	}
}

void config_print_value(const struct field *field, const void *member, FILE *file)
{
	if (has_value(field, member)) {
		print_value(field, member, file);
	} else {
		(void)fputs("unset", file);
	}
}

static bool has_fields(const struct field *fields, const void *target, size_t size)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		if (field->offset < size &&
			has_value(field, (const char *)target + field->offset)) {
			return true;
		}
	}
	return false;
}

/* Options whose member lies beyond `size` are not of this target: they are only defaults. */
static void print_fields(const struct field *fields, const void *target, size_t size, FILE *file)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		const char *member = (const char *)target + field->offset;

		if (field->offset < size && has_value(field, member)) {
			(void)fprintf(file, "%s = ", field->key);
			print_value(field, member, file);
			(void)fputc('\n', file);
		}
	}
}

static void print_listener(
	const struct config *config, const struct config_listener *listener, FILE *file)
{
	const struct config_listener_draft draft = {
		.listener = *listener,
		.pool_name = config->pools[listener->pool].name,
	};

	(void)fputs("\n[[listeners]]\n", file);
	print_fields(listener_fields, &draft, sizeof draft, file);
}

static void print_pool(const struct config_pool *pool, FILE *file)
{
	(void)fputs("\n[pools.", file);
	print_key(pool->name, file);
	(void)fputs("]\n", file);
	print_fields(pool_fields, pool, sizeof *pool, file);
	(void)fputs("\n[pools.", file);
	print_key(pool->name, file);
	(void)fputs(".health]\n", file);
	print_fields(health_fields, &pool->health, sizeof pool->health, file);
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		(void)fputs("\n[[pools.", file);
		print_key(pool->name, file);
		(void)fputs(".backends]]\n", file);
		print_fields(backend_fields, &pool->backends[i], sizeof pool->backends[i], file);
	}
}

void config_print(const struct config *config, FILE *file)
{
	static const struct process_table {
		const char *title;
		const struct field *fields;
	} tables[] = {
		{"server", server_fields},
		{"timeouts", timeouts_fields},
		{"tcp", tcp_fields},
		{"metrics", metrics_fields},
		{"admin", admin_fields},
		{"logging", logging_fields},
		{"access_log", access_log_fields},
	};

	for (size_t i = 0; i < ARRAY_COUNT(tables); i++) {
		if (!has_fields(tables[i].fields, config, sizeof *config)) {
			continue; /* no admin.socket: an empty table would look like a mistake */
		}
		(void)fprintf(file, "%s[%s]\n", i == 0 ? "" : "\n", tables[i].title);
		print_fields(tables[i].fields, config, sizeof *config, file);
	}
	for (uint32_t i = 0; i < config->listener_count - config->kept_listener_count; i++) {
		print_listener(config, &config->listeners[i], file);
	}
	for (uint32_t i = 0; i < config->pool_count - config->kept_pool_count; i++) {
		print_pool(&config->pools[i], file);
	}
}
