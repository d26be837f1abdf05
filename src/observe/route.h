/*
 * Which function answers which request, as tables: a method, a path, what may be asked.
 *
 * Owner and threads: tables are constants; the rest belongs to the admin thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "observe/answer.h"

enum { QUERY_MAX = 8, ROUTE_TABLES_MAX = 2 };

struct query {
	const char *name;
	const char *value;
};

/* A request whose headers have been read. */
struct http_call {
	const char *method;
	const char *path;
	uint32_t query_count; /* more than QUERY_MAX: there are too many */
	struct query query[QUERY_MAX];
	bool crowded;    /* no further large answer can be held */
	uint64_t ticket; /* for http_answer(), when the answer is HTTP_LATER; never 0 */
	void *context;   /* the table's */
};

struct route {
	const char *method; /* "GET" stands for HEAD too */
	const char *path;
	const char *parameters; /* allowed in the query: words and spaces; NULL: they are ignored */
	bool large;             /* the answer takes memory worth counting */
	struct answer (*answer)(const struct http_call *call);
};

struct route_table {
	const struct route *routes;
	uint32_t count;
	void *context; /* borrowed */
};

/* All that one server serves. */
struct site {
	uint32_t table_count;
	struct route_table tables[ROUTE_TABLES_MAX];
	bool json; /* refusals are JSON, else text */
};

/*
 * Answers the call, or refuses it: 404, 405 with the methods that there are, 400 for a query that
 * the route does not know. *ret_large says whether the answer has to be counted.
 */
struct answer route_call(const struct site *site, struct http_call *call, bool *ret_large);

/* The value of a parameter, or NULL. */
const char *route_parameter(const struct http_call *call, const char *name);
