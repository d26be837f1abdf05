/*
 * Bytes with a length: text from outside that ends where it ends, and not at a NUL.
 *
 * A span borrows; whoever made it knows from whom. Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct span {
	const char *data; /* borrowed; NULL only when `length` is 0 */
	size_t length;
};

/* The whole of a NUL-terminated text. */
struct span span_of(const char *text);

bool span_equal(struct span a, struct span b);
bool span_is(struct span span, const char *text);
bool span_starts_with(struct span span, const char *prefix);

/* The index of the first `wanted`, or the length when there is none. */
size_t span_find(struct span span, char wanted);

/* The first `count` bytes, and what is left after them; both cut at the end. */
struct span span_first(struct span span, size_t count);
struct span span_skip(struct span span, size_t count);

/* Without blanks, tabs, carriage returns and newlines at both ends. */
struct span span_trim(struct span span);

/*
 * Takes the next line off `*rest`, without its newline. False when nothing is left.
 */
bool span_next_line(struct span *rest, struct span *ret_line);
