#include "observe/page.h"

#include <stdlib.h>
#include <string.h>

enum { PAGE_FIRST_BYTES = 4096 };

struct page page_begin(void)
{
	return (struct page){.text = NULL};
}

void page_done(struct page *page)
{
	free(page->text);
	*page = (struct page){.text = NULL};
}

static bool reserve(struct page *page, size_t bytes)
{
	size_t limit = page->limit == 0 ? PAGE_FIRST_BYTES : page->limit;
	char *text;

	if (page->failed) {
		return false;
	}
	if (page->length + bytes <= page->limit) {
		return true;
	}
	while (limit < page->length + bytes) {
		limit *= 2;
	}
	text = realloc(page->text, limit);
	if (text == NULL) {
		page->failed = true;
		return false;
	}
	page->text = text;
	page->limit = limit;
	return true;
}

void page_add(struct page *page, const char *bytes, size_t length)
{
	if (reserve(page, length)) {
		memcpy(page->text + page->length, bytes, length);
		page->length += length;
	}
}
