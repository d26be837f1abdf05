#include "observe/answer.h"

#include <stdlib.h>
#include <string.h>

#include "observe/json.h"

static const char type_of_text[] = "text/plain; charset=utf-8";
static const char type_of_json[] = "application/json";

struct answer answer_text(enum http_status status, const char *text)
{
	return (struct answer){
		.status = status,
		.type = type_of_text,
		.text = strdup(text),
		.length = strlen(text),
	};
}

struct answer answer_json(enum http_status status, char *text, size_t length)
{
	return (struct answer){
		.status = status, .type = type_of_json, .text = text, .length = length};
}

struct answer answer_error(enum http_status status, const char *text)
{
	return answer_refusal(status, NULL, text);
}

struct answer answer_refusal(enum http_status status, const char *reason, const char *text)
{
	struct page page = page_begin();

	json_add(&page, json_pack("{s:o, s:s*}", "error", json_text(text), "reason", reason));
	page_add(&page, "\n", 1);
	if (page.failed) {
		page_done(&page);
		return answer_json(status, NULL, 0);
	}
	return answer_json(status, page.text, page.length);
}

void answer_done(struct answer *answer)
{
	free(answer->text);
	if (answer->stream.read != NULL) {
		answer->stream.free(answer->stream.context);
	}
	*answer = (struct answer){.status = HTTP_LATER};
}
