#include "base/span.h"

#include <string.h>

struct span span_of(const char *text)
{
	return (struct span){text, strlen(text)};
}

bool span_equal(struct span a, struct span b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool span_is(struct span span, const char *text)
{
	return span_equal(span, span_of(text));
}

bool span_starts_with(struct span span, const char *prefix)
{
	return span_is(span_first(span, strlen(prefix)), prefix);
}

size_t span_find(struct span span, char wanted)
{
	const char *found = span.length > 0 ? memchr(span.data, wanted, span.length) : NULL;

	return found != NULL ? (size_t)(found - span.data) : span.length;
}

struct span span_first(struct span span, size_t count)
{
	return (struct span){span.data, count < span.length ? count : span.length};
}

struct span span_skip(struct span span, size_t count)
{
	if (count >= span.length) {
		return (struct span){span.data, 0};
	}
	return (struct span){span.data + count, span.length - count};
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span span)
{
	while (span.length > 0 && is_blank(span.data[0])) {
		span = span_skip(span, 1);
	}
	while (span.length > 0 && is_blank(span.data[span.length - 1])) {
		span.length--;
	}
	return span;
}

bool span_next_line(struct span *rest, struct span *ret_line)
{
	if (rest->length == 0) {
		return false;
	}
	*ret_line = span_first(*rest, span_find(*rest, '\n'));
	*rest = span_skip(*rest, ret_line->length + 1);
	return true;
}
