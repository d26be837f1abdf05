#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "config/diag.h"
#include "config/draft.h"

/* One use of something that may be used once. */
struct use {
	const char *key; /* equal keys are the same thing */
	struct toml_position position;
	uint32_t order; /* of its owner in the text */
	bool *reported; /* of its owner: one mistake is said once */
};

struct uses {
	struct use *list;
	size_t count;
};

static struct toml_position position_of(const struct toml_table *table, const char *key)
{
	const struct toml_entry *entry = table != NULL ? toml_find(table, key) : NULL;

	return entry != NULL ? entry->value.position : (struct toml_position){0};
}

static struct toml_position position_or(
	const struct toml_table *table, const char *key, const char *other)
{
	return toml_find(table, key) != NULL ? position_of(table, key) : position_of(table, other);
}

static int by_key(const void *left, const void *right)
{
	const struct use *a = left;
	const struct use *b = right;
	const int order = strcmp(a->key, b->key);

	if (order != 0) {
		return order;
	}
	return a->order < b->order ? -1 : a->order > b->order;
}

/* `what` is used: "address"; `where`: "in pool 'db'". */
static void report_twice(
	struct draft *draft, struct uses *uses, const char *what, const char *where)
{
	const struct use *first = NULL;

	if (uses->count > 1) {
		qsort(uses->list, uses->count, sizeof *uses->list, by_key);
	}
	for (size_t i = 0; i < uses->count; i++) {
		const struct use *use = &uses->list[i];

		if (first == NULL || strcmp(first->key, use->key) != 0) {
			first = use;
			continue;
		}
		if (*use->reported) {
			continue;
		}
		*use->reported = true;
		diag_add(draft->diag, DIAG_ERROR, use->position, "the %s '%s' is used twice%s",
			what, use->key, where);
		if (first->position.line > 0) {
			diag_help(draft->diag, "first defined here: line %u", first->position.line);
		}
	}
}

static bool alloc_uses(struct draft *draft, struct uses *uses, size_t max)
{
	uses->count = 0;
	uses->list = arena_alloc_array(draft->scratch, max, sizeof *uses->list);
	if (uses->list == NULL) {
		diag_out_of_memory(draft->diag);
	}
	return uses->list != NULL;
}

/* The same text for the same endpoint: names of hosts do not know capitals. */
static const char *endpoint(struct draft *draft, const struct address *address)
{
	char text[ADDRESS_HOST_MAX + 8];
	char *copy = arena_strdup(draft->scratch, address_text(address, text));

	if (copy == NULL) {
		diag_out_of_memory(draft->diag);
	} else if (address->kind == ADDRESS_NAME) {
		for (char *c = copy; *c != '\0'; c++) {
			*c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
		}
	}
	return copy;
}

static void add_use(struct uses *uses, struct use use)
{
	if (use.key != NULL) {
		uses->list[uses->count++] = use;
	}
}

/* An address to listen on; ":9000" takes the port of both families. */
static void add_listen(
	struct draft *draft, struct uses *uses, const struct address *address, struct use use)
{
	struct address each = *address;
	char text[ADDRESS_HOST_MAX + 8];

	if (address->kind != ADDRESS_ANY) {
		use.key = endpoint(draft, address);
		add_use(uses, use);
		return;
	}
	each.kind = ADDRESS_NAME; /* only to be printed */
	(void)snprintf(each.host, sizeof each.host, "0.0.0.0");
	use.key = endpoint(draft, &each);
	add_use(uses, use);
	(void)snprintf(text, sizeof text, "[::]:%u", address->port);
	use.key = arena_strdup(draft->scratch, text);
	add_use(uses, use);
}

/* Writes the key of all addresses with the port of `key`, if it is one of them. */
static bool wildcard_of(const char *key, char text[static ADDRESS_HOST_MAX + 8])
{
	const char *all = *key == '[' ? "[::]" : "0.0.0.0";
	const char *port = strrchr(key, ':');

	if (strncmp(key, "unix:", 5) == 0 || port == NULL) {
		return false;
	}
	(void)snprintf(text, ADDRESS_HOST_MAX + 8, "%s%s", all, port);
	return strcmp(text, key) != 0;
}

static int key_order(const void *left, const void *right)
{
	return strcmp(((const struct use *)left)->key, ((const struct use *)right)->key);
}

/* The kernel gives an address to one of them alone. `uses` is sorted by now. */
static void report_covered(struct draft *draft, const struct uses *uses)
{
	char text[ADDRESS_HOST_MAX + 8];
	const struct use wanted = {.key = text};

	for (size_t i = 0; i < uses->count; i++) {
		const struct use *one = &uses->list[i];
		const struct use *all = wildcard_of(one->key, text)
			? bsearch(&wanted, uses->list, uses->count, sizeof wanted, key_order)
			: NULL;
		const struct use *later;

		if (all == NULL) {
			continue;
		}
		later = one->order > all->order ? one : all;
		if (*later->reported) {
			continue;
		}
		*later->reported = true;
		diag_add(draft->diag, DIAG_ERROR, later->position,
			"the address '%s' is used twice: it is one of '%s'", one->key, all->key);
		diag_help(draft->diag, "first defined here: line %u",
			(later == one ? all : one)->position.line);
	}
}

static void check_listen_addresses(struct draft *draft, struct uses *uses, bool *reported)
{
	const struct config *config = &draft->root->config;
	const struct toml_entry *metrics = toml_find(draft->tree, "metrics");

	uses->count = 0;
	for (uint32_t i = 0; i < draft->listener_count; i++) {
		const struct draft_listener *listener = &draft->listeners[i];
		const struct address *address = &listener->bound.listener.address;

		if (address->kind != ADDRESS_UNSET) {
			add_listen(draft, uses, address,
				(struct use){
					.position = position_of(listener->table, "address"),
					.order = i,
					.reported = &reported[i],
				});
		}
	}
	if (config->metrics.enabled && metrics != NULL && metrics->value.type == TOML_TABLE) {
		add_listen(draft, uses, &config->metrics.address,
			(struct use){
				.position = toml_find(metrics->value.table, "address") != NULL
					? position_of(metrics->value.table, "address")
					: metrics->position,
				.order = draft->listener_count,
				.reported = &reported[draft->listener_count],
			});
	}
	report_twice(draft, uses, "address", "");
	report_covered(draft, uses);
}

/*
 * What remembers whether a name was reported. One that nobody gave is the address: it shares the
 * memory of that. The first `count` of `reported` are of addresses, the others of names.
 */
static bool *memory_of_name(
	const struct toml_table *table, bool *reported, uint32_t count, uint32_t index)
{
	return toml_find(table, "name") != NULL ? &reported[count + index] : &reported[index];
}

static void check_listener_names(struct draft *draft, struct uses *uses, bool *reported)
{
	uses->count = 0;
	for (uint32_t i = 0; i < draft->listener_count; i++) {
		const struct draft_listener *listener = &draft->listeners[i];

		if (listener->table != NULL && listener->bound.listener.name[0] != '\0') {
			add_use(uses,
				(struct use){
					.key = listener->bound.listener.name,
					.position = position_or(listener->table, "name", "address"),
					.order = i,
					.reported = memory_of_name(listener->table, reported,
						draft->listener_count + 1, i),
				});
		}
	}
	report_twice(draft, uses, "name", " by listeners");
}

static void check_listeners(struct draft *draft)
{
	const size_t max = 2 * ((size_t)draft->listener_count + 1);
	bool *reported = arena_alloc_array(draft->scratch, max, sizeof *reported);
	struct uses uses;

	if (reported == NULL) {
		diag_out_of_memory(draft->diag);
	} else if (alloc_uses(draft, &uses, max)) {
		check_listen_addresses(draft, &uses, reported);
		check_listener_names(draft, &uses, reported);
	}
}

static void check_name_length(struct draft *draft, const char *name, struct toml_position position)
{
	if (strlen(name) > CONFIG_NAME_MAX) {
		diag_add(draft->diag, DIAG_ERROR, position,
			"the address is longer than 127 bytes and cannot be the name as well");
		diag_help(draft->diag, "give it a shorter 'name'");
	}
}

static void check_backends(struct draft *draft, struct draft_pool *pool)
{
	const size_t max = pool->backend_count;
	bool *reported = arena_alloc_array(draft->scratch, 2 * max, sizeof *reported);
	char where[CONFIG_NAME_MAX + 32];
	struct uses addresses;
	struct uses names;

	if (reported == NULL) {
		diag_out_of_memory(draft->diag);
		return;
	}
	if (!alloc_uses(draft, &addresses, max) || !alloc_uses(draft, &names, max)) {
		return;
	}
	(void)snprintf(where, sizeof where, " in pool '%s'", pool->pool.name);
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const struct draft_backend *backend = &pool->backends[i];
		struct use use = {.order = i, .reported = &reported[i]};

		if (backend->backend.address.kind == ADDRESS_UNSET) {
			continue;
		}
		use.position = position_of(backend->table, "address");
		use.key = endpoint(draft, &backend->backend.address);
		add_use(&addresses, use);
		use.position = position_or(backend->table, "name", "address");
		use.key = backend->backend.name;
		use.reported = memory_of_name(backend->table, reported, pool->backend_count, i);
		add_use(&names, use);
		check_name_length(draft, use.key, use.position);
	}
	report_twice(draft, &addresses, "address", where);
	report_twice(draft, &names, "name", where);
}

/* The names of the pools, as many as fit. */
static void list_pools(const struct draft *draft, char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (uint32_t i = 0; i < draft->pool_count && used < size; i++) {
		used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "",
			draft->pools[i].pool.name);
	}
}

static void report_no_pool(struct draft *draft, const struct draft_listener *listener)
{
	const char *name = listener->bound.pool_name;
	char pools[256];

	list_pools(draft, pools, sizeof pools);
	if (name == NULL) {
		diag_add(draft->diag, DIAG_ERROR, listener->position,
			"[[listeners]] has no 'pool', and there are several");
	} else {
		diag_add(draft->diag, DIAG_ERROR, position_of(listener->table, "pool"),
			"there is no pool '%s'", name);
	}
	diag_help(draft->diag, "the pools are: %s", pools);
}

/* Finds the pool of each listener. */
static void connect_pools(struct draft *draft)
{
	for (uint32_t i = 0; i < draft->listener_count; i++) {
		struct draft_listener *listener = &draft->listeners[i];
		const char *name = listener->bound.pool_name;
		uint32_t pool = 0;

		if (listener->table == NULL || draft->pool_count == 0) {
			continue; /* reported before */
		}
		if (name == NULL && toml_find(listener->table, "pool") != NULL) {
			continue; /* not a valid name: reported before */
		}
		if (name != NULL) {
			while (pool < draft->pool_count &&
				strcmp(draft->pools[pool].pool.name, name) != 0) {
				pool++;
			}
		}
		if (pool == draft->pool_count || (name == NULL && draft->pool_count > 1)) {
			report_no_pool(draft, listener);
			continue;
		}
		listener->bound.listener.pool = pool;
		draft->pools[pool].used = true;
	}
}

static void warn_of_pool(struct draft *draft, const struct draft_pool *pool)
{
	uint64_t weights = 0;

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		weights += pool->backends[i].backend.weight;
	}
	if (pool->backend_count > 0 && weights == 0) {
		diag_add(draft->diag, DIAG_WARNING,
			draft->named ? pool->position : pool->backends[0].position,
			"all backends of pool '%s' have weight 0: it takes no new sessions",
			pool->pool.name);
	}
	if (!pool->used && draft->listener_count > 0) {
		diag_add(draft->diag, DIAG_WARNING, pool->position, "no listener uses pool '%s'",
			pool->pool.name);
	}
}

/* It is a path, not an address, and there is always one. */
static void check_admin_socket(struct draft *draft)
{
	const char *path = draft->root->config.admin.socket;
	const struct toml_entry *admin = toml_find(draft->tree, "admin");

	if (path == NULL || admin == NULL || admin->value.type != TOML_TABLE) {
		return;
	}
	if (strcmp(path, "off") == 0) {
		diag_add(draft->diag, DIAG_ERROR, position_of(admin->value.table, "socket"),
			"'socket' in [admin]: \"off\" is not allowed here");
		diag_help(draft->diag, "write a path, or nothing for the default place");
	} else if (strncmp(path, "unix:", 5) == 0 || *path == '@') {
		diag_add(draft->diag, DIAG_ERROR, position_of(admin->value.table, "socket"),
			"'socket' in [admin]: a path is expected, not an address");
		diag_help(draft->diag, "write the path alone, such as \"/run/loble/admin.sock\"");
	}
}

void draft_validate(struct draft *draft)
{
	check_admin_socket(draft);
	check_listeners(draft);
	for (uint32_t i = 0; i < draft->pool_count; i++) {
		check_backends(draft, &draft->pools[i]);
	}
	connect_pools(draft);
	if (diag_errors(draft->diag) > 0) {
		return; /* what looks odd may be the consequence of a mistake */
	}
	for (uint32_t i = 0; i < draft->pool_count; i++) {
		warn_of_pool(draft, &draft->pools[i]);
	}
}
