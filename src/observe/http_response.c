#include "observe/http_response.h"

#include <assert.h>
#include <microhttpd.h>
#include <stdlib.h>

#include "observe/answer.h"

enum { STREAM_BYTES = 16 * 1024 }; /* that are made at once */

/* A large text on its way; freed by the library when nobody needs it any more. */
struct held_page {
	uint32_t *count; /* borrowed: of those that are held */
	char *text;      /* owned */
};

struct held_stream {
	struct answer_stream stream; /* owned */
};

static void add_header(struct MHD_Response *response, const char *name, const char *value)
{
	(void)MHD_add_response_header(response, name, value);
}

static void free_page(void *context)
{
	struct held_page *held = context;

	assert(*held->count > 0);
	(*held->count)--;
	free(held->text);
	free(held);
}

/* Takes the text. NULL when there is no memory. */
static struct MHD_Response *large_response(struct answer *answer, uint32_t *count)
{
	struct held_page *held = calloc(1, sizeof *held);
	struct MHD_Response *response;

	if (held == NULL) {
		return NULL;
	}
	*held = (struct held_page){.count = count, .text = answer->text};
	answer->text = NULL;
	(*count)++;
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		answer->length, held->text, free_page, held);
	if (response == NULL) {
		free_page(held);
	}
	return response;
}

static ssize_t read_stream(void *context, uint64_t position, char *text, size_t size)
{
	struct held_stream *held = context;
	const ssize_t n = held->stream.read(held->stream.context, text, size);

	(void)position;
	if (n > 0) {
		return n;
	}
	return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_stream(void *context)
{
	struct held_stream *held = context;

	held->stream.free(held->stream.context);
	free(held);
}

static struct MHD_Response *stream_response(struct answer *answer)
{
	struct held_stream *held = calloc(1, sizeof *held);
	struct MHD_Response *response;

	if (held == NULL) {
		return NULL;
	}
	held->stream = answer->stream;
	answer->stream.read = NULL;
	response = MHD_create_response_from_callback(
		MHD_SIZE_UNKNOWN, STREAM_BYTES, read_stream, held, free_stream);
	if (response == NULL) {
		free_stream(held);
	}
	return response;
}

static struct MHD_Response *small_response(struct answer *answer)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		answer->length, answer->text, MHD_RESPMEM_MUST_FREE);

	if (response != NULL) {
		answer->text = NULL;
	}
	return response;
}

static struct MHD_Response *make_response(struct answer *answer, uint32_t *count)
{
	if (answer->stream.read != NULL) {
		return stream_response(answer);
	}
	if (answer->text == NULL) {
		return NULL;
	}
	return count != NULL ? large_response(answer, count) : small_response(answer);
}

bool response_send(struct MHD_Connection *connection, struct answer *answer, uint32_t *count)
{
	struct MHD_Response *response = make_response(answer, count);
	bool sent = false;

	if (response != NULL) {
		add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
		add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
		if (answer->allow[0] != '\0') {
			add_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
		}
		if (answer->status == HTTP_UNAVAILABLE) {
			add_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
		}
		sent = MHD_queue_response(connection, (unsigned)answer->status, response) ==
			MHD_YES;
		MHD_destroy_response(response);
	}
	answer_done(answer);
	return sent;
}
