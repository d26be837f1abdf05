#include <string.h>

#include "base/testing.h"
#include "model/event.h"

static struct event_ring ring;

struct heard {
	uint64_t number;
	uint32_t subject;
	uint32_t count;
};

static void hear(const struct event *event, void *context)
{
	struct heard *heard = context;

	heard->number = atomic_load(&event->number);
	heard->subject = event->subject;
	heard->count++;
}

static void an_event_is_recorded_and_told(void **state)
{
	struct heard heard = {0};
	struct event_log log = {.ring = &ring, .listener = hear, .context = &heard};
	const struct event event = {
		.kind = EVENT_BACKEND_HEALTH,
		.cause = CAUSE_TRAFFIC,
		.subject = 5,
		.failures = 3,
		.reason = "refused",
		.name = "b1",
	};
	struct event read;

	(void)state;
	memset(&ring, 0, sizeof ring);
	assert_false(event_read(&ring, 0, &read));
	assert_false(event_read(&ring, 1, &read));
	event_record(&log, &event);
	assert_int_equal(heard.count, 1);
	assert_int_equal(heard.number, 1);
	assert_int_equal(heard.subject, 5);
	assert_int_equal(atomic_load(&ring.last), 1);
	assert_true(event_read(&ring, 1, &read));
	assert_int_equal(read.kind, EVENT_BACKEND_HEALTH);
	assert_int_equal(read.cause, CAUSE_TRAFFIC);
	assert_int_equal(read.failures, 3);
	assert_string_equal(read.reason, "refused");
	assert_string_equal(read.name, "b1");
	assert_true(read.wall_ns > 0);
	assert_false(event_read(&ring, 2, &read));
}

static void old_events_make_room(void **state)
{
	struct event_log log = {.ring = &ring};
	struct event event = {.kind = EVENT_POOL_FALLBACK};
	struct event read;

	(void)state;
	memset(&ring, 0, sizeof ring);
	for (uint32_t i = 1; i <= EVENT_RING_SIZE + 10; i++) {
		event.subject = i;
		event_record(&log, &event);
	}
	assert_false(event_read(&ring, 10, &read));
	for (uint32_t i = 11; i <= EVENT_RING_SIZE + 10; i++) {
		assert_true(event_read(&ring, i, &read));
		assert_int_equal(read.subject, i);
	}
}

static void every_kind_and_cause_has_its_own_word(void **state)
{
	(void)state;
	for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
		assert_non_null(event_kind_name((enum event_kind)kind));
		for (int other = 0; other < kind; other++) {
			assert_string_not_equal(event_kind_name((enum event_kind)kind),
				event_kind_name((enum event_kind)other));
		}
	}
	for (int cause = 0; cause < CAUSE_COUNT; cause++) {
		assert_non_null(event_cause_name((enum event_cause)cause));
	}
	assert_string_equal(event_kind_name(EVENT_BACKEND_HEALTH), "backend_health");
	assert_string_equal(event_cause_name(CAUSE_TRAFFIC), "traffic");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_recorded_and_told),
		cmocka_unit_test(old_events_make_room),
		cmocka_unit_test(every_kind_and_cause_has_its_own_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
