#include "base/utf8.h"

#include <stdbool.h>

#include "base/array.h"

/* How a character of so many bytes starts, and the smallest that needs so many. */
static const struct form {
	unsigned char mask;
	unsigned char lead;
	uint32_t smallest;
} forms[] = {
	{0x80, 0x00, 0},
	{0xe0, 0xc0, 0x80},
	{0xf0, 0xe0, 0x800},
	{0xf8, 0xf0, 0x10000},
};

static bool is_character(uint32_t character, uint32_t smallest)
{
	const bool surrogate = character >= 0xd800 && character <= 0xdfff;

	return character >= smallest && character <= 0x10ffff && !surrogate;
}

size_t utf8_decode(const char *text, size_t length, uint32_t *ret_character)
{
	const unsigned char *bytes = (const unsigned char *)text;

	for (size_t i = 0; i < ARRAY_COUNT(forms) && i < length; i++) {
		const struct form *form = &forms[i];
		uint32_t character;

		if ((bytes[0] & form->mask) != form->lead) {
			continue;
		}
		character = bytes[0] & (unsigned char)~form->mask;
		for (size_t k = 1; k <= i; k++) {
			if ((bytes[k] & 0xc0) != 0x80) {
				return 0;
			}
			character = character << 6 | (bytes[k] & 0x3f);
		}
		if (!is_character(character, form->smallest)) {
			return 0;
		}
		*ret_character = character;
		return i + 1;
	}
	return 0;
}

size_t utf8_valid_length(const char *text, size_t length)
{
	size_t done = 0;

	while (done < length) {
		uint32_t character;
		const size_t bytes = utf8_decode(text + done, length - done, &character);

		if (bytes == 0) {
			break;
		}
		done += bytes;
	}
	return done;
}
