#include "config/keys.h"

#include <string.h>

#include "base/suggest.h"
#include "config/diag.h"
#include "config/sections.h"

enum { SHOWN_MAX = 64 }; /* bytes of the operator's text in a message */

/* For "%.*s". */
static int shown(struct span span)
{
	return span.length < SHOWN_MAX ? (int)span.length : SHOWN_MAX;
}

const struct field *keys_find(const struct field *fields, struct span key)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		if (span_is(key, field->key)) {
			return field;
		}
	}
	return NULL;
}

bool keys_is_table(const struct binding *binding, struct span key)
{
	const char *const *table = binding->tables;

	for (; table != NULL && *table != NULL; table++) {
		if (span_is(key, *table)) {
			return true;
		}
	}
	return false;
}

/* Where an option of this name exists, when it does not in this table. */
static bool help_elsewhere(struct span key, struct diag *diag)
{
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		const bool list = section->kind == SECTION_LIST;
		const char *open = list ? "[[" : "[";
		const char *close = list ? "]]" : "]";

		if (span_is(key, section->path)) {
			diag_help(
				diag, "%s%s%s stands at the top level", open, section->path, close);
			return true;
		}
		if (keys_find(section->fields, key) != NULL) {
			diag_help(diag, "'%.*s' is an option of %s%s%s", shown(key), key.data, open,
				section->path, close);
			return true;
		}
	}
	return false;
}

/* The option or table that an unknown key of this table was meant to be, or NULL. */
static const char *nearest_key(const struct binding *binding, struct span key)
{
	struct suggest suggest = {.word = key.data, .length = key.length};

	for (const struct field *field = binding->fields; field->key != NULL; field++) {
		suggest_consider(&suggest, field->key);
	}
	for (size_t i = 0; binding->tables != NULL && binding->tables[i] != NULL; i++) {
		suggest_consider(&suggest, binding->tables[i]);
	}
	return suggest.nearest;
}

void keys_report_unknown(
	const struct binding *binding, const struct toml_entry *entry, struct diag *diag)
{
	const struct span key = entry->key;
	const char *nearest = nearest_key(binding, key);

	if (binding->title == NULL) {
		diag_add(diag, DIAG_ERROR, entry->position, "unknown %s '%.*s'",
			entry->value.type == TOML_TABLE ? "table" : "key", shown(key), key.data);
	} else {
		diag_add(diag, DIAG_ERROR, entry->position, "unknown key '%.*s' in %s", shown(key),
			key.data, binding->title);
	}
	if (nearest != NULL) {
		diag_help(diag, "did you mean '%s'?", nearest);
	} else {
		(void)help_elsewhere(key, diag);
	}
}

/* Whether the table has the option, or a misspelt form of it that is reported as such. */
static bool has_field(
	const struct binding *binding, const struct toml_table *table, const char *key)
{
	for (size_t i = 0; i < table->entry_count; i++) {
		const char *nearest;

		if (keys_find(binding->fields, table->entries[i].key) != NULL) {
			nearest = table->entries[i].key.data;
		} else {
			nearest = nearest_key(binding, table->entries[i].key);
		}
		if (nearest != NULL && strcmp(nearest, key) == 0) {
			return true;
		}
	}
	return false;
}

void bind_missing(const struct binding *binding, const struct toml_table *table,
	struct toml_position position, struct diag *diag)
{
	for (const struct field *field = binding->fields; field->key != NULL; field++) {
		if (field->required && !has_field(binding, table, field->key)) {
			diag_add(diag, DIAG_ERROR, position, "%s has no '%s'", binding->title,
				field->key);
		}
	}
}
