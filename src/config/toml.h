/*
 * TOML 1.0 as a tree in C, with the line and column of every key and value.
 *
 * The parser is toml++, a C++ library; toml.cc alone knows that, and lets no exception out. It has
 * no limit of its own on the parts of a dotted key and recurses over them, so that whoever calls
 * it must have passed the text through source_check() before.
 *
 * One thing no shim can mend: the library words a syntax error in functions that must not throw, so
 * that running out of memory just there ends the process. Accepted: it takes a few hundred bytes,
 * and a file that is invalid at the moment when the machine has none left.
 *
 * The tree and its strings live in the arena given. Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

#ifdef __cplusplus
extern "C" {
#endif

struct arena;

/* Both from 1; `column` counts characters, not bytes. Line 0: no place in the text. */
struct toml_position {
	uint32_t line;
	uint32_t column;
};

enum toml_type {
	TOML_TABLE,
	TOML_ARRAY,
	TOML_STRING,
	TOML_INTEGER,
	TOML_FLOAT,
	TOML_BOOLEAN,
	TOML_DATE, /* a date, a time or both: no option takes one, so the value is not kept */
};

struct toml_table;
struct toml_array;

struct toml_value {
	enum toml_type type;
	struct toml_position position;
	union {
		struct toml_table *table;
		struct toml_array *array;
		struct span string; /* a NUL follows, and may be inside as well */
		int64_t integer;
		double number;
		bool boolean;
	};
};

struct toml_entry {
	struct span key;               /* a NUL follows */
	struct toml_position position; /* of the key */
	struct toml_value value;
};

/* In the order of the text. */
struct toml_table {
	size_t entry_count;
	struct toml_entry *entries;
};

struct toml_array {
	size_t value_count;
	struct toml_value *values;
};

enum { TOML_FAILURE_MAX = 256 };

struct toml_failure {
	bool out_of_memory;
	struct toml_position position;
	char text[TOML_FAILURE_MAX]; /* what the parser says, in its words */
};

/* Returns the root, or NULL with *ret_failure filled in. */
const struct toml_table *toml_parse(
	const char *text, size_t length, struct arena *arena, struct toml_failure *ret_failure);

/* The entry of this key, or NULL. */
const struct toml_entry *toml_find(const struct toml_table *table, const char *key);

#ifdef __cplusplus
}
#endif
