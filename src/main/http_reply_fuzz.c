/*
 * Feeds bytes to the reader of HTTP answers, once in one piece and once one by one: both must come
 * to the same end. One thread.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "main/http_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int feed(struct http_reply *reply, const char *bytes, size_t length, size_t step)
{
	int r = 0;

	reply_begin(reply);
	for (size_t at = 0; r == 0 && at < length; at += step) {
		r = reply_feed(reply, bytes + at, length - at < step ? length - at : step);
	}
	return r == 0 ? reply_end(reply) : r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct http_reply whole;
	static struct http_reply pieces;
	const char *bytes = (const char *)data;
	const int r = feed(&whole, bytes, size, size + 1);

	assert(feed(&pieces, bytes, size, 1) == r);
	assert(whole.length == pieces.length);
	if (r == 0) {
		assert(whole.status == pieces.status);
		assert(whole.length == 0 || memcmp(whole.body, pieces.body, whole.length) == 0);
	}
	reply_done(&whole);
	reply_done(&pieces);
	return 0;
}
