/*
 * What a request over HTTP is answered with: a text, a stream, or "later".
 *
 * Owner and threads: a value on the admin thread; its text or stream is owned by it until the
 * server has taken it, or answer_done().
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

enum { ANSWER_ALLOW_MAX = 32 };

/* HTTP's numbers, those that we use. */
enum http_status {
	HTTP_LATER = 0, /* no answer yet: see http_answer() */
	HTTP_OK = 200,
	HTTP_ACCEPTED = 202,
	HTTP_BAD_REQUEST = 400,
	HTTP_NOT_FOUND = 404,
	HTTP_METHOD_NOT_ALLOWED = 405,
	HTTP_CONFLICT = 409,
	HTTP_UNPROCESSABLE = 422,
	HTTP_INTERNAL_ERROR = 500,
	HTTP_UNAVAILABLE = 503,
	HTTP_TIMEOUT = 504,
};

/* A body that is made while it is sent. */
struct answer_stream {
	/* Writes up to `size` bytes, at least one; 0: that was all; negative: it cannot go on. */
	ssize_t (*read)(void *context, char *text, size_t size);
	void (*free)(void *context);
	void *context; /* owned */
};

struct answer {
	enum http_status status;
	const char *type; /* of the content: a constant */
	char *text; /* owned, from malloc(); NULL: there is a stream, or there was no memory */
	size_t length;
	struct answer_stream stream;  /* read == NULL: none */
	char allow[ANSWER_ALLOW_MAX]; /* the methods of a path; empty: not told */
};

/* A copy of the text. */
struct answer answer_text(enum http_status status, const char *text);

/* {"error": text}; the text may be anything. */
struct answer answer_error(enum http_status status, const char *text);

/* {"error": text, "reason": reason}: with a word for scripts. */
struct answer answer_refusal(enum http_status status, const char *reason, const char *text);

/* Takes the text, which is JSON; NULL: there was no memory. */
struct answer answer_json(enum http_status status, char *text, size_t length);

/* Frees what was not handed on. */
void answer_done(struct answer *answer);
