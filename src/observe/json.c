#include "observe/json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

enum { TIME_TEXT_MAX = 32 };

static const char replacement[] = "\xef\xbf\xbd";
static const uint64_t NS_PER_S = 1000000000;
static const uint64_t NS_PER_US = 1000;
static const double US_PER_S = 1e6;

json_t *json_text(const char *text)
{
	const size_t length = strlen(text);
	const size_t valid = utf8_valid_length(text, length);
	size_t from = valid;
	size_t to = valid;
	char *copy;
	json_t *value;

	if (valid == length) {
		return json_stringn_nocheck(text, length);
	}
	copy = malloc(length * (sizeof replacement - 1));
	if (copy == NULL) {
		return NULL;
	}
	memcpy(copy, text, valid);
	while (from < length) {
		const size_t good = utf8_valid_length(text + from, length - from);

		memcpy(copy + to, text + from, good);
		from += good;
		to += good;
		if (from < length) {
			memcpy(copy + to, replacement, sizeof replacement - 1);
			to += sizeof replacement - 1;
			from++;
		}
	}
	value = json_stringn_nocheck(copy, to);
	free(copy);
	return value;
}

json_t *json_text_or_null(const char *text)
{
	return text == NULL || *text == '\0' ? json_null() : json_text(text);
}

json_t *json_seconds(uint64_t ns)
{
	const uint64_t us = ns / NS_PER_US;

	return json_real((double)us / US_PER_S);
}

json_t *json_time(uint64_t wall_ns)
{
	const time_t seconds = (time_t)(wall_ns / NS_PER_S);
	char text[TIME_TEXT_MAX];
	struct tm parts;

	if (wall_ns == 0 || gmtime_r(&seconds, &parts) == NULL ||
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0) {
		return json_null();
	}
	return json_string(text);
}

static int add_bytes(const char *bytes, size_t length, void *context)
{
	struct page *page = context;

	page_add(page, bytes, length);
	return page->failed ? -1 : 0;
}

void json_add(struct page *page, json_t *value)
{
	if (value == NULL ||
		json_dump_callback(value, add_bytes, page,
			JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) != 0) {
		page->failed = true;
	}
	json_decref(value);
}
