#include "base/suggest.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * Edits (one character added, left out, replaced, or swapped with its neighbour) that turn `a`
 * into `b`. Both have at most SUGGEST_WORD_MAX bytes; the case of letters does not count.
 */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][SUGGEST_WORD_MAX + 1];
	size_t *before = rows[0]; /* two rows up */
	size_t *above = rows[1];
	size_t *row = rows[2];

	for (size_t k = 0; k <= b_length; k++) {
		above[k] = k;
		before[k] = 0;
	}
	for (size_t i = 1; i <= a_length; i++) {
		size_t *free_row = before;

		row[0] = i;
		for (size_t k = 1; k <= b_length; k++) {
			row[k] = above[k - 1] + !same(a[i - 1], b[k - 1]);
			row[k] = smaller(row[k], smaller(above[k], row[k - 1]) + 1);
			if (i > 1 && k > 1 && same(a[i - 1], b[k - 2]) &&
				same(a[i - 2], b[k - 1])) {
				row[k] = smaller(row[k], before[k - 2] + 1);
			}
		}
		before = above;
		above = row;
		row = free_row;
	}
	return above[b_length];
}

void suggest_consider(struct suggest *suggest, const char *candidate)
{
	const size_t length = strlen(candidate);
	const size_t longer = length > suggest->length ? length : suggest->length;
	size_t distance;

	if (longer > SUGGEST_WORD_MAX || suggest->length == 0) {
		return;
	}
	distance = edit_distance(suggest->word, suggest->length, candidate, length);

	/* A third of the letters may be wrong; of short words, one. */
	if (distance > (longer < 3 ? 1 : longer / 3) || distance >= length) {
		return;
	}
	if (suggest->nearest == NULL || distance < suggest->distance) {
		suggest->nearest = candidate;
		suggest->distance = distance;
	}
}

const char *suggest_word(const char *word, size_t length, const char *const *candidates)
{
	struct suggest suggest = {.word = word, .length = length};

	for (; *candidates != NULL; candidates++) {
		suggest_consider(&suggest, *candidates);
	}
	return suggest.nearest;
}
