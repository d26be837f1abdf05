#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/testing.h"
#include "main/http_reply.h"

/* Feeds the text in pieces of `step` bytes, and the end. */
static int feed(struct http_reply *reply, const char *text, size_t step)
{
	const size_t length = strlen(text);
	int r = 0;

	reply_begin(reply);
	for (size_t at = 0; r == 0 && at < length; at += step) {
		const size_t part = length - at < step ? length - at : step;

		r = reply_feed(reply, text + at, part);
	}
	return r == 0 ? reply_end(reply) : r;
}

static void answers_are_read_in_pieces_of_any_size(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
		const char *body;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello"},
		{"HTTP/1.1 200 OK\ncontent-length:5 \n\nhello", 200, "hello"},
		{"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, ""},
		{"HTTP/1.1 204\r\n\r\n", 204, ""},
		{"HTTP/1.0 200 OK\r\n\r\nall that\nthere is", 200, "all that\nthere is"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		 "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
			200, "abc0123456789"},
		{"HTTP/1.1 200 OK\r\nTRANSFER-ENCODING: Chunked\r\n\r\n0\r\nX: y\r\n\r\n", 200, ""},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: "
		 "2\r\n\r\nok",
			202, "ok"},
	};
	struct http_reply reply;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		for (size_t step = 1; step < 40; step++) {
			assert_int_equal(feed(&reply, cases[i].text, step), 0);
			assert_int_equal(reply.status, cases[i].status);
			assert_int_equal(reply.length, strlen(cases[i].body));
			assert_string_equal(reply.body == NULL ? "" : reply.body, cases[i].body);
			reply_done(&reply);
		}
	}
}

static void what_is_not_whole_is_an_error(void **state)
{
	static const char *const cases[] = {
		"",
		"HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n",
	};
	struct http_reply reply;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(feed(&reply, cases[i], 7), -EPROTO);
		reply_done(&reply);
	}
}

static void what_is_not_http_is_an_error(void **state)
{
	static const char *const cases[] = {
		"SSH-2.0-OpenSSH_9.2\r\n",
		"HTTP/2 200\r\n\r\n",
		"HTTP/1.1 20 OK\r\n\r\n",
		"HTTP/1.1 2000\r\n\r\n",
		"HTTP/1.1 099 x\r\n\r\n",
		"HTTP/1.1  200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
		"HTTP/1.1 200 OK\r\n: value\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5x\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello more",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
	};
	struct http_reply reply;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(feed(&reply, cases[i], 11), -EPROTO);
		reply_done(&reply);
	}
}

static void everything_has_a_limit(void **state)
{
	static char line[REPLY_LINE_MAX + 1];
	struct http_reply reply;
	int r = 0;

	(void)state;
	memset(line, 'a', REPLY_LINE_MAX);
	assert_int_equal(feed(&reply, line, 100), -EMSGSIZE);
	reply_begin(&reply);
	assert_int_equal(reply_feed(&reply, "HTTP/1.1 200 OK\r\n", 17), 0);
	for (int i = 0; r == 0 && i < REPLY_HEAD_MAX; i++) {
		r = reply_feed(&reply, "a: b\r\n", 6);
	}
	assert_int_equal(r, -EMSGSIZE);
	assert_int_equal(feed(&reply, "HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\n", 50),
		-EMSGSIZE);
	assert_int_equal(
		feed(&reply, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
			50),
		-EMSGSIZE);
	reply_done(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_are_read_in_pieces_of_any_size),
		cmocka_unit_test(what_is_not_whole_is_an_error),
		cmocka_unit_test(what_is_not_http_is_an_error),
		cmocka_unit_test(everything_has_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
