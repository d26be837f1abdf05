#include "base/testing.h"
#include "observe/json.h"

static void expect(json_t *value, const char *text)
{
	struct page page = page_begin();

	json_add(&page, value);
	assert_false(page.failed);
	page_add(&page, "", 1);
	assert_string_equal(page.text, text);
	page_done(&page);
}

static void a_string_is_always_valid(void **state)
{
	(void)state;
	expect(json_text(""), "\"\"");
	expect(json_text("a\"b\\c\nd\x01"), "\"a\\\"b\\\\c\\nd\\u0001\"");
	expect(json_text("caf\xc3\xa9"), "\"caf\xc3\xa9\"");
	expect(json_text("\xff"), "\"\xef\xbf\xbd\"");
	expect(json_text("a\xc3(\xf0\x9f"), "\"a\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\"");
	expect(json_text_or_null(NULL), "null");
	expect(json_text_or_null(""), "null");
	expect(json_text_or_null("x"), "\"x\"");
}

static void times_are_what_people_and_programs_read(void **state)
{
	(void)state;
	expect(json_time(0), "null");
	expect(json_time(1688169600250000000), "\"2023-07-01T00:00:00Z\"");
	expect(json_seconds(0), "0.0");
	expect(json_seconds(1234567890), "1.234567");
	expect(json_seconds(86400ULL * 365 * 1000000000), "31536000.0");
}

static void no_memory_fails_the_page(void **state)
{
	struct page page = page_begin();

	(void)state;
	json_add(&page, NULL);
	assert_true(page.failed);
	page_done(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_string_is_always_valid),
		cmocka_unit_test(times_are_what_people_and_programs_read),
		cmocka_unit_test(no_memory_fails_the_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
