#include "main/http_reply.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIRST_ROOM = 4096, INFORMATIONAL_END = 200, NO_CONTENT = 204, NOT_MODIFIED = 304 };

void reply_begin(struct http_reply *reply)
{
	*reply = (struct http_reply){.state = REPLY_STATUS};
}

void reply_done(struct http_reply *reply)
{
	free(reply->body);
	reply->body = NULL;
}

/* One byte more than the content: for the NUL. */
static int make_room(struct http_reply *reply, size_t length)
{
	size_t room = reply->room == 0 ? FIRST_ROOM : reply->room;
	char *body;

	if (length > REPLY_BODY_MAX - reply->length) {
		return -EMSGSIZE;
	}
	if (reply->length + length < reply->room) {
		return 0;
	}
	while (room <= reply->length + length) {
		room *= 2;
	}
	body = realloc(reply->body, room);
	if (body == NULL) {
		return -ENOMEM;
	}
	reply->body = body;
	reply->room = room;
	return 0;
}

static int add_body(struct http_reply *reply, const char *bytes, size_t length)
{
	const int r = make_room(reply, length);

	if (r == 0) {
		memcpy(reply->body + reply->length, bytes, length);
		reply->length += length;
		reply->body[reply->length] = '\0';
	}
	return r;
}

static bool is_digit(char letter)
{
	return letter >= '0' && letter <= '9';
}

/* "HTTP/1.1 200 OK" */
static int on_status(struct http_reply *reply, const char *line)
{
	if (strncmp(line, "HTTP/1.", 7) != 0 || !is_digit(line[7]) || line[8] != ' ' ||
		!is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
		(line[12] != ' ' && line[12] != '\0') || line[9] == '0') {
		return -EPROTO;
	}
	reply->status = (unsigned)(line[9] - '0') * 100 + (unsigned)(line[10] - '0') * 10 +
		(unsigned)(line[11] - '0');
	reply->state = REPLY_HEADER;
	return 0;
}

/* A whole number in the base 10 or 16, at least one digit; returns what follows it, or NULL. */
static const char *parse_number(const char *text, unsigned base, uint64_t *ret_number)
{
	uint64_t number = 0;
	const char *at = text;

	for (;; at++) {
		unsigned digit;

		if (is_digit(*at)) {
			digit = (unsigned)(*at - '0');
		} else if (base == 16 && (*at | 0x20) >= 'a' && (*at | 0x20) <= 'f') {
			digit = (unsigned)((*at | 0x20) - 'a') + 10;
		} else {
			break;
		}
		if (number > (UINT64_MAX - digit) / base) {
			return NULL;
		}
		number = number * base + digit;
	}
	*ret_number = number;
	return at == text ? NULL : at;
}

/* The value of the header if the line is that of `name`, else NULL. */
static const char *value_of(const char *line, const char *name)
{
	const size_t length = strlen(name);

	if (strncasecmp(line, name, length) != 0 || line[length] != ':') {
		return NULL;
	}
	line += length + 1;
	return line + strspn(line, " \t");
}

/* The empty line: what comes now follows from the headers. */
static int on_head(struct http_reply *reply)
{
	if (reply->chunked && reply->has_length) {
		return -EPROTO;
	}
	if (reply->status < INFORMATIONAL_END) {
		reply->state = REPLY_STATUS; /* the answer itself is still to come */
		reply->chunked = false;
		reply->has_length = false;
	} else if (reply->status == NO_CONTENT || reply->status == NOT_MODIFIED) {
		reply->state = REPLY_COMPLETE;
	} else if (reply->chunked) {
		reply->state = REPLY_CHUNK_SIZE;
	} else if (reply->has_length) {
		reply->state = reply->left == 0 ? REPLY_COMPLETE : REPLY_BODY;
	} else {
		reply->state = REPLY_UNTIL_END;
	}
	return 0;
}

static int on_header(struct http_reply *reply, const char *line)
{
	const char *value;

	if (*line == '\0') {
		return on_head(reply);
	}
	if (*line == ':' || strchr(line, ':') == NULL) {
		return -EPROTO;
	}
	value = value_of(line, "Content-Length");
	if (value != NULL) {
		uint64_t length;
		const char *rest = parse_number(value, 10, &length);

		if (rest == NULL || rest[strspn(rest, " \t")] != '\0' ||
			(reply->has_length && reply->left != length)) {
			return -EPROTO;
		}
		reply->has_length = true;
		reply->left = length;
		return length > REPLY_BODY_MAX ? -EMSGSIZE : 0;
	}
	value = value_of(line, "Transfer-Encoding");
	if (value != NULL) {
		if (strcasecmp(value, "chunked") != 0) {
			return -EPROTO;
		}
		reply->chunked = true;
	}
	return 0;
}

/* "1a3" and perhaps extensions */
static int on_chunk_size(struct http_reply *reply, const char *line)
{
	const char *rest = parse_number(line, 16, &reply->left);

	if (rest == NULL || (*rest != '\0' && *rest != ';' && *rest != ' ')) {
		return -EPROTO;
	}
	if (reply->left > REPLY_BODY_MAX) {
		return -EMSGSIZE;
	}
	reply->head_bytes = 0; /* the limit is for each line here */
	reply->state = reply->left == 0 ? REPLY_TRAILER : REPLY_CHUNK;
	return 0;
}

static int on_line(struct http_reply *reply, const char *line)
{
	switch (reply->state) {
	case REPLY_STATUS:
		return on_status(reply, line);
	case REPLY_HEADER:
		return on_header(reply, line);
	case REPLY_CHUNK_SIZE:
		return on_chunk_size(reply, line);
	case REPLY_CHUNK_END:
		reply->state = REPLY_CHUNK_SIZE;
		return *line == '\0' ? 0 : -EPROTO;
	case REPLY_TRAILER:
		if (*line == '\0') {
			reply->state = REPLY_COMPLETE;
		}
		return 0;
	case REPLY_BODY:
	case REPLY_UNTIL_END:
	case REPLY_CHUNK:
	case REPLY_COMPLETE:
		break;
	}
	return -EPROTO;
}

/* Takes one byte of a line, which ends with LF or CR LF. */
static int take_letter(struct http_reply *reply, char letter)
{
	size_t length = reply->line_length;

	reply->head_bytes++;
	if (letter != '\n') {
		if (length + 1 >= REPLY_LINE_MAX || reply->head_bytes > REPLY_HEAD_MAX) {
			return -EMSGSIZE;
		}
		if (letter == '\0') {
			return -EPROTO;
		}
		reply->line[length] = letter;
		reply->line_length++;
		return 0;
	}
	if (length > 0 && reply->line[length - 1] == '\r') {
		length--;
	}
	reply->line[length] = '\0';
	reply->line_length = 0;
	return on_line(reply, reply->line);
}

/* Takes what belongs to the body; *ret_taken is how much that was. */
static int take_body(struct http_reply *reply, const char *bytes, size_t length, size_t *ret_taken)
{
	int r;

	if (reply->state != REPLY_UNTIL_END && length > reply->left) {
		length = (size_t)reply->left;
	}
	r = add_body(reply, bytes, length);
	if (r < 0) {
		return r;
	}
	*ret_taken = length;
	if (reply->state == REPLY_UNTIL_END) {
		return 0;
	}
	reply->left -= length;
	if (reply->left == 0) {
		reply->state = reply->state == REPLY_CHUNK ? REPLY_CHUNK_END : REPLY_COMPLETE;
	}
	return 0;
}

static bool is_body(enum reply_state state)
{
	return state == REPLY_BODY || state == REPLY_CHUNK || state == REPLY_UNTIL_END;
}

int reply_feed(struct http_reply *reply, const char *bytes, size_t length)
{
	int r = 0;

	while (r == 0 && length > 0) {
		size_t taken = 1;

		if (is_body(reply->state)) {
			r = take_body(reply, bytes, length, &taken);
		} else if (reply->state == REPLY_COMPLETE) {
			r = -EPROTO;
		} else {
			r = take_letter(reply, *bytes);
		}
		bytes += taken;
		length -= taken;
	}
	return r;
}

int reply_end(struct http_reply *reply)
{
	if (reply->state == REPLY_UNTIL_END) {
		reply->state = REPLY_COMPLETE;
	}
	return reply->state == REPLY_COMPLETE ? 0 : -EPROTO;
}
