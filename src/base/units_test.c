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

static void what_others_write_is_guessed(void **state)
{
	static const struct good durations[] = {
		{"5 s", 0, "5s"},
		{"5S", 0, "5s"},
		{" 5sec ", 0, "5s"},
		{"2 minutes", 0, "2m"},
		{"1.5s", 0, "1500ms"},
		{"0.25 s", 0, "250ms"},
		{"1h30m", 0, "90m"},
		{"1h 30 min", 0, "90m"},
		{"1w", 0, "7d"},
	};
	static const struct good sizes[] = {
		{"64 KiB", 0, "64KiB"},
		{"64k", 0, "64KiB"},
		{"64K", 0, "64KiB"},
		{"64kib", 0, "64KiB"},
		{"64kb", 0, "64KB"},
		{"65536", 0, "64KiB"},
		{"1.5M", 0, "1536KiB"},
		{"2 g", 0, "2GiB"},
		{"100 bytes", 0, "100B"},
	};
	static const char *const no_durations[] = {"", "5", "5us", "s", "-5s", "1.0005s", "1h30",
		"5 parsecs", "off", "99999999999999999999s", "9999999999999999999h", "1.2.3s"};
	static const char *const no_sizes[] = {"", "k", "-1k", "64x", "0.3B", "64KiB/s", "10 20",
		"1k 5", "1.0.0.1:80", "99999999999999999999"};
	char text[UNITS_TEXT_MAX];
	uint64_t number;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(durations); i++) {
		assert_true(duration_guess(durations[i].text, strlen(durations[i].text), &number));
		assert_string_equal(duration_text(number, text), durations[i].printed);
	}
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		assert_true(size_guess(sizes[i].text, strlen(sizes[i].text), &number));
		assert_string_equal(size_text(number, text), sizes[i].printed);
	}
	for (size_t i = 0; i < ARRAY_COUNT(no_durations); i++) {
		assert_false(duration_guess(no_durations[i], strlen(no_durations[i]), &number));
	}
	for (size_t i = 0; i < ARRAY_COUNT(no_sizes); i++) {
		assert_false(size_guess(no_sizes[i], strlen(no_sizes[i]), &number));
	}
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
		cmocka_unit_test(what_others_write_is_guessed),
		cmocka_unit_test(only_the_given_bytes_are_read),
		cmocka_unit_test(every_number_survives_printing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
