#include "observe/api.h"

#include <string.h>

#include "base/array.h"
#include "observe/api_internal.h"

static const struct route routes[] = {
	{"GET", "/v1/status", "", true, api_status},
	{"GET", "/v1/backends", "pool backend", true, api_backends},
	{"GET", "/v1/sessions", "pool backend listener limit", true, api_sessions},
	{"POST", "/v1/reload", "wait", false, api_reload},
	{"POST", "/v1/upgrade", "", false, api_upgrade},
};

struct route_table api_routes(struct api *api)
{
	return (struct route_table){.routes = routes, .count = ARRAY_COUNT(routes), .context = api};
}

json_t *api_append(json_t *list, json_t *value)
{
	if (list != NULL && json_array_append_new(list, value) == 0) {
		return list;
	}
	json_decref(list);
	return NULL;
}

bool api_is_backend(const char *wanted, const char *pool, const char *name)
{
	const size_t length = strlen(pool);

	return wanted == NULL || strcmp(wanted, name) == 0 ||
		(strncmp(wanted, pool, length) == 0 && wanted[length] == '/' &&
			strcmp(wanted + length + 1, name) == 0);
}

struct answer api_page(struct page *page)
{
	page_add(page, "\n", 1);
	if (page->failed) {
		page_done(page);
		return answer_error(HTTP_UNAVAILABLE, "out of memory");
	}
	return answer_json(HTTP_OK, page->text, page->length);
}
