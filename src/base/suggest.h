/*
 * "Did you mean ...?": the nearest of the words that would have been right.
 *
 * Pure functions, any thread.
 */
#pragma once

#include <stddef.h>

/* Longer words are never near to anything: a limit of the work, not of the language. */
enum { SUGGEST_WORD_MAX = 64 };

/* A search in progress; starts as {.word, .length} with the rest zero. */
struct suggest {
	const char *word; /* borrowed: what was written */
	size_t length;
	const char *nearest; /* borrowed: the best candidate so far, NULL when none is near */
	size_t distance;     /* of `nearest` */
};

/* Looks at one candidate, NUL-terminated, which must outlive the search. */
void suggest_consider(struct suggest *suggest, const char *candidate);

/*
 * The nearest of `candidates` (ended by NULL) to the `length` bytes at `word`, or NULL when none
 * is near enough to be what was meant.
 */
const char *suggest_word(const char *word, size_t length, const char *const *candidates);
