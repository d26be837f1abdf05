#include "config/build.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "config/diag.h"
#include "config/draft.h"

enum { TITLE_MAX = CONFIG_NAME_MAX + 32 };

static const struct toml_position nowhere;

/* What a build works on. */
struct builder {
	struct draft draft;
	struct arena *arena; /* for what stays */
	const struct toml_table *root;
};

static const char default_name[] = "default";
static const char *const pool_tables[] = {"health", "backends", NULL};

/* The table of the entry, or NULL when it is something else, which is reported. */
static const struct toml_table *expect_table(
	struct builder *builder, const struct toml_entry *entry, const char *title)
{
	if (entry->value.type == TOML_TABLE) {
		return entry->value.table;
	}
	diag_add(builder->draft.diag, DIAG_ERROR, entry->position, "'%s' is no table",
		entry->key.data);
	diag_help(builder->draft.diag, "write %s", title);
	return NULL;
}

/* The elements of a list of tables; reports an entry that is no list. */
static const struct toml_array *expect_list(
	struct builder *builder, const struct toml_entry *entry, const char *title)
{
	if (entry->value.type == TOML_ARRAY) {
		return entry->value.array;
	}
	diag_add(builder->draft.diag, DIAG_ERROR, entry->position, "'%s' is no list of tables",
		entry->key.data);
	diag_help(builder->draft.diag, "write %s", title);
	return NULL;
}

static bool expect_element(
	struct builder *builder, const struct toml_value *value, const char *title)
{
	if (value->type == TOML_TABLE) {
		return true;
	}
	diag_add(builder->draft.diag, DIAG_ERROR, value->position, "a table %s is expected", title);
	return false;
}

/* Bytes of a list that is cut at `max`, which is an error; NULL when there is no memory. */
static void *alloc_list(struct builder *builder, size_t *count, size_t max, size_t size)
{
	void *list;

	if (*count > max) {
		*count = max;
	}
	list = arena_alloc_array(builder->draft.scratch, *count, size);
	if (list == NULL) {
		diag_out_of_memory(builder->draft.diag);
		*count = 0;
	}
	return list;
}

static void report_too_many(
	struct builder *builder, struct toml_position position, const char *what, unsigned max)
{
	diag_add(builder->draft.diag, DIAG_ERROR, position, "there are too many %s: at most %u",
		what, max);
}

static void build_backend(struct builder *builder, struct draft_backend *draft,
	const struct toml_value *value, const char *title)
{
	const struct binding binding = {
		.fields = backend_fields,
		.title = title,
		.target = &draft->backend,
	};

	bind_defaults(backend_fields, &draft->backend);
	draft->position = value->position;
	if (!expect_element(builder, value, title)) {
		return;
	}
	draft->table = value->table;
	bind_table(&binding, value->table, builder->arena, builder->draft.diag);
	bind_missing(&binding, value->table, value->position, builder->draft.diag);
}

static uint32_t backends_so_far(const struct draft *draft)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < draft->pool_count; i++) {
		sum += draft->pools[i].backend_count;
	}
	return sum;
}

/* `entry` is the list of backends, or NULL when there is none. */
static void build_backends(struct builder *builder, struct draft_pool *pool,
	const struct toml_entry *entry, const char *title)
{
	const struct toml_array *list = entry != NULL ? expect_list(builder, entry, title) : NULL;
	const size_t room = CONFIG_BACKENDS_MAX - backends_so_far(&builder->draft);
	size_t count;

	if (list == NULL || list->value_count == 0) {
		if (entry == NULL || list != NULL) {
			if (builder->draft.named) {
				diag_add(builder->draft.diag, DIAG_ERROR, pool->position,
					"pool '%s' has no backend", pool->pool.name);
			} else {
				diag_add(builder->draft.diag, DIAG_ERROR,
					entry != NULL ? entry->position : nowhere,
					"there is no backend");
			}
			diag_help(builder->draft.diag, "add %s with an address", title);
		}
		return;
	}
	count = list->value_count;
	if (count > room) {
		report_too_many(builder, entry->position, "backends", CONFIG_BACKENDS_MAX);
	}
	pool->backends = alloc_list(builder, &count, room, sizeof *pool->backends);
	for (size_t i = 0; i < count; i++) {
		build_backend(builder, &pool->backends[i], &list->values[i], title);
	}
	pool->backend_count = (uint32_t)count;
}

static void bind_pool(struct builder *builder, struct draft_pool *pool,
	const struct toml_table *table, const char *title, const char *const *tables)
{
	bind_table(
		&(struct binding){
			.fields = pool_fields,
			.tables = tables,
			.title = title,
			.target = &pool->pool,
		},
		table, builder->arena, builder->draft.diag);
}

/* What a pool is before its own table is read. */
static void start_pool(struct builder *builder, struct draft_pool *pool, const char *name)
{
	const struct config_root *root = builder->draft.root;

	bind_defaults(pool_fields, &pool->pool);
	pool->pool.name = name;
	pool->pool.connect_ms = root->connect_ms;
	pool->pool.connect_total_ms = root->connect_total_ms;
	pool->pool.backend_drain_ms = root->backend_drain_ms;
	pool->pool.health = root->health;
}

static const char *copy_name(struct builder *builder, struct span name)
{
	const char *copy = arena_strndup(builder->arena, name.data, name.length);

	if (copy == NULL) {
		diag_out_of_memory(builder->draft.diag);
	}
	return copy;
}

/* A pool's name is the key of its table, so no row checks it. */
static bool check_pool_name(struct builder *builder, const struct toml_entry *entry)
{
	const struct span name = entry->key;
	const char *mistake = NULL;

	if (name.length == 0) {
		mistake = "the name of a pool is empty";
	} else if (name.length > CONFIG_NAME_MAX) {
		mistake = "the name of a pool is longer than 127 bytes";
	}
	for (size_t i = 0; i < name.length && mistake == NULL; i++) {
		const unsigned char c = (unsigned char)name.data[i];

		if (c < ' ' || c == 0x7f) {
			mistake = "the name of a pool has a control character";
		} else if (c == '/') {
			mistake = "the name of a pool has a '/', which parts pool and backend";
		}
	}
	if (mistake != NULL) {
		diag_add(builder->draft.diag, DIAG_ERROR, entry->position, "%s", mistake);
	}
	return mistake == NULL;
}

static void build_named_pool(
	struct builder *builder, struct draft_pool *pool, const struct toml_entry *entry)
{
	char title[TITLE_MAX];
	char health[TITLE_MAX];
	char backends[TITLE_MAX];
	const struct toml_table *table;
	const struct toml_entry *inner;
	const char *name = copy_name(builder, entry->key);

	if (name == NULL) {
		return;
	}
	(void)snprintf(title, sizeof title, "[pools.%s]", name);
	(void)snprintf(health, sizeof health, "[pools.%s.health]", name);
	(void)snprintf(backends, sizeof backends, "[[pools.%s.backends]]", name);
	pool->position = entry->position;
	start_pool(builder, pool, name);
	table = expect_table(builder, entry, title);
	if (table == NULL) {
		return;
	}
	bind_pool(builder, pool, table, title, pool_tables);
	inner = toml_find(table, "health");
	if (inner != NULL && expect_table(builder, inner, health) != NULL) {
		bind_table(
			&(struct binding){
				.fields = health_fields,
				.title = health,
				.target = &pool->pool.health,
			},
			inner->value.table, builder->arena, builder->draft.diag);
	}
	build_backends(builder, pool, toml_find(table, "backends"), backends);
}

static void build_pools(struct builder *builder, const struct toml_entry *entry)
{
	const struct toml_table *pools =
		entry != NULL ? expect_table(builder, entry, "[pools.NAME]") : NULL;
	struct draft *draft = &builder->draft;
	size_t count;

	if (pools == NULL || pools->entry_count == 0) {
		if (entry == NULL || pools != NULL) {
			diag_add(draft->diag, DIAG_ERROR, entry != NULL ? entry->position : nowhere,
				"there is no pool");
			diag_help(draft->diag, "add [pools.NAME] with [[pools.NAME.backends]]");
		}
		return;
	}
	count = pools->entry_count;
	if (count > CONFIG_POOLS_MAX) {
		report_too_many(builder, entry->position, "pools", CONFIG_POOLS_MAX);
	}
	draft->pools = alloc_list(builder, &count, CONFIG_POOLS_MAX, sizeof *draft->pools);
	for (size_t i = 0; i < count; i++) {
		if (check_pool_name(builder, &pools->entries[i])) {
			build_named_pool(
				builder, &draft->pools[draft->pool_count++], &pools->entries[i]);
		}
	}
}

static void build_listener(struct builder *builder, struct draft_listener *listener,
	const struct toml_value *value, const char *title)
{
	const struct config_root *root = builder->draft.root;
	const struct binding binding = {
		.fields = listener_fields,
		.title = title,
		.target = &listener->bound,
	};

	bind_defaults(listener_fields, &listener->bound);
	listener->bound.listener.idle_ms = root->idle_ms;
	listener->bound.listener.half_close_ms = root->half_close_ms;
	listener->position = value->position;
	if (!expect_element(builder, value, title)) {
		return;
	}
	listener->table = value->table;
	bind_table(&binding, value->table, builder->arena, builder->draft.diag);
	bind_missing(&binding, value->table, value->position, builder->draft.diag);
}

static void build_listeners(struct builder *builder, const struct toml_entry *entry)
{
	const struct toml_array *list =
		entry != NULL ? expect_list(builder, entry, "[[listeners]]") : NULL;
	struct draft *draft = &builder->draft;
	size_t count;

	if (list == NULL || list->value_count == 0) {
		if (entry == NULL || list != NULL) {
			diag_add(draft->diag, DIAG_ERROR, entry != NULL ? entry->position : nowhere,
				"there is no listener");
			diag_help(draft->diag, "add [[listeners]] with an address");
		}
		return;
	}
	count = list->value_count;
	if (count > CONFIG_LISTENERS_MAX) {
		report_too_many(builder, entry->position, "listeners", CONFIG_LISTENERS_MAX);
	}
	draft->listeners =
		alloc_list(builder, &count, CONFIG_LISTENERS_MAX, sizeof *draft->listeners);
	for (size_t i = 0; i < count; i++) {
		build_listener(builder, &draft->listeners[i], &list->values[i], "[[listeners]]");
	}
	draft->listener_count = (uint32_t)count;
}

static void build_full(struct builder *builder)
{
	builder->draft.named = true;
	build_pools(builder, toml_find(builder->root, "pools"));
	build_listeners(builder, toml_find(builder->root, "listeners"));
}

static void build_simple(struct builder *builder)
{
	struct draft *draft = &builder->draft;
	const struct toml_entry *listener = toml_find(builder->root, "listener");
	const struct toml_entry *balancer = toml_find(builder->root, "balancer");
	size_t one = 1;

	draft->pools = alloc_list(builder, &one, 1, sizeof *draft->pools);
	draft->listeners = alloc_list(builder, &one, 1, sizeof *draft->listeners);
	if (draft->pools == NULL || draft->listeners == NULL) {
		return;
	}
	draft->pool_count = 1;
	start_pool(builder, &draft->pools[0], default_name);
	if (balancer != NULL && expect_table(builder, balancer, "[balancer]") != NULL) {
		bind_pool(builder, &draft->pools[0], balancer->value.table, "[balancer]", NULL);
	}
	build_backends(
		builder, &draft->pools[0], toml_find(builder->root, "backends"), "[[backends]]");
	if (listener == NULL) {
		diag_add(draft->diag, DIAG_ERROR, nowhere, "there is no listener");
		diag_help(draft->diag, "add [listener] with an address");
	} else if (expect_table(builder, listener, "[listener]") != NULL) {
		draft->listener_count = 1;
		build_listener(builder, &draft->listeners[0], &listener->value, "[listener]");
	}
}

/*
 * A file that mixes the forms: what is there is looked at, to find all mistakes; what is missing is
 * not asked for.
 */
static void build_mixture(struct builder *builder)
{
	struct draft *draft = &builder->draft;
	const struct toml_entry *listener = toml_find(builder->root, "listener");
	const struct toml_entry *balancer = toml_find(builder->root, "balancer");
	const struct toml_entry *backends = toml_find(builder->root, "backends");
	const struct toml_entry *pools = toml_find(builder->root, "pools");
	const struct toml_entry *listeners = toml_find(builder->root, "listeners");
	struct draft_listener only = {.table = NULL};
	struct draft_pool pool = {.backends = NULL};

	start_pool(builder, &pool, default_name);
	if (balancer != NULL && expect_table(builder, balancer, "[balancer]") != NULL) {
		bind_pool(builder, &pool, balancer->value.table, "[balancer]", NULL);
	}
	if (backends != NULL) {
		build_backends(builder, &pool, backends, "[[backends]]");
	}
	if (listener != NULL && expect_table(builder, listener, "[listener]") != NULL) {
		build_listener(builder, &only, &listener->value, "[listener]");
	}
	draft->named = true;
	if (pools != NULL) {
		build_pools(builder, pools);
	}
	if (listeners != NULL) {
		build_listeners(builder, listeners);
	}
	draft->pool_count = 0; /* nothing is made of them */
	draft->listener_count = 0;
}

/* The first entry of the root that belongs to this form, or NULL. */
static const struct toml_entry *first_of_form(
	const struct toml_table *root, const char *const *keys)
{
	for (size_t i = 0; i < root->entry_count; i++) {
		for (const char *const *key = keys; *key != NULL; key++) {
			if (span_is(root->entries[i].key, *key)) {
				return &root->entries[i];
			}
		}
	}
	return NULL;
}

/* Builds the form that the file has. False when it has both. */
static bool build_form(struct builder *builder)
{
	static const char *const simple_keys[] = {"listener", "balancer", "backends", NULL};
	static const char *const full_keys[] = {"listeners", "pools", NULL};
	const struct toml_entry *simple = first_of_form(builder->root, simple_keys);
	const struct toml_entry *full = first_of_form(builder->root, full_keys);

	if (simple != NULL && full != NULL) {
		const bool simple_first = simple->position.line < full->position.line;
		const struct toml_entry *first = simple_first ? simple : full;
		const struct toml_entry *second = simple_first ? full : simple;

		diag_add(builder->draft.diag, DIAG_ERROR, second->position,
			"'%s' and '%s' (line %u) do not go together: a file has one form, not both",
			second->key.data, first->key.data, first->position.line);
		diag_help(builder->draft.diag,
			"the simple form has [listener], [balancer] and [[backends]]; the full "
			"form has [[listeners]] and [pools.NAME]");
		build_mixture(builder);
		return false;
	}
	if (full != NULL) {
		build_full(builder);
	} else {
		build_simple(builder);
	}
	return true;
}

/* Tables that both forms have; and what is in no form. */
static void build_root(struct builder *builder)
{
	static const char *const form_keys[] = {
		"listener", "balancer", "backends", "listeners", "pools", NULL};
	static const struct field no_fields[] = {{.key = NULL}};
	const char *tables[32] = {NULL};
	size_t table_count = 0;
	const struct binding top = {.fields = no_fields, .tables = tables};

	for (; form_keys[table_count] != NULL; table_count++) {
		tables[table_count] = form_keys[table_count];
	}
	for (const struct section *section = config_sections; section->path != NULL; section++) {
		const struct toml_entry *entry = toml_find(builder->root, section->path);
		void *target = (char *)builder->draft.root + section->target;
		char title[TITLE_MAX];

		if (section->form != FORM_BOTH) {
			continue;
		}
		(void)snprintf(title, sizeof title, "[%s]", section->path);
		tables[table_count++] = section->path;
		bind_defaults(section->fields, target);
		if (entry != NULL && expect_table(builder, entry, title) != NULL) {
			bind_table(
				&(struct binding){
					.fields = section->fields,
					.title = title,
					.target = target,
				},
				entry->value.table, builder->arena, builder->draft.diag);
		}
	}
	bind_table(&top, builder->root, builder->arena, builder->draft.diag);
}

/* Copies the drafts to where they stay. */
static struct config *finish(struct builder *builder)
{
	const struct draft *draft = &builder->draft;
	struct config *config = arena_alloc(builder->arena, sizeof *config);

	if (config == NULL) {
		return NULL;
	}
	*config = draft->root->config;
	config->listeners =
		arena_alloc_array(builder->arena, draft->listener_count, sizeof *config->listeners);
	config->pools = arena_alloc_array(builder->arena, draft->pool_count, sizeof *config->pools);
	if (config->listeners == NULL || config->pools == NULL) {
		return NULL;
	}
	for (uint32_t i = 0; i < draft->listener_count; i++) {
		config->listeners[config->listener_count++] = draft->listeners[i].bound.listener;
	}
	for (uint32_t i = 0; i < draft->pool_count; i++) {
		struct config_pool *pool = &config->pools[config->pool_count++];
		const struct draft_pool *source = &draft->pools[i];

		*pool = source->pool;
		pool->backends = arena_alloc_array(
			builder->arena, source->backend_count, sizeof *pool->backends);
		if (pool->backends == NULL) {
			return NULL;
		}
		for (uint32_t k = 0; k < source->backend_count; k++) {
			pool->backends[pool->backend_count++] = source->backends[k].backend;
		}
	}
	return config;
}

/* The names that nobody gave. False when there is no memory. */
static bool complete_names(struct builder *builder)
{
	struct draft *draft = &builder->draft;
	char text[ADDRESS_HOST_MAX + 8];

	for (uint32_t i = 0; i < draft->listener_count; i++) {
		struct config_listener *listener = &draft->listeners[i].bound.listener;

		if (listener->name == NULL) {
			listener->name = draft->named
				? copy_name(
					  builder, span_of(address_text(&listener->address, text)))
				: default_name;
		}
		if (listener->name == NULL) {
			return false;
		}
	}
	for (uint32_t i = 0; i < draft->pool_count; i++) {
		for (uint32_t k = 0; k < draft->pools[i].backend_count; k++) {
			struct config_backend *backend = &draft->pools[i].backends[k].backend;

			if (backend->name == NULL) {
				backend->name = copy_name(
					builder, span_of(address_text(&backend->address, text)));
			}
			if (backend->name == NULL) {
				return false;
			}
		}
	}
	return true;
}

struct config *config_build(const struct toml_table *root, struct arena *arena,
	struct arena *scratch, struct diag *diag)
{
	struct builder builder = {
		.draft = {.tree = root, .scratch = scratch, .diag = diag},
		.arena = arena,
		.root = root,
	};
	const struct toml_entry *metrics = toml_find(root, "metrics");
	struct config *config;

	builder.draft.root = arena_alloc(scratch, sizeof *builder.draft.root);
	if (builder.draft.root == NULL) {
		diag_out_of_memory(diag);
		return NULL;
	}
	build_root(&builder);
	if (metrics == NULL) {
		builder.draft.root->config.metrics.enabled = false;
	}
	if (build_form(&builder) && complete_names(&builder)) {
		draft_validate(&builder.draft);
	}
	config = finish(&builder);
	if (config == NULL) {
		diag_out_of_memory(diag);
	}
	return config;
}
