extern "C" {
#include "base/span.h"
}
#include <algorithm>
#include <cstdio>
#include <new>
#include <string_view>
#include <toml++/toml.h>

#include "config/toml.h"

extern "C" {
#include "base/arena.h"
}

namespace
{

void *allocate(struct arena *arena, size_t count, size_t size)
{
	void *memory = arena_alloc_array(arena, count, size);

	if (memory == nullptr) {
		throw std::bad_alloc();
	}
	return memory;
}

struct span copy_text(struct arena *arena, std::string_view text)
{
	const char *copy = arena_strndup(arena, text.data(), text.size());

	if (copy == nullptr) {
		throw std::bad_alloc();
	}
	return {copy, text.size()};
}

struct toml_position position_of(const toml::source_region &region)
{
	return {region.begin.line, region.begin.column};
}

bool comes_before(const struct toml_position &a, const struct toml_position &b)
{
	return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/*
 * What lies deeper is left out: no option is there, so the key at its top is reported anyway, and
 * the recursion here has an end that does not depend on the text.
 */
constexpr unsigned levels_max = 32;

struct toml_value convert(const toml::node &node, struct arena *arena, unsigned level);

struct toml_table *convert_table(const toml::table &source, struct arena *arena, unsigned level)
{
	auto *table =
		static_cast<struct toml_table *>(allocate(arena, 1, sizeof(struct toml_table)));

	table->entries = static_cast<struct toml_entry *>(
		allocate(arena, source.size(), sizeof(struct toml_entry)));
	for (const auto &[key, node] : source) {
		if (level == levels_max) {
			break;
		}
		struct toml_entry *entry = &table->entries[table->entry_count++];

		entry->key = copy_text(arena, key.str());
		entry->position = position_of(key.source());
		entry->value = convert(node, arena, level + 1);
	}
	/* The library keeps its tables sorted by key. */
	std::sort(table->entries, table->entries + table->entry_count,
		[](const struct toml_entry &a, const struct toml_entry &b) {
			return comes_before(a.position, b.position);
		});
	return table;
}

struct toml_array *convert_array(const toml::array &source, struct arena *arena, unsigned level)
{
	auto *array =
		static_cast<struct toml_array *>(allocate(arena, 1, sizeof(struct toml_array)));

	array->values = static_cast<struct toml_value *>(
		allocate(arena, source.size(), sizeof(struct toml_value)));
	for (const toml::node &node : source) {
		if (level == levels_max) {
			break;
		}
		array->values[array->value_count++] = convert(node, arena, level + 1);
	}
	return array;
}

struct toml_value convert(const toml::node &node, struct arena *arena, unsigned level)
{
	struct toml_value value = {};

	value.position = position_of(node.source());
	switch (node.type()) {
	case toml::node_type::table:
		value.type = TOML_TABLE;
		value.table = convert_table(*node.as_table(), arena, level);
		break;
	case toml::node_type::array:
		value.type = TOML_ARRAY;
		value.array = convert_array(*node.as_array(), arena, level);
		break;
	case toml::node_type::string:
		value.type = TOML_STRING;
		value.string = copy_text(arena, node.as_string()->get());
		break;
	case toml::node_type::integer:
		value.type = TOML_INTEGER;
		value.integer = node.as_integer()->get();
		break;
	case toml::node_type::floating_point:
		value.type = TOML_FLOAT;
		value.number = node.as_floating_point()->get();
		break;
	case toml::node_type::boolean:
		value.type = TOML_BOOLEAN;
		value.boolean = node.as_boolean()->get();
		break;
	case toml::node_type::none:
	case toml::node_type::date:
	case toml::node_type::time:
	case toml::node_type::date_time:
		value.type = TOML_DATE;
		break;
	}
	return value;
}

void fail(struct toml_failure *failure, struct toml_position position, std::string_view text)
{
	failure->out_of_memory = false;
	failure->position = position;
	(void)snprintf(failure->text, sizeof failure->text, "%.*s", static_cast<int>(text.size()),
		text.data());
}

} // namespace

const struct toml_table *toml_parse(
	const char *text, size_t length, struct arena *arena, struct toml_failure *ret_failure)
{
	try {
		const toml::table root = toml::parse(std::string_view(text, length));

		return convert_table(root, arena, 0);
	} catch (const toml::parse_error &error) {
		fail(ret_failure, position_of(error.source()), error.description());
	} catch (const std::bad_alloc &) {
		ret_failure->out_of_memory = true;
	} catch (const std::exception &error) {
		fail(ret_failure, {0, 0}, error.what());
	}
	return nullptr;
}

const struct toml_entry *toml_find(const struct toml_table *table, const char *key)
{
	for (size_t i = 0; i < table->entry_count; i++) {
		if (span_is(table->entries[i].key, key)) {
			return &table->entries[i];
		}
	}
	return nullptr;
}
