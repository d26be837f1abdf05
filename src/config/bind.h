/*
 * Binds parsed TOML to plain structs by tables of fields.
 *
 * One table row is the only place where an option is declared. The parser, the range check, the
 * default, the reload rule, the reference, the JSON Schema and the manual page all read it.
 *
 * Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/toml.h"

struct arena;
struct diag;

enum field_type {
	FIELD_BOOL,     /* bool */
	FIELD_UINT,     /* uint32_t, a number */
	FIELD_DURATION, /* uint64_t milliseconds, "250ms", "10s" */
	FIELD_SIZE,     /* uint64_t bytes, "64KiB", or the number 0 */
	FIELD_CHOICE,   /* uint32_t, the index of a word in `choices` */
	FIELD_STRING,   /* const char *, not empty; NULL when it is absent */
	FIELD_ADDRESS,  /* struct address */
	FIELD_RATIO,    /* double */
	FIELD_MODE,     /* uint32_t, permission bits, "0660" */
};

enum reload_rule {
	RELOAD_LIVE,    /* takes effect on reload */
	RELOAD_RESTART, /* a change takes a restart; a reload refuses it and says so */
};

/* What an address may be; bits of field.kinds. */
enum address_use {
	ADDRESS_USE_NAME = 1,
	ADDRESS_USE_ANY = 2,
	ADDRESS_USE_LOCAL = 4,
};

struct field {
	const char *key;
	enum field_type type;
	enum reload_rule reload;
	size_t offset;     /* with MEMBER() */
	size_t size;       /* with MEMBER(); checked against `type` when it is used */
	uint64_t min;      /* both inclusive; for a string, of its length in bytes */
	uint64_t max;      /* of a duration 0: the longest there is, 365 days */
	uint64_t fallback; /* the value of an absent key, for all that is a number */
	const char *fallback_address;
	const char *fallback_doc; /* the default in words, where the value does not say it */
	const char *unit;         /* of a plain number: "microseconds", "percent"; or NULL */
	const char *inherits;     /* the option that stands in for an absent key, "timeouts.idle" */
	bool off;                 /* a duration that may be "off" */
	bool required;
	unsigned kinds; /* of an address: enum address_use; a number is always allowed */
	const char *const *choices; /* NULL-terminated, for FIELD_CHOICE */
	const char *const *later;   /* NULL-terminated: words that a later version will know */
	const char *doc;            /* sentences for the manual */
};

#define MEMBER(type, name) .offset = offsetof(type, name), .size = sizeof(((type *)0)->name)

/* What is bound to where. `title` is the table as it is written, "[health]", for the messages. */
struct binding {
	const struct field *fields; /* ended by a NULL key */
	const char *const
		*tables; /* NULL, or NULL-terminated: keys that are the caller's business */
	const char *title;
	void *target;
};

/* The largest value of a number, the longest of a duration or a string. */
uint64_t field_max(const struct field *field);

/* Fills in the defaults, except where the field inherits. */
void bind_defaults(const struct field *fields, void *target);

/*
 * Stores what `table` says into the target. What it does not say stays as it is. Every mistake is
 * reported, not only the first, and leaves its member as it is.
 */
void bind_table(const struct binding *binding, const struct toml_table *table, struct arena *arena,
	struct diag *diag);

/* Reports the required fields that `table`, which starts at `position`, does not have. */
void bind_missing(const struct binding *binding, const struct toml_table *table,
	struct toml_position position, struct diag *diag);
