#include "config/config.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "config/build.h"
#include "config/diag.h"
#include "config/hint.h"
#include "config/source.h"

/* The name hides from the users of a configuration that it is an arena. */
static struct config_memory *memory_of(struct arena *arena)
{
	return (struct config_memory *)arena;
}

static struct arena *arena_of(struct config_memory *memory)
{
	return (struct arena *)memory;
}

/* Builds from a tree, which lives in `scratch`. NULL when there was any error. */
static struct config *build(const struct toml_table *root, struct arena *scratch, struct diag *diag)
{
	struct arena *arena = arena_create();
	struct config *config = NULL;

	if (arena == NULL) {
		diag_out_of_memory(diag);
		return NULL;
	}
	config = config_build(root, arena, scratch, diag);
	if (config == NULL || diag_errors(diag) > 0) {
		arena_free(arena);
		return NULL;
	}
	config->memory = memory_of(arena);
	return config;
}

static struct config *parse(struct span text, struct arena *scratch, struct diag *diag)
{
	struct toml_failure failure = {0};
	const struct toml_table *root;

	if (!source_check(text, diag)) {
		return NULL;
	}
	root = toml_parse(text.data, text.length, scratch, &failure);
	if (root != NULL) {
		return build(root, scratch, diag);
	}
	if (failure.out_of_memory) {
		diag_out_of_memory(diag);
	} else {
		hint_syntax_error(text, &failure, diag);
	}
	return NULL;
}

enum size_rule { SIZE_OF_FILE, SIZE_ANY };

static struct config *load(
	struct span source, enum size_rule rule, const char *name, struct diag *diag)
{
	struct arena *scratch = arena_create();
	struct config *config = NULL;

	diag_begin(diag, name, source);
	if (scratch == NULL || diag == NULL) {
		diag_out_of_memory(diag);
	} else if (rule == SIZE_ANY || source_check_size(source, diag)) {
		config = parse(source, scratch, diag);
	}
	diag_end(diag);
	if (config != NULL && diag_errors(diag) > 0) { /* no memory for a warning */
		config_free(config);
		config = NULL;
	}
	arena_free(scratch);
	return config;
}

struct config *config_load_text(
	const char *text, size_t length, const char *name, struct diag *diag)
{
	return load((struct span){text, length}, SIZE_OF_FILE, name, diag);
}

struct config *config_load_printed(const char *text, size_t length, struct diag *diag)
{
	return load((struct span){text, length}, SIZE_ANY, "running configuration", diag);
}

struct config *config_load_file(const char *path, struct diag *diag)
{
	struct config *config;
	char *text;
	size_t length;

	diag_begin(diag, path, (struct span){0});
	text = source_read(path, &length, diag);
	diag_end(diag);
	if (text == NULL) {
		return NULL;
	}
	config = config_load_text(text, length, path, diag);
	free(text);
	return config;
}

void config_free(struct config *config)
{
	if (config != NULL) {
		arena_free(arena_of(config->memory));
	}
}
