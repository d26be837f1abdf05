/*
 * All tables of the configuration file and their options, in the order of the manual.
 *
 * Threads: any; everything is constant.
 */
#pragma once

#include "config/bind.h"
#include "config/config.h"

/* One line per idea: a file has one listener and one pool, or named ones. */
enum section_form { FORM_BOTH, FORM_SIMPLE, FORM_FULL };

enum section_kind {
	SECTION_TABLE, /* [tcp] */
	SECTION_LIST,  /* [[listeners]] */
	SECTION_NAMED, /* [pools.NAME] */
};

struct section {
	const char *path; /* "tcp", "listeners", "pools.NAME.health" */
	enum section_kind kind;
	enum section_form form;
	const struct field *fields;
	size_t target;        /* of a SECTION_TABLE of both forms: offset in struct config_root */
	const char *inherits; /* the table that stands in for absent keys, "health" */
	const char *doc;
};

extern const struct section config_sections[]; /* ended by a NULL path */

/* What the top-level tables of both forms are bound to. */
struct config_root {
	struct config config; /* the first member: its fields have the same offset here */
	uint64_t connect_ms;
	uint64_t connect_total_ms;
	uint64_t backend_drain_ms;
	uint64_t idle_ms;
	uint64_t half_close_ms;
	struct config_health health;
};

/* What a table of a listener is bound to: the name of the pool becomes an index later. */
struct config_listener_draft {
	struct config_listener listener; /* the first member */
	const char *pool_name;
};

extern const struct field server_fields[];
extern const struct field timeouts_fields[];
extern const struct field tcp_fields[];
extern const struct field metrics_fields[];
extern const struct field admin_fields[];
extern const struct field logging_fields[];
extern const struct field access_log_fields[];
extern const struct field health_fields[];
extern const struct field pool_fields[];
extern const struct field backend_fields[];
extern const struct field listener_fields[];
