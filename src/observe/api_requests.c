#include <stdlib.h>
#include <string.h>

#include "model/request.h"
#include "observe/api_internal.h"
#include "observe/http.h"

/* Takes the object. */
static struct answer answer_object(enum http_status status, json_t *object)
{
	struct page page = page_begin();
	struct answer answer;

	json_add(&page, object);
	answer = api_page(&page);
	if (answer.status == HTTP_OK) {
		answer.status = status;
	}
	return answer;
}

/* `ticket` is 0 where nobody waits for the answer. */
static struct answer post(const struct api *api, enum request_kind kind, uint64_t ticket)
{
	const struct request request = {.kind = kind, .ticket = ticket};

	if (!request_post(api->requests, &request)) {
		return answer_error(HTTP_UNAVAILABLE, "too many requests are under way");
	}
	if (ticket != 0) {
		return (struct answer){.status = HTTP_LATER};
	}
	return answer_object(HTTP_ACCEPTED, json_pack("{s:b}", "accepted", 1));
}

struct answer api_reload(const struct http_call *call)
{
	const char *wait = route_parameter(call, "wait");
	const bool waits = wait != NULL && strcmp(wait, "true") == 0;

	if (wait != NULL && !waits && strcmp(wait, "false") != 0) {
		return answer_error(HTTP_BAD_REQUEST, "wait: true or false is expected");
	}
	return post(call->context, REQUEST_RELOAD, waits ? call->ticket : 0);
}

struct answer api_upgrade(const struct http_call *call)
{
	return post(call->context, REQUEST_UPGRADE, call->ticket);
}

static struct answer refuse(const struct request *request)
{
	static const struct {
		enum http_status status;
		const char *reason; /* part of the interface: scripts read it, and so does ctl */
	} refusals[REQUEST_RESULT_COUNT] = {
		[REQUEST_INVALID] = {HTTP_UNPROCESSABLE, "invalid"},
		[REQUEST_NO_FILE] = {HTTP_UNPROCESSABLE, "no_file"},
		[REQUEST_NOT_PERMITTED] = {HTTP_UNPROCESSABLE, "not_permitted"},
		[REQUEST_IO] = {HTTP_UNPROCESSABLE, "io"},
		[REQUEST_LIMIT] = {HTTP_UNPROCESSABLE, "limit"},
		[REQUEST_UNKNOWN] = {HTTP_NOT_FOUND, "unknown"},
		[REQUEST_REFUSED] = {HTTP_CONFLICT, "refused"},
	};

	return answer_refusal(refusals[request->result].status, refusals[request->result].reason,
		request->text == NULL ? "refused" : request->text);
}

static struct answer answer_of(const struct request *request)
{
	switch (request->result) {
	case REQUEST_DONE:
		return answer_object(HTTP_OK,
			json_pack("{s:b, s:b, s:o}", "accepted", 1, "done", 1, "message",
				json_text_or_null(request->text)));
	case REQUEST_STARTED:
		return answer_object(HTTP_ACCEPTED,
			json_pack("{s:b, s:I}", "accepted", 1, "attempt",
				(json_int_t)request->number));
	case REQUEST_INVALID:
	case REQUEST_NO_FILE:
	case REQUEST_NOT_PERMITTED:
	case REQUEST_IO:
	case REQUEST_LIMIT:
	case REQUEST_UNKNOWN:
	case REQUEST_REFUSED:
	case REQUEST_RESULT_COUNT:
		break;
	}
	return refuse(request);
}

void api_collect(struct api *api)
{
	struct request request;

	while (request_collect(api->requests, &request)) {
		if (request.ticket != 0) {
			struct answer answer = answer_of(&request);

			http_answer(api->http, request.ticket, &answer);
		}
		free(request.text);
	}
}
