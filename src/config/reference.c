#include <inttypes.h>
#include <string.h>

#include "base/units.h"
#include "config/diag.h"
#include "config/print.h"
#include "config/sections.h"

static const char *title_of(const struct section *section, char text[static 64])
{
	(void)snprintf(text, 64, section->kind == SECTION_LIST ? "[[%s]]" : "[%s]", section->path);
	return text;
}

static void print_choices(const struct field *field, FILE *file)
{
	for (size_t i = 0; field->choices[i] != NULL; i++) {
		(void)fprintf(file, "%s\"%s\"", i == 0 ? "" : ", ", field->choices[i]);
	}
}

static void print_number(const struct field *field, uint64_t number, FILE *file)
{
	char text[UNITS_TEXT_MAX];

	if (field->type == FIELD_DURATION) {
		(void)fprintf(file, "\"%s\"",
			field->off && number == DURATION_OFF ? "off" : duration_text(number, text));
	} else if (field->type == FIELD_SIZE && number != 0) {
		(void)fprintf(file, "\"%s\"", size_text(number, text));
	} else if (field->type == FIELD_MODE) {
		(void)fprintf(file, "\"%04o\"", (unsigned)number);
	} else {
		(void)fprintf(file, "%" PRIu64, number);
	}
}

static void print_range(const struct field *field, FILE *file)
{
	switch (field->type) {
	case FIELD_BOOL:
		(void)fputs("true or false", file);
		return;
	case FIELD_UINT:
	case FIELD_DURATION:
	case FIELD_SIZE:
	case FIELD_MODE:
		print_number(field, field->min, file);
		(void)fputs(" to ", file);
		print_number(field, field_max(field), file);
		(void)fputs(field->off ? ", or \"off\"" : "", file);
		return;
	case FIELD_CHOICE:
		print_choices(field, file);
		return;
	case FIELD_STRING:
		(void)fputs("a string", file);
		return;
	case FIELD_ADDRESS:
		(void)fputs("an address", file);
		return;
	case FIELD_RATIO:
		(void)fputs("a number from 0 to 1", file);
		return;
	}
}

static void print_default(const struct section *section, const struct field *field, FILE *file)
{
	if (section->inherits != NULL) {
		(void)fprintf(file, "that of %s.%s", section->inherits, field->key);
	} else if (field->required) {
		(void)fputs("required", file);
	} else if (field->fallback_doc != NULL) {
		(void)fputs(field->fallback_doc, file);
	} else if (field->inherits != NULL) {
		(void)fprintf(file, "that of %s", field->inherits);
	} else if (field->fallback_address != NULL) {
		(void)fprintf(file, "\"%s\"", field->fallback_address);
	} else if (field->type == FIELD_CHOICE) {
		(void)fprintf(file, "\"%s\"", field->choices[field->fallback]);
	} else if (field->type == FIELD_BOOL) {
		(void)fputs(field->fallback != 0 ? "true" : "false", file);
	} else if (field->type == FIELD_STRING || field->type == FIELD_ADDRESS) {
		(void)fputs("none", file);
	} else {
		print_number(field, field->fallback, file);
	}
}

static void print_field(const struct section *section, const struct field *field, FILE *file)
{
	(void)fprintf(file, "  %s\n      ", field->key);
	print_range(field, file);
	(void)fputs("; default: ", file);
	print_default(section, field, file);
	(void)fprintf(file, "%s\n      %s\n",
		field->reload == RELOAD_RESTART ? "; a change takes a restart" : "", field->doc);
}

void config_reference(FILE *file)
{
	char title[64];

	for (const struct section *section = config_sections; section->path != NULL; section++) {
		(void)fprintf(file, "%s%s\n  %s\n", section == config_sections ? "" : "\n",
			title_of(section, title), section->doc);
		for (const struct field *field = section->fields; field->key != NULL; field++) {
			print_field(section, field, file);
		}
	}
}

/* A JSON string without the need to count. */
static void json(FILE *file, const char *text)
{
	json_write_string(file, text, strlen(text));
}

static void schema_type(const struct field *field, FILE *file)
{
	switch (field->type) {
	case FIELD_BOOL:
		(void)fputs("\"type\": \"boolean\"", file);
		return;
	case FIELD_UINT:
		(void)fprintf(file,
			"\"type\": \"integer\", \"minimum\": %" PRIu64 ", \"maximum\": %" PRIu64,
			field->min, field_max(field));
		return;
	case FIELD_DURATION:
		(void)fprintf(file,
			"\"type\": \"string\", \"pattern\": \"^([0-9]+(ms|s|m|h|d)%s)$\"",
			field->off ? "|off" : "");
		return;
	case FIELD_SIZE:
		(void)fputs("\"anyOf\": [{\"type\": \"string\", \"pattern\": "
			    "\"^[0-9]+(B|KiB|MiB|GiB|KB|MB|GB)$\"}, {\"type\": \"integer\", "
			    "\"minimum\": 0, \"maximum\": 0}]",
			file);
		return;
	case FIELD_CHOICE:
		(void)fputs("\"enum\": [", file);
		print_choices(field, file);
		(void)fputc(']', file);
		return;
	case FIELD_STRING:
	case FIELD_ADDRESS:
		(void)fputs("\"type\": \"string\", \"minLength\": 1", file);
		return;
	case FIELD_RATIO:
		(void)fputs("\"type\": \"number\", \"minimum\": 0, \"maximum\": 1", file);
		return;
	case FIELD_MODE:
		(void)fputs("\"type\": \"string\", \"pattern\": \"^[0-7]{3,4}$\"", file);
		return;
	}
}

/* The properties of a table; the object stays open for more of them. */
static void schema_fields(const struct field *fields, FILE *file)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		(void)fputs(field == fields ? "" : ", ", file);
		json(file, field->key);
		(void)fputs(": {", file);
		schema_type(field, file);
		(void)fputs(", \"description\": ", file);
		json(file, field->doc);
		(void)fputc('}', file);
	}
}

static void schema_required(const struct field *fields, FILE *file)
{
	bool first = true;

	for (const struct field *field = fields; field->key != NULL; field++) {
		if (field->required) {
			(void)fputs(first ? ", \"required\": [" : ", ", file);
			json(file, field->key);
			first = false;
		}
	}
	(void)fputs(first ? "" : "]", file);
}

static void schema_object_end(const struct field *fields, FILE *file)
{
	(void)fputs("}", file);
	schema_required(fields, file);
	(void)fputs(", \"additionalProperties\": false}", file);
}

static void schema_table(const struct section *section, FILE *file)
{
	if (section->kind == SECTION_LIST) {
		(void)fputs("{\"type\": \"array\", \"minItems\": 1, \"items\": ", file);
	}
	(void)fputs("{\"type\": \"object\", \"description\": ", file);
	json(file, section->doc);
	(void)fputs(", \"properties\": {", file);
	schema_fields(section->fields, file);
	schema_object_end(section->fields, file);
	(void)fputs(section->kind == SECTION_LIST ? "}" : "", file);
}

/* [pools.NAME] with its inner tables, which follow it in the list of sections. */
static void schema_named(const struct section *section, FILE *file)
{
	const size_t length = strlen(section->path);

	(void)fputs("\"pools\": {\"type\": \"object\", \"minProperties\": 1, "
		    "\"additionalProperties\": {\"type\": \"object\", \"properties\": {",
		file);
	schema_fields(section->fields, file);
	for (const struct section *inner = section + 1; inner->path != NULL; inner++) {
		if (strncmp(inner->path, section->path, length) == 0 &&
			inner->path[length] == '.') {
			(void)fputs(", ", file);
			json(file, inner->path + length + 1);
			(void)fputs(": ", file);
			schema_table(inner, file);
		}
	}
	schema_object_end(section->fields, file);
	(void)fputc('}', file);
}

void config_schema(FILE *file)
{
	bool first = true;

	(void)fputs("{\"$schema\": \"http://json-schema.org/draft-04/schema#\",\n"
		    " \"title\": \"loble.toml\", \"type\": \"object\",\n \"properties\": {",
		file);
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		if (section->kind != SECTION_NAMED && strchr(section->path, '.') != NULL) {
			continue; /* an inner table: written with its pool */
		}
		(void)fputs(first ? "\n  " : ",\n  ", file);
		first = false;
		if (section->kind == SECTION_NAMED) {
			schema_named(section, file);
			continue;
		}
		json(file, section->path);
		(void)fputs(": ", file);
		schema_table(section, file);
	}
	(void)fputs("\n },\n \"additionalProperties\": false}\n", file);
}
