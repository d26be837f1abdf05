#include "config/difference.h"

#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "config/print.h"
#include "config/sections.h"

/* Those that the file names: kept ones stand behind them. */
static uint32_t own_listeners(const struct config *config)
{
	return config->listener_count - config->kept_listener_count;
}

static uint32_t own_pools(const struct config *config)
{
	return config->pool_count - config->kept_pool_count;
}

static const char *string_at(const char *member)
{
	const char *text;

	memcpy(&text, member, sizeof text);
	return text;
}

static bool same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_address(const char *a, const char *b)
{
	const struct address *first = (const struct address *)(const void *)a;
	const struct address *second = (const struct address *)(const void *)b;
	char text_a[ADDRESS_HOST_MAX + 8];
	char text_b[ADDRESS_HOST_MAX + 8];

	if (first->kind == ADDRESS_UNSET || second->kind == ADDRESS_UNSET) {
		return first->kind == second->kind;
	}
	return strcmp(address_text(first, text_a), address_text(second, text_b)) == 0;
}

static bool same_member(const struct field *field, const char *a, const char *b)
{
	switch (field->type) {
	case FIELD_STRING:
		return same_text(string_at(a), string_at(b));
	case FIELD_ADDRESS:
		return same_address(a, b);
	case FIELD_BOOL:
	case FIELD_UINT:
	case FIELD_DURATION:
	case FIELD_SIZE:
	case FIELD_CHOICE:
	case FIELD_RATIO:
	case FIELD_MODE:
		break;
	}
	return memcmp(a, b, field->size) == 0;
}

/* Fields that lie beyond `size` are defaults for others and belong to no target of their own. */
static bool same_fields(const struct field *fields, const void *a, const void *b, size_t size)
{
	for (const struct field *field = fields; field->key != NULL; field++) {
		if (field->offset < size &&
			!same_member(field, (const char *)a + field->offset,
				(const char *)b + field->offset)) {
			return false;
		}
	}
	return true;
}

static void add_values(struct config_difference *ret, const char *table, const struct field *field,
	const char *old, const char *new)
{
	const size_t length = strlen(ret->changes);
	const size_t room = sizeof ret->changes - 1 - length; /* the last byte stays a NUL */
	FILE *file = room > 0 ? fmemopen(ret->changes + length, room, "w") : NULL;

	if (file == NULL) {
		return; /* the names are there */
	}
	(void)fprintf(file, "%s%s.%s (", length > 0 ? ", " : "", table, field->key);
	config_print_value(field, old, file);
	(void)fputs(" -> ", file);
	config_print_value(field, new, file);
	(void)fputc(')', file);
	(void)fclose(file);
}

static void add_refused(struct config_difference *ret, const char *table, const struct field *field,
	const char *old, const char *new)
{
	const size_t length = strlen(ret->refused);

	(void)snprintf(ret->refused + length, sizeof ret->refused - length, "%s%s.%s",
		length > 0 ? ", " : "", table, field->key);
	add_values(ret, table, field, old, new);
}

static void compare_section(const struct section *section, const struct config *old,
	const struct config *new, struct config_difference *ret)
{
	for (const struct field *field = section->fields; field->key != NULL; field++) {
		const char *before = (const char *)old + field->offset;
		const char *after = (const char *)new + field->offset;

		if (field->offset >= sizeof *old || same_member(field, before, after)) {
			continue;
		}
		if (field->reload == RELOAD_RESTART) {
			add_refused(ret, section->path, field, before, after);
		} else {
			ret->options++;
		}
	}
}

/* Where the name is: mostly at the same place. `count`: there is none. */
static uint32_t find_listener(const struct config *config, const char *name, uint32_t guess)
{
	if (guess < own_listeners(config) && strcmp(config->listeners[guess].name, name) == 0) {
		return guess;
	}
	for (uint32_t i = 0; i < own_listeners(config); i++) {
		if (strcmp(config->listeners[i].name, name) == 0) {
			return i;
		}
	}
	return own_listeners(config);
}

static uint32_t find_pool(const struct config *config, const char *name, uint32_t guess)
{
	if (guess < own_pools(config) && strcmp(config->pools[guess].name, name) == 0) {
		return guess;
	}
	for (uint32_t i = 0; i < own_pools(config); i++) {
		if (strcmp(config->pools[i].name, name) == 0) {
			return i;
		}
	}
	return own_pools(config);
}

static uint32_t find_backend(const struct config_pool *pool, const char *name, uint32_t guess)
{
	if (guess < pool->backend_count && strcmp(pool->backends[guess].name, name) == 0) {
		return guess;
	}
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		if (strcmp(pool->backends[i].name, name) == 0) {
			return i;
		}
	}
	return pool->backend_count;
}

static bool same_listener(const struct config *old, const struct config_listener *a,
	const struct config *new, const struct config_listener *b)
{
	const struct config_listener_draft first = {*a, old->pools[a->pool].name};
	const struct config_listener_draft second = {*b, new->pools[b->pool].name};

	return same_fields(listener_fields, &first, &second, sizeof first);
}

static void compare_listeners(
	const struct config *old, const struct config *new, struct config_difference *ret)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < own_listeners(new); i++) {
		const uint32_t place = find_listener(old, new->listeners[i].name, i);

		if (place == own_listeners(old)) {
			ret->listeners.added++;
			continue;
		}
		found++;
		ret->reordered |= place != i;
		if (!same_listener(old, &old->listeners[place], new, &new->listeners[i])) {
			ret->listeners.changed++;
		}
	}
	ret->listeners.removed = own_listeners(old) - found;
}

static void compare_backends(
	const struct config_pool *old, const struct config_pool *new, struct config_difference *ret)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < new->backend_count; i++) {
		const uint32_t place = find_backend(old, new->backends[i].name, i);

		if (place == old->backend_count) {
			ret->backends.added++;
			continue;
		}
		found++;
		ret->reordered |= place != i;
		if (!same_fields(backend_fields, &old->backends[place], &new->backends[i],
			    sizeof old->backends[place])) {
			ret->backends.changed++;
		}
	}
	ret->backends.removed += old->backend_count - found;
}

static void compare_pools(
	const struct config *old, const struct config *new, struct config_difference *ret)
{
	static const struct config_pool empty;

	for (uint32_t i = 0; i < own_pools(new); i++) {
		const uint32_t place = find_pool(old, new->pools[i].name, i);

		if (place == own_pools(old)) {
			ret->pools.added++;
			compare_backends(&empty, &new->pools[i], ret);
			continue;
		}
		ret->reordered |= place != i;
		if (!same_fields(pool_fields, &old->pools[place], &new->pools[i],
			    sizeof new->pools[i]) ||
			!same_fields(health_fields, &old->pools[place].health,
				&new->pools[i].health, sizeof new->pools[i].health)) {
			ret->pools.changed++;
		}
		compare_backends(&old->pools[place], &new->pools[i], ret);
	}
	for (uint32_t i = 0; i < own_pools(old); i++) {
		if (find_pool(new, old->pools[i].name, i) == own_pools(new)) {
			ret->pools.removed++;
			compare_backends(&old->pools[i], &empty, ret);
		}
	}
}

void config_compare(
	const struct config *old, const struct config *new, struct config_difference *ret)
{
	*ret = (struct config_difference){.options = 0};
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		if (section->kind == SECTION_TABLE && section->form == FORM_BOTH &&
			section->target == 0) {
			compare_section(section, old, new, ret);
		}
	}
	compare_listeners(old, new, ret);
	compare_pools(old, new, ret);
}

static bool is_any(const struct difference_count *count)
{
	return count->added + count->removed + count->changed > 0;
}

bool difference_is_any(const struct config_difference *difference)
{
	return is_any(&difference->listeners) || is_any(&difference->pools) ||
		is_any(&difference->backends) || difference->options > 0 || difference->reordered ||
		difference->refused[0] != '\0';
}

const char *difference_text(const struct config_difference *difference, char *text, size_t size)
{
	const struct {
		const char *name;
		const struct difference_count *count;
	} rows[] = {
		{"listeners", &difference->listeners},
		{"pools", &difference->pools},
		{"backends", &difference->backends},
	};
	size_t length = 0;

	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		if (is_any(rows[i].count) && length < size) {
			length += (size_t)snprintf(text + length, size - length, "%s%s +%u -%u ~%u",
				length > 0 ? ", " : "", rows[i].name, rows[i].count->added,
				rows[i].count->removed, rows[i].count->changed);
		}
	}
	if (difference->options > 0 && length < size) {
		length += (size_t)snprintf(text + length, size - length, "%s%u option%s",
			length > 0 ? ", " : "", difference->options,
			difference->options == 1 ? "" : "s");
	}
	if (length == 0) {
		(void)snprintf(text, size, "%s",
			difference->reordered ? "another order" : "nothing has changed");
	}
	return text;
}
