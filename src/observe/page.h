/*
 * A text that grows: what a client of the HTTP server reads. A page that ran out of memory
 * swallows what follows and says so at the end.
 *
 * Owner and threads: the caller; one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct page {
	char *text; /* owned; from malloc() */
	size_t length;
	size_t limit;
	bool failed; /* no memory: the page is not whole */
};

/* Returns an empty page. */
struct page page_begin(void);

/* Frees the text. */
void page_done(struct page *page);

void page_add(struct page *page, const char *bytes, size_t length);
