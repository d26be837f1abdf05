/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
 *
 * Pure functions, any thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Decodes the character at the start of the `length` bytes at `text`. Returns how many bytes it
 * takes, 1 to 4, or 0 when they are no valid character (or none).
 */
size_t utf8_decode(const char *text, size_t length, uint32_t *ret_character);

/* How many bytes from the start are valid; `length` when all are. */
size_t utf8_valid_length(const char *text, size_t length);
