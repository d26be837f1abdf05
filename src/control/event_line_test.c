#include <string.h>

#include "base/log.h"
#include "base/testing.h"
#include "control/event_line.h"
#include "model/slot.h"

static char last[LOG_LINE_MAX + 1];

static void keep(enum log_level level, const char *line, size_t length, void *context)
{
	(void)level;
	(void)context;
	memcpy(last, line, length);
	last[length] = '\0';
}

static const char *line_of(const struct event *event)
{
	last[0] = '\0';
	event_line(event, NULL);
	return last;
}

static int set_up(void **state)
{
	(void)state;
	log_set_up(LOG_DEBUG, LOG_FORMAT_TEXT, keep, NULL);
	return 0;
}

static void assert_says(const char *line, const char *what)
{
	if (strstr(line, what) == NULL) {
		fail_msg("\"%s\" is not in: %s", what, line);
	}
}

static void a_transition_says_both_states_and_the_numbers(void **state)
{
	const struct event event = {
		.kind = EVENT_BACKEND_HEALTH,
		.cause = CAUSE_TRAFFIC,
		.from = HEALTH_HEALTHY,
		.to = HEALTH_DRAINING,
		.failures = 3,
		.threshold = 3,
		.sessions = 17,
		.hold_down_ms = 2000,
		.reason = "refused",
		.pool = "web",
		.name = "10.0.0.1:8080",
	};
	const char *line = line_of(&event);

	(void)state;
	assert_says(line, "event=backend_health");
	assert_says(line, "level=warn");
	assert_says(line, "pool=web");
	assert_says(line, "backend=10.0.0.1:8080");
	assert_says(line, "from=healthy");
	assert_says(line, "to=draining");
	assert_says(line, "reason=refused");
	assert_says(line, "failures=3");
	assert_says(line, "threshold=3");
	assert_says(line, "sessions=17");
	assert_says(line, "cause=traffic");
	assert_says(line, "hold_down_ms=2000");
}

static void a_recovery_is_no_warning(void **state)
{
	const struct event event = {
		.kind = EVENT_BACKEND_HEALTH,
		.cause = CAUSE_PROBE,
		.from = HEALTH_UNHEALTHY,
		.to = HEALTH_HEALTHY,
		.successes = 2,
	};
	const char *line = line_of(&event);

	(void)state;
	assert_says(line, "level=info");
	assert_says(line, "successes=2");
	assert_says(line, "cause=probe");
}

static void a_pool_without_a_healthy_backend_is_an_error(void **state)
{
	struct event event = {.kind = EVENT_POOL_FALLBACK, .to = 1, .pool = "db"};

	(void)state;
	assert_says(line_of(&event), "level=error");
	assert_says(last, "pool=db");
	event.to = 0;
	event.from = 1;
	assert_says(line_of(&event), "level=info");
}

static void a_listener_is_no_backend(void **state)
{
	const struct event event = {.kind = EVENT_LISTENER_OPENED, .name = "in", .pool = "web"};

	(void)state;
	assert_says(line_of(&event), "listener=in");
	assert_null(strstr(last, "backend="));
}

static void every_kind_has_a_line_or_is_said_elsewhere(void **state)
{
	(void)state;
	for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
		const struct event event = {.kind = (enum event_kind)kind, .detail = "why"};
		const bool elsewhere =
			kind == EVENT_PROCESS_STARTED || kind == EVENT_PROCESS_STOPPED;

		(void)line_of(&event);
		assert_int_equal(last[0] == '\0', elsewhere);
		if (!elsewhere) {
			assert_says(last, event_kind_name((enum event_kind)kind));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_transition_says_both_states_and_the_numbers),
		cmocka_unit_test(a_recovery_is_no_warning),
		cmocka_unit_test(a_pool_without_a_healthy_backend_is_an_error),
		cmocka_unit_test(a_listener_is_no_backend),
		cmocka_unit_test(every_kind_has_a_line_or_is_said_elsewhere),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
