/*
 * JSON values into a page, by jansson.
 *
 * Threads: a page belongs to one at a time.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "observe/page.h"

/* A string; bytes that are no UTF-8 become U+FFFD. NULL when there is no memory. */
json_t *json_text(const char *text);

/* The same, and null for NULL or an empty text. */
json_t *json_text_or_null(const char *text);

/* Seconds, to the microsecond. */
json_t *json_seconds(uint64_t ns);

/* RFC 3339 in UTC; null for 0. */
json_t *json_time(uint64_t wall_ns);

/* Writes the value in one line and lets go of it; NULL fails the page. */
void json_add(struct page *page, json_t *value);
