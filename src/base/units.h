/*
 * Durations and sizes as operators write them: "250ms", "5s", "1h"; "64KiB", "1MB".
 *
 * A whole number and a unit, nothing between them. Durations: ms, s, m, h, d. Sizes: B, KiB, MiB,
 * GiB (powers of 1024), KB, MB, GB (powers of 1000). Ranges are the business of the caller.
 *
 * Pure functions, any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UNITS_TEXT_MAX = 32 }; /* longest printed form, with the NUL */

/*
 * Parse the `length` bytes at `text`. Return NULL when they are a duration or a size, else a
 * constant sentence that says what is wrong with them.
 */
const char *duration_parse(const char *text, size_t length, uint64_t *ret_ms);
const char *size_parse(const char *text, size_t length, uint64_t *ret_bytes);

/*
 * What text that is none may have meant, as other programs write it: "5 sec", "1h30m", "64k",
 * "64 KiB", "1.5MB". A letter alone is a power of 1024, a number alone is bytes. Return false when
 * nothing is to be guessed.
 */
bool duration_guess(const char *text, size_t length, uint64_t *ret_ms);
bool size_guess(const char *text, size_t length, uint64_t *ret_bytes);

/*
 * Write the shortest text that parses to the same number, in the largest unit that divides it,
 * and return `text`, NUL-terminated.
 */
const char *duration_text(uint64_t ms, char text[static UNITS_TEXT_MAX]);
const char *size_text(uint64_t bytes, char text[static UNITS_TEXT_MAX]);
