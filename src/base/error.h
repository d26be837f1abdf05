/*
 * Why a setup step failed: an errno value and one line of text for the operator.
 *
 * A function that fails in setup fills one in and returns the negative errno. It never logs:
 * who calls it knows what the failure means.
 *
 * Threads: any; an error belongs to its caller.
 */
#pragma once

enum { ERROR_TEXT_MAX = 512 };

struct error {
	int code; /* errno value, > 0; 0 means that nothing was reported */
	char text[ERROR_TEXT_MAX];
};

/*
 * Formats the text, appends ": " and the description of `code` (an errno value, > 0), and
 * returns -code. `err` may be NULL: then only the code is returned.
 */
int error_set(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Like error_set(), without the description of `code`: for failures that are no system error. */
int error_say(struct error *err, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
