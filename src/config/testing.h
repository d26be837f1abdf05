/*
 * What the unit tests of this folder share: loading a text, and what was said about it.
 *
 * Unit tests only; one thread.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "config/config.h"
#include "config/diag.h"

/* All that `write` writes, to be freed. */
static inline char *written_by(void (*write)(FILE *file))
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	write(file);
	assert_int_equal(fclose(file), 0);
	if (text == NULL) {
		abort(); /* a stream that was closed in order has left its text */
	}
	return text;
}

/* The messages as `loble check` prints them, to be freed. Inlined, it confuses gcc 12. */
__attribute__((noinline, unused)) static char *messages_of(const struct diag *diag)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	diag_print(diag, file);
	assert_int_equal(fclose(file), 0);
	if (text == NULL) {
		abort(); /* a stream that was closed in order has left its text */
	}
	return text;
}

/* Loads a text that must be valid; shows what is not. */
static inline struct config *load_valid(const char *text)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_text(text, strlen(text), "test.toml", diag);

	if (config == NULL) {
		char *messages = messages_of(diag);

		print_message("%s\n%s\n", text, messages);
		free(messages);
	}
	assert_non_null(config);
	assert_int_equal(diag_errors(diag), 0);
	diag_free(diag);
	return config;
}

/* The messages about a text that must be refused, to be freed. */
static inline char *complaints_about(const char *text, size_t length)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_text(text, length, "test.toml", diag);
	char *messages;

	assert_null(config);
	assert_true(diag_errors(diag) > 0);
	messages = messages_of(diag);
	diag_free(diag);
	return messages;
}

static inline void assert_contains(const char *text, const char *part)
{
	if (strstr(text, part) == NULL) {
		fail_msg("\"%s\" is not in:\n%s", part, text);
	}
}

/* A text that must be refused, with this in the messages. */
static inline void assert_complains(const char *text, const char *part)
{
	char *messages = complaints_about(text, strlen(text));

	assert_contains(messages, part);
	free(messages);
}

/* The same, for a text that is complete but for these lines under the only listener. */
#define WITH_LISTENER "\n[listener]\naddress = \":9000\"\n"
#define WITH_BACKEND  "\n[[backends]]\naddress = \"10.0.0.1:80\"\n"
