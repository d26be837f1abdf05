#include "observe/pages.h"

#include <stdlib.h>

#include "base/array.h"
#include "model/snapshot.h"
#include "observe/ready.h"

static struct answer metrics(const struct http_call *call)
{
	const struct pages *pages = call->context;
	struct page page = page_begin();

	metrics_write(&page, &pages->source);
	if (page.failed) {
		page_done(&page);
	}
	return (struct answer){
		.status = HTTP_OK,
		.type = "text/plain; version=0.0.4; charset=utf-8",
		.text = page.text,
		.length = page.length,
	};
}

static struct answer health(const struct http_call *call)
{
	(void)call;
	return answer_text(HTTP_OK, "ok\n");
}

static struct answer readiness(const struct http_call *call)
{
	const struct pages *pages = call->context;
	const char *refusal = ready_refusal(pages->source.shm, snapshot_current(pages->store));

	return refusal == NULL ? answer_text(HTTP_OK, "ready\n")
			       : answer_text(HTTP_UNAVAILABLE, refusal);
}

static const struct route routes[] = {
	{"GET", "/metrics", NULL, true, metrics},
	{"GET", "/healthz", NULL, false, health},
	{"GET", "/readyz", NULL, false, readiness},
};

struct route_table pages_routes(struct pages *pages)
{
	return (struct route_table){
		.routes = routes, .count = ARRAY_COUNT(routes), .context = pages};
}
