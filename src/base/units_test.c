#include <string.h>

#include "base/array.h"
#include "base/rng.h"
#include "base/testing.h"
#include "base/units.h"

struct good {
	const char *text;
	uint64_t number;
	const char *printed;
};

struct bad {
	const char *text;
	const char *part; /* of the sentence */
};

static void durations_are_read_and_printed(void **state)
{
	static const struct good cases[] = {
		{"0s", 0, "0s"},
		{"0d", 0, "0s"},
		{"1ms", 1, "1ms"},
		{"250ms", 250, "250ms"},
		{"1000ms", 1000, "1s"},
		{"5s", 5000, "5s"},
		{"90s", 90000, "90s"},
		{"0060s", 60000, "1m"},
		{"5m", 300000, "5m"},
		{"1h", 3600000, "1h"},
		{"24h", 86400000, "1d"},
		{"365d", UINT64_C(31536000000), "365d"},
		{"18446744073709551615ms", UINT64_MAX, "18446744073709551615ms"},
		{"18446744073709551s", UINT64_C(18446744073709551000), "18446744073709551s"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t ms = 4711;
		char text[UNITS_TEXT_MAX];

		assert_null(duration_parse(cases[i].text, strlen(cases[i].text), &ms));
		assert_true(ms == cases[i].number);
		assert_string_equal(duration_text(ms, text), cases[i].printed);
	}
}

static void sizes_are_read_and_printed(void **state)
{
	static const struct good cases[] = {
		{"0B", 0, "0B"},
		{"1B", 1, "1B"},
		{"64KiB", 65536, "64KiB"},
		{"1000B", 1000, "1KB"},
		{"1024B", 1024, "1KiB"},
		{"1MiB", 1 << 20, "1MiB"},
		{"3MB", 3000000, "3MB"},
		{"2GiB", UINT64_C(1) << 31, "2GiB"},
		{"5GB", UINT64_C(5000000000), "5GB"},
		{"17179869183GiB", UINT64_MAX - ((1 << 30) - 1), "17179869183GiB"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		uint64_t bytes = 4711;
		char text[UNITS_TEXT_MAX];

		assert_null(size_parse(cases[i].text, strlen(cases[i].text), &bytes));
		assert_true(bytes == cases[i].number);
		assert_string_equal(size_text(bytes, text), cases[i].printed);
	}
}

static void mistakes_are_named(void **state)
{
	static const struct bad durations[] = {
		{"", "whole number"},
		{"s", "whole number"},
		{"-1s", "whole number"},
		{"+1s", "whole number"},
		{" 1s", "whole number"},
		{"off", "whole number"},
		{"5", "unit is missing"},
		{"5 s", "the unit of a duration"},
		{"5s ", "the unit of a duration"},
		{"5S", "the unit of a duration"},
		{"1.5s", "the unit of a duration"},
		{"1h30m", "the unit of a duration"},
		{"5us", "the unit of a duration"},
		{"5KiB", "the unit of a duration"},
		{"18446744073709551616ms", "too large"},
		{"18446744073709551616", "too large"},
		{"99999999999999999999999999999s", "too large"},
		{"18446744073709552s", "too large"},
		{"213503982335d", "too large"},
	};
	static const struct bad sizes[] = {
		{"", "whole number"},
		{"KiB", "whole number"},
		{"64", "unit is missing"},
		{"64K", "the unit of a size"},
		{"64kib", "the unit of a size"},
		{"17179869184GiB", "too large"},
	};
	uint64_t number = 4711;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(durations); i++) {
		const char *mistake =
			duration_parse(durations[i].text, strlen(durations[i].text), &number);

		assert_non_null(mistake);
		assert_non_null(strstr(mistake, durations[i].part));
	}
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		const char *mistake = size_parse(sizes[i].text, strlen(sizes[i].text), &number);

		assert_non_null(mistake);
		assert_non_null(strstr(mistake, sizes[i].part));
	}
	assert_int_equal(number, 4711);
}

static void only_the_given_bytes_are_read(void **state)
{
	uint64_t ms = 0;

	(void)state;
	assert_null(duration_parse("15m and more", 3, &ms));
	assert_int_equal(ms, 15 * 60000);
	assert_non_null(duration_parse("1\0s", 3, &ms));
}

static void every_number_survives_printing(void **state)
{
	struct rng rng;

	(void)state;
	rng_init(&rng, 11);
	for (int i = 0; i < 20000; i++) {
		const uint64_t number = rng_next(&rng) >> rng_below(&rng, 64);
		char text[UNITS_TEXT_MAX];
		uint64_t again = 0;

		duration_text(number, text);
		assert_null(duration_parse(text, strlen(text), &again));
		assert_true(again == number);
		size_text(number, text);
		assert_null(size_parse(text, strlen(text), &again));
		assert_true(again == number);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_and_printed),
		cmocka_unit_test(sizes_are_read_and_printed),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(only_the_given_bytes_are_read),
		cmocka_unit_test(every_number_survives_printing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
