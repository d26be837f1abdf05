#include <string.h>

#include "base/array.h"
#include "base/testing.h"
#include "base/utf8.h"

static void characters_of_every_length_are_read(void **state)
{
	static const struct {
		const char *text;
		uint32_t character;
	} cases[] = {
		{"a", 'a'},
		{"\x7f", 0x7f},
		{"\xc2\x80", 0x80},
		{"\xdf\xbf", 0x7ff},
		{"\xe0\xa0\x80", 0x800},
		{"\xe2\x82\xac", 0x20ac},
		{"\xed\x9f\xbf", 0xd7ff},
		{"\xef\xbf\xbf", 0xffff},
		{"\xf0\x90\x80\x80", 0x10000},
		{"\xf4\x8f\xbf\xbf", 0x10ffff},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		const size_t length = strlen(cases[i].text);
		uint32_t character = 0;

		assert_int_equal(utf8_decode(cases[i].text, length, &character), length);
		assert_int_equal(character, cases[i].character);
		for (size_t cut = 0; cut < length; cut++) {
			assert_int_equal(utf8_decode(cases[i].text, cut, &character), 0);
		}
	}
	assert_int_equal(utf8_valid_length("\0", 1), 1);
}

static void what_is_no_character_is_refused(void **state)
{
	static const char *const texts[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2",
		"\xc2\x20", "\xe0\x9f\xbf", "\xe2\x82\x20", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xfe", "\xff"};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
		uint32_t character;

		assert_int_equal(utf8_decode(texts[i], strlen(texts[i]), &character), 0);
	}
}

static void the_valid_part_is_measured(void **state)
{
	(void)state;
	assert_int_equal(utf8_valid_length("a\xc3\xa9z", 4), 4);
	assert_int_equal(utf8_valid_length("a\xc3\xa9z\xff..", 7), 4);
	assert_int_equal(utf8_valid_length("a\xc3", 2), 1);
	assert_int_equal(utf8_valid_length("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(characters_of_every_length_are_read),
		cmocka_unit_test(what_is_no_character_is_refused),
		cmocka_unit_test(the_valid_part_is_measured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
