/*
 * The handlers of the rows in api.c. Private to observe/api*.c; the admin thread.
 */
#pragma once

#include "observe/api.h"
#include "observe/json.h"

/*
 * Parameters are pool, backend and, for sessions, listener and limit. A backend is named as
 * "name" or as "pool/name".
 */
struct answer api_status(const struct http_call *call);
struct answer api_backends(const struct http_call *call);
struct answer api_sessions(const struct http_call *call);

/* A POST. With wait=true the answer comes when it has been done, else when it has been taken. */
struct answer api_reload(const struct http_call *call);

/* A POST. The answer names the attempt; what becomes of it is told by the status. */
struct answer api_upgrade(const struct http_call *call);

/* Appends the value, which may be NULL: then, as without memory, the list is let go of: NULL. */
json_t *api_append(json_t *list, json_t *value);

/* Whether `wanted` (NULL: any) names the backend. */
bool api_is_backend(const char *wanted, const char *pool, const char *name);

/*
 * Whether there is what the parameters listener, pool and backend name. Else the answer that says
 * so: 404, with what may have been meant or what there is.
 */
bool api_knows_names(const struct http_call *call, struct answer *ret_refusal);

/* Takes the page, which becomes the answer. */
struct answer api_page(struct page *page);
