#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "main/demo_report.h"

struct page {
	struct demo_report report;
	FILE *file;
	char *text; /* owned */
	size_t length;
};

static void open_page(struct page *page, bool colour)
{
	page->text = NULL;
	page->file = open_memstream(&page->text, &page->length);
	assert_non_null(page->file);
	demo_report_init(&page->report, page->file, colour);
}

static void close_page(struct page *page)
{
	assert_int_equal(fclose(page->file), 0);
	free(page->text);
}

static struct demo_event change(const char *from, const char *to)
{
	struct demo_event event = {.failures = 3, .successes = 2, .sessions = 4};

	(void)snprintf(event.backend, sizeof event.backend, "beta");
	(void)snprintf(event.from, sizeof event.from, "%s", from);
	(void)snprintf(event.to, sizeof event.to, "%s", to);
	(void)snprintf(event.reason, sizeof event.reason, "refused");
	return event;
}

static void a_line_shows_rates_and_latencies(void **state)
{
	struct demo_interval interval = {.sessions = {100, 101, 99}};
	struct page page;

	(void)state;
	for (int i = 0; i < 100; i++) {
		demo_latency_add(&interval.latency, 10000);
	}
	open_page(&page, false);
	demo_report_tick(&page.report, 3000, &interval, 500, 7);
	assert_string_equal(page.text,
		"   3.0 s                         200    202    198     0.01     0.01        7\n");
	close_page(&page);
}

static void a_line_without_time_divides_by_no_zero(void **state)
{
	const struct demo_interval interval = {.sessions = {1, 0, 0}};
	struct page page;

	(void)state;
	open_page(&page, false);
	demo_report_tick(&page.report, 0, &interval, 0, 0);
	assert_non_null(strstr(page.text, "0.0 s"));
	close_page(&page);
}

static void each_change_says_why(void **state)
{
	struct demo_event event = change("healthy", "draining");
	struct page page;

	(void)state;
	open_page(&page, false);
	demo_report_transition(&page.report, 4000, &event);
	assert_string_equal(page.report.states[DEMO_VICTIM], "draining");
	event = change("draining", "unhealthy");
	demo_report_transition(&page.report, 5000, &event);
	event = change("unhealthy", "healthy");
	demo_report_transition(&page.report, 6000, &event);
	assert_string_equal(page.report.states[DEMO_VICTIM], "healthy");
	assert_string_equal(page.text,
		"   4.0 s   beta: healthy -> draining (3 failures in a row: refused; 4 sessions go "
		"on)\n"
		"   5.0 s   beta: draining -> unhealthy (its last session has ended)\n"
		"   6.0 s   beta: unhealthy -> healthy (2 successful probes in a row)\n");
	close_page(&page);
}

static void colours_follow_the_state(void **state)
{
	const struct demo_event event = change("healthy", "draining");
	const struct demo_interval interval = {.sessions = {1, 2, 3}};
	struct page page;

	(void)state;
	open_page(&page, true);
	demo_report_transition(&page.report, 0, &event);
	demo_report_tick(&page.report, 1000, &interval, 1000, 0);
	assert_non_null(strstr(page.text, "\033[32m     1\033[0m"));
	assert_non_null(strstr(page.text, "\033[33m     2\033[0m"));
	close_page(&page);
}

static void colours_need_a_terminal_and_no_veto(void **state)
{
	(void)state;
	assert_false(demo_report_wants_colour(-1, NULL, "xterm"));
	assert_false(demo_report_wants_colour(1, "1", "xterm"));
	assert_false(demo_report_wants_colour(1, NULL, "dumb"));
	assert_false(demo_report_wants_colour(1, NULL, NULL));
}

static void the_end_shows_every_check(void **state)
{
	static const struct demo_numbers numbers;
	struct demo_check checks[DEMO_CHECK_COUNT];
	struct page page;

	(void)state;
	for (int i = 0; i < DEMO_CHECK_COUNT; i++) {
		checks[i].held = i != 2;
		(void)snprintf(checks[i].text, sizeof checks[i].text, "sentence %d", i);
	}
	open_page(&page, false);
	demo_report_closing(&page.report, &numbers, checks);
	assert_non_null(strstr(page.text, "  ok     sentence 0\n"));
	assert_non_null(strstr(page.text, "  FAILED sentence 2\n"));
	assert_non_null(strstr(page.text, "all healthy again"));
	assert_null(strstr(page.text, "\033"));
	close_page(&page);
}

static void the_opening_names_every_address(void **state)
{
	static const struct demo_balancer balancer = {.port = 9000, .metrics_port = 9090};
	static const uint16_t ports[DEMO_BACKEND_COUNT] = {1001, 1002, 1003};
	struct page page;

	(void)state;
	open_page(&page, false);
	demo_report_opening(&page.report, &balancer, ports, 17);
	demo_report_head(&page.report);
	demo_report_say(&page.report, 1500, "%s speaks", "beta");
	assert_non_null(strstr(page.text, "17 clients"));
	assert_non_null(strstr(page.text, "clients --> 127.0.0.1:9000"));
	assert_non_null(strstr(page.text, "alpha 127.0.0.1:1001"));
	assert_non_null(strstr(page.text, "beta  127.0.0.1:1002"));
	assert_non_null(strstr(page.text, "gamma 127.0.0.1:1003"));
	assert_non_null(strstr(page.text, "http://127.0.0.1:9090/metrics"));
	assert_non_null(strstr(page.text, "\n   1.5 s   beta speaks\n"));
	close_page(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_shows_rates_and_latencies),
		cmocka_unit_test(a_line_without_time_divides_by_no_zero),
		cmocka_unit_test(each_change_says_why),
		cmocka_unit_test(colours_follow_the_state),
		cmocka_unit_test(colours_need_a_terminal_and_no_veto),
		cmocka_unit_test(the_end_shows_every_check),
		cmocka_unit_test(the_opening_names_every_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
