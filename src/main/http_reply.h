/*
 * Reads one answer of an HTTP/1.1 server from the bytes as they come: status and body.
 *
 * Strict: what is not understood is an error, and so is an answer that ends too early, so that half
 * a list is never taken for a whole one. Pure: it opens and reads nothing.
 *
 * Owner and threads: the caller; one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	REPLY_LINE_MAX = 8 * 1024,  /* of a line of the head */
	REPLY_HEAD_MAX = 32 * 1024, /* of the whole head, and of what follows the last chunk */
	REPLY_BODY_MAX = 1024 * 1024 * 1024, /* of the body */
};

enum reply_state {
	REPLY_STATUS, /* its first line is expected */
	REPLY_HEADER,
	REPLY_BODY,       /* `left` more bytes */
	REPLY_UNTIL_END,  /* as much as there is */
	REPLY_CHUNK_SIZE, /* a line */
	REPLY_CHUNK,      /* `left` more bytes */
	REPLY_CHUNK_END,  /* an empty line */
	REPLY_TRAILER,
	REPLY_COMPLETE,
};

struct http_reply {
	enum reply_state state;
	unsigned status;
	bool chunked;
	bool has_length;
	uint64_t left;
	size_t head_bytes;
	size_t line_length;
	char line[REPLY_LINE_MAX];
	char *body; /* owned, from malloc(); NUL-terminated; NULL while it is empty */
	size_t length;
	size_t room;
};

void reply_begin(struct http_reply *reply);

/*
 * Takes the bytes. Returns 0, or -EPROTO when this is no HTTP, -EMSGSIZE when it is too long, or
 * -ENOMEM; then it is over. Bytes behind the end are an error.
 */
int reply_feed(struct http_reply *reply, const char *bytes, size_t length);

/* The server has closed. Returns 0 when the answer is whole, else -EPROTO. */
int reply_end(struct http_reply *reply);

void reply_done(struct http_reply *reply);
