#include "base/testing.h"
#include "main/demo_event.h"

static void a_change_of_health_is_read_whole(void **state)
{
	struct demo_event event;

	(void)state;
	demo_event_read("{\"time\":\"2026-11-24T01:48:45.237370Z\",\"level\":\"info\","
			"\"event\":\"backend_health\",\"pool\":\"default\",\"backend\":\"beta\","
			"\"from\":\"healthy\",\"to\":\"draining\",\"reason\":\"refused\","
			"\"cause\":\"traffic\",\"failures\":3,\"successes\":0,\"threshold\":3,"
			"\"sessions\":17,\"generation\":1}",
		&event);
	assert_int_equal(event.kind, DEMO_EVENT_HEALTH);
	assert_int_equal(event.wall_ns, 1795484925237370000);
	assert_string_equal(event.backend, "beta");
	assert_string_equal(event.from, "healthy");
	assert_string_equal(event.to, "draining");
	assert_string_equal(event.reason, "refused");
	assert_int_equal(event.failures, 3);
	assert_int_equal(event.successes, 0);
	assert_int_equal(event.sessions, 17);
}

static void other_lines_are_told_apart(void **state)
{
	struct demo_event event;

	(void)state;
	demo_event_read("{\"time\":\"x\",\"level\":\"info\",\"event\":\"started\"}", &event);
	assert_int_equal(event.kind, DEMO_EVENT_STARTED);
	assert_int_equal(event.wall_ns, 0);
	demo_event_read("{\"event\":\"stopped\",\"sessions_cut\":2}", &event);
	assert_int_equal(event.kind, DEMO_EVENT_STOPPED);
	assert_int_equal(event.sessions_cut, 2);
	demo_event_read("{\"event\":\"listener_opened\",\"listener\":\"default\"}", &event);
	assert_int_equal(event.kind, DEMO_EVENT_OTHER);
	demo_event_read("loble: error: 127.0.0.1:80: Permission denied", &event);
	assert_int_equal(event.kind, DEMO_EVENT_NO_EVENT);
	demo_event_read("", &event);
	assert_int_equal(event.kind, DEMO_EVENT_NO_EVENT);
}

static void broken_lines_do_no_harm(void **state)
{
	struct demo_event event;

	(void)state;
	demo_event_read("{\"event\":\"backend_health\",\"backend\":\"", &event);
	assert_int_equal(event.kind, DEMO_EVENT_HEALTH);
	assert_string_equal(event.backend, "");
	demo_event_read("{\"event\":\"backend_health\",\"backend\":"
			"\"a_name_that_is_longer_than_any_that_the_demo_has\"}",
		&event);
	assert_string_equal(event.backend, "");
	demo_event_read("{\"sessions\":\"many\",\"failures\":", &event);
	assert_int_equal(event.kind, DEMO_EVENT_OTHER);
	assert_int_equal(event.sessions, 0);
	assert_int_equal(event.failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_change_of_health_is_read_whole),
		cmocka_unit_test(other_lines_are_told_apart),
		cmocka_unit_test(broken_lines_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
