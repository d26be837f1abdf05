#include <string.h>

#include "base/testing.h"
#include "observe/prometheus.h"

static const char *labels_of(const char *key, const char *value)
{
	static char text[256];
	const size_t length = page_labels(text, sizeof text, key, value);

	assert_int_equal(length, strlen(text));
	return text;
}

static void expect_text(const struct page *page, const char *expected)
{
	assert_false(page->failed);
	assert_int_equal(page->length, strlen(expected));
	assert_memory_equal(page->text, expected, page->length);
}

static void labels_are_escaped(void **state)
{
	(void)state;
	assert_string_equal(labels_of("pool", "web"), "pool=\"web\"");
	assert_string_equal(labels_of("pool", ""), "pool=\"\"");
	assert_string_equal(labels_of("p", "a\\b\"c\nd"), "p=\"a\\\\b\\\"c\\nd\"");
	assert_string_equal(labels_of("p", "{},= \t'"), "p=\"{},= \t'\"");
	assert_string_equal(labels_of("p", "\xe2\x82\xac"), "p=\"\xe2\x82\xac\"");
	assert_string_equal(
		labels_of("p", "\xff\xe2\x82"), "p=\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void samples_have_all_forms(void **state)
{
	struct page page = page_begin();
	struct sample sample = {.name = "a_total", .suffix = "", .labels = ""};

	(void)state;
	page_metric(&page, "a_total", "counter", "What it is.");
	page_number(&page, &sample, 0);
	sample.key = "reason";
	sample.value = "end";
	page_number(&page, &sample, UINT64_MAX);
	sample.labels = "pool=\"web\"";
	sample.suffix = "_bucket";
	page_number(&page, &sample, 10);
	sample.key = NULL;
	page_seconds(&page, &sample, 1500000000);
	expect_text(&page,
		"# HELP a_total What it is.\n"
		"# TYPE a_total counter\n"
		"a_total 0\n"
		"a_total{reason=\"end\"} 18446744073709551615\n"
		"a_total_bucket{pool=\"web\",reason=\"end\"} 10\n"
		"a_total_bucket{pool=\"web\"} 1.5\n");
	page_done(&page);
}

static void seconds_are_exact(void **state)
{
	static const struct {
		uint64_t ns;
		const char *expected;
	} cases[] = {
		{0, "0"},
		{1, "0.000000001"},
		{100000, "0.0001"},
		{250000, "0.00025"},
		{1000000000, "1"},
		{10000000000, "10"},
		{1688169600250000000, "1688169600.25"},
		{UINT64_MAX, "18446744073.709551615"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[32];
		const size_t length = page_format_seconds(cases[i].ns, text);

		assert_int_equal(length, strlen(cases[i].expected));
		assert_memory_equal(text, cases[i].expected, length);
	}
}

static void a_page_grows(void **state)
{
	struct page page = page_begin();
	const struct sample sample = {.name = "a", .suffix = "", .labels = ""};

	(void)state;
	for (int i = 0; i < 100000; i++) {
		page_number(&page, &sample, 7);
	}
	assert_false(page.failed);
	assert_int_equal(page.length, 400000);
	assert_memory_equal(page.text + page.length - 4, "a 7\n", 4);
	page_done(&page);
	assert_null(page.text);
}

static void a_page_that_failed_takes_nothing_more(void **state)
{
	struct page page = page_begin();

	(void)state;
	page.failed = true;
	page_metric(&page, "a", "gauge", "b");
	assert_int_equal(page.length, 0);
	page_done(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(samples_have_all_forms),
		cmocka_unit_test(seconds_are_exact),
		cmocka_unit_test(a_page_grows),
		cmocka_unit_test(a_page_that_failed_takes_nothing_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
