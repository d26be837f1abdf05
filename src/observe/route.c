#include "observe/route.h"

#include <stdio.h>
#include <string.h>

enum { REFUSAL_MAX = 512 };

static struct answer refuse(const struct site *site, enum http_status status, const char *text)
{
	char line[REFUSAL_MAX + 1];

	if (site->json) {
		return answer_error(status, text);
	}
	(void)snprintf(line, sizeof line, "%.*s\n", REFUSAL_MAX - 1, text);
	return answer_text(status, line);
}

/* Whether `word` is one of the words in `list`. */
static bool is_listed(const char *word, const char *list)
{
	const size_t length = strlen(word);

	while (*list != '\0') {
		const size_t next = strcspn(list, " ");

		if (next == length && memcmp(word, list, length) == 0) {
			return true;
		}
		list += next;
		list += strspn(list, " ");
	}
	return false;
}

static bool allows(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
		(strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* Adds a method to those that the path has. */
static void note_method(const struct route *route, char allow[static ANSWER_ALLOW_MAX])
{
	const size_t length = strlen(allow);

	(void)snprintf(allow + length, ANSWER_ALLOW_MAX - length, "%s%s%s", length > 0 ? ", " : "",
		route->method, strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
}

/* The route of the call, or NULL with the methods that its path has. */
static const struct route *find(
	const struct site *site, struct http_call *call, char allow[static ANSWER_ALLOW_MAX])
{
	allow[0] = '\0';
	for (uint32_t t = 0; t < site->table_count; t++) {
		const struct route_table *table = &site->tables[t];

		for (uint32_t i = 0; i < table->count; i++) {
			const struct route *route = &table->routes[i];

			if (strcmp(route->path, call->path) != 0) {
				continue;
			}
			if (allows(route, call->method)) {
				call->context = table->context;
				return route;
			}
			note_method(route, allow);
		}
	}
	return NULL;
}

/* Whether the row before says the same path: those of one path stand together. */
static bool is_repeated(const struct route_table *table, uint32_t index)
{
	return index > 0 && strcmp(table->routes[index - 1].path, table->routes[index].path) == 0;
}

static struct answer refuse_path(const struct site *site)
{
	char text[REFUSAL_MAX] = "no such path; there are";
	size_t length = strlen(text);

	for (uint32_t t = 0; t < site->table_count; t++) {
		const struct route_table *table = &site->tables[t];

		for (uint32_t i = 0; i < table->count && length < sizeof text; i++) {
			if (!is_repeated(table, i)) {
				length += (size_t)snprintf(text + length, sizeof text - length,
					" %s", table->routes[i].path);
			}
		}
	}
	return refuse(site, HTTP_NOT_FOUND, text);
}

static struct answer refuse_method(
	const struct site *site, const char allow[static ANSWER_ALLOW_MAX])
{
	char text[REFUSAL_MAX];
	struct answer answer;

	(void)snprintf(text, sizeof text, "only %s can be used on this path", allow);
	answer = refuse(site, HTTP_METHOD_NOT_ALLOWED, text);
	memcpy(answer.allow, allow, ANSWER_ALLOW_MAX);
	return answer;
}

/* The parameter that the route does not know, or NULL. */
static const char *unknown_parameter(const struct route *route, const struct http_call *call)
{
	for (uint32_t i = 0; route->parameters != NULL && i < call->query_count; i++) {
		if (!is_listed(call->query[i].name, route->parameters)) {
			return call->query[i].name;
		}
	}
	return NULL;
}

struct answer route_call(const struct site *site, struct http_call *call, bool *ret_large)
{
	char allow[ANSWER_ALLOW_MAX];
	const struct route *route = find(site, call, allow);
	const char *unknown;
	char text[REFUSAL_MAX];

	*ret_large = false;
	if (route == NULL) {
		return allow[0] == '\0' ? refuse_path(site) : refuse_method(site, allow);
	}
	if (call->query_count > QUERY_MAX) {
		return refuse(site, HTTP_BAD_REQUEST, "too many parameters");
	}
	unknown = unknown_parameter(route, call);
	if (unknown != NULL) {
		(void)snprintf(text, sizeof text, "unknown parameter '%.64s'; there is %s", unknown,
			*route->parameters == '\0' ? "none here" : route->parameters);
		return refuse(site, HTTP_BAD_REQUEST, text);
	}
	if (route->large && call->crowded) {
		return refuse(site, HTTP_UNAVAILABLE, "too many requests at once");
	}
	*ret_large = route->large;
	return route->answer(call);
}

const char *route_parameter(const struct http_call *call, const char *name)
{
	for (uint32_t i = 0; i < call->query_count && i < QUERY_MAX; i++) {
		if (strcmp(call->query[i].name, name) == 0) {
			return call->query[i].value;
		}
	}
	return NULL;
}
