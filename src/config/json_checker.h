/*
 * Whether a text is JSON (RFC 8259): for the tests of what we write by hand.
 *
 * Unit tests only; pure.
 */
#pragma once

#include <stdbool.h>
#include <string.h>

static const char *json_value_end(const char *at);

static inline const char *json_skip_blanks(const char *at)
{
	return at == NULL ? NULL : at + strspn(at, " \t\r\n");
}

/* Each of these gives the place after what it reads, or NULL. */
static inline const char *json_string_end(const char *at)
{
	for (at++; *at != '"'; at++) {
		if ((unsigned char)*at < 0x20) {
			return NULL;
		}
		if (*at == '\\') {
			at++;
			if (*at == 'u' && strspn(at + 1, "0123456789abcdefABCDEF") < 4) {
				return NULL;
			}
			if (*at == '\0' || strchr("\"\\/bfnrtu", *at) == NULL) {
				return NULL;
			}
		}
	}
	return at + 1;
}

static inline const char *json_members_end(const char *at, char close, bool keys)
{
	at = json_skip_blanks(at + 1);
	if (*at == close) {
		return at + 1;
	}
	while (at != NULL) {
		if (keys) {
			at = *at == '"' ? json_skip_blanks(json_string_end(at)) : NULL;
			at = at != NULL && *at == ':' ? json_skip_blanks(at + 1) : NULL;
		}
		at = at != NULL ? json_skip_blanks(json_value_end(at)) : NULL;
		if (at != NULL && *at == close) {
			return at + 1;
		}
		at = at != NULL && *at == ',' ? json_skip_blanks(at + 1) : NULL;
	}
	return NULL;
}

static inline const char *json_value_end(const char *at)
{
	static const char *const words[] = {"true", "false", "null"};

	switch (*at) {
	case '"':
		return json_string_end(at);
	case '{':
		return json_members_end(at, '}', true);
	case '[':
		return json_members_end(at, ']', false);
	default:
		break;
	}
	for (int i = 0; i < 3; i++) {
		if (strncmp(at, words[i], strlen(words[i])) == 0) {
			return at + strlen(words[i]);
		}
	}
	return strspn(at, "0123456789") > 0 ? at + strspn(at, "0123456789.eE+-") : NULL;
}

static inline bool json_is_valid(const char *text)
{
	const char *end = json_skip_blanks(json_value_end(json_skip_blanks(text)));

	return end != NULL && *end == '\0';
}
