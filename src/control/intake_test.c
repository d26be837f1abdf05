#include "control/intake.h"
#include "control/testing.h"

static const char text[] = "[listener]\n"
			   "address = \"127.0.0.1:9000\"\n"
			   "[timeouts]\n"
			   "connect = \"100ms\"\n"
			   "[[backends]]\n"
			   "address = \"127.0.0.1:1\"\n"
			   "[[backends]]\n"
			   "address = \"127.0.0.1:2\"\n"
			   "[[backends]]\n"
			   "address = \"127.0.0.1:3\"\n";

static const uint64_t SECOND = 1000000000;

static void report(struct fixture *fixture, uint32_t worker, uint32_t backend,
	enum evidence_kind kind, enum failure_reason reason, uint32_t generation)
{
	const struct evidence evidence = {
		.kind = kind,
		.reason = reason,
		.slot = fixture->registry.backends[backend].slot,
		.generation = generation,
		.started_ns = fixture->now_ns,
	};

	(void)evidence_push(&fixture->shm.evidence[worker], &evidence);
}

static uint32_t failures_of(const struct fixture *fixture, uint32_t backend)
{
	return registry_health(&fixture->registry, backend)->failures;
}

static void reports_of_all_workers_count(void **state)
{
	struct fixture fixture;
	struct intake intake;

	(void)state;
	test_begin(&fixture, text);
	assert_int_equal(intake_init(&intake, &fixture.registry), 0);
	report(&fixture, 0, 0, EVIDENCE_FAILURE, FAILURE_REFUSED, 1);
	report(&fixture, 1, 0, EVIDENCE_FAILURE, FAILURE_TIMEOUT, 1);
	intake_drain(&intake, fixture.now_ns);
	assert_int_equal(failures_of(&fixture, 0), 2);
	report(&fixture, 1, 0, EVIDENCE_SUCCESS, FAILURE_REFUSED, 1);
	intake_drain(&intake, fixture.now_ns);
	assert_int_equal(failures_of(&fixture, 0), 0);
	assert_int_equal(intake_deadline(&intake), UINT64_MAX);
	intake_done(&intake);
	test_end(&fixture);
}

static void what_is_not_of_this_backend_does_not_count(void **state)
{
	const struct evidence wild = {.kind = EVIDENCE_FAILURE, .slot = UINT32_MAX};
	const struct evidence nobody = {.kind = EVIDENCE_FAILURE, .slot = 100, .generation = 0};
	struct fixture fixture;
	struct intake intake;

	(void)state;
	test_begin(&fixture, text);
	assert_int_equal(intake_init(&intake, &fixture.registry), 0);
	report(&fixture, 0, 0, EVIDENCE_FAILURE, FAILURE_REFUSED, 2);
	report(&fixture, 0, 0, EVIDENCE_FAILURE, FAILURE_RESOURCE, 1);
	assert_true(evidence_push(&fixture.shm.evidence[0], &wild));
	assert_true(evidence_push(&fixture.shm.evidence[0], &nobody));
	intake_drain(&intake, fixture.now_ns);
	assert_int_equal(failures_of(&fixture, 0), 0);
	intake_done(&intake);
	test_end(&fixture);
}

static void the_end_of_a_session_ends_draining(void **state)
{
	struct fixture fixture;
	struct intake intake;
	struct slot_counters *counters;

	(void)state;
	test_begin(&fixture, text);
	assert_int_equal(intake_init(&intake, &fixture.registry), 0);
	counters = shm_slot_counters(&fixture.shm, 0, fixture.registry.backends[0].slot);
	counter_add(&counters->started, 1);
	for (int i = 0; i < 3; i++) {
		report(&fixture, 0, 0, EVIDENCE_FAILURE, FAILURE_REFUSED, 1);
	}
	intake_drain(&intake, fixture.now_ns);
	registry_grace(&fixture.registry, fixture.now_ns);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_DRAINING);
	counter_add(&counters->finished, 1);
	report(&fixture, 0, 0, EVIDENCE_FINISHED, FAILURE_REFUSED, 1);
	intake_drain(&intake, fixture.now_ns);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	intake_done(&intake);
	test_end(&fixture);
}

/* Fills worker 0's ring with harmless reports until it overflows, and lets control see that. */
static void overflow(struct fixture *fixture, struct intake *intake)
{
	for (uint32_t i = 0; i <= EVIDENCE_RING_SIZE; i++) {
		report(fixture, 0, 1, EVIDENCE_SUCCESS, FAILURE_REFUSED, 1);
	}
	intake_drain(intake, fixture->now_ns);
	assert_int_equal(intake_deadline(intake), fixture->now_ns + SECOND / 10);
}

static struct slot_counters *counters_of(struct fixture *fixture, uint32_t backend)
{
	return shm_slot_counters(&fixture->shm, 1, fixture->registry.backends[backend].slot);
}

static void after_an_overflow_the_counters_speak(void **state)
{
	struct fixture fixture;
	struct intake intake;

	(void)state;
	test_begin(&fixture, text);
	assert_int_equal(intake_init(&intake, &fixture.registry), 0);
	fixture.now_ns += SECOND;
	counter_add(&counters_of(&fixture, 2)->failures[FAILURE_REFUSED], 50); /* long ago */
	overflow(&fixture, &intake);
	counter_add(&counters_of(&fixture, 0)->failures[FAILURE_TIMEOUT], 5);
	counter_add(&counters_of(&fixture, 1)->failures[FAILURE_TIMEOUT], 5);
	counter_add(&counters_of(&fixture, 1)->established, 1); /* the order is not known */
	counter_add(&counters_of(&fixture, 2)->failures[FAILURE_RESOURCE], 5);
	intake_drain(&intake, fixture.now_ns + SECOND / 20);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_HEALTHY);
	intake_drain(&intake, fixture.now_ns + SECOND / 10);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	assert_int_equal(failures_of(&fixture, 1), 0);
	assert_int_equal(failures_of(&fixture, 2), 0);
	assert_int_equal(intake_deadline(&intake), UINT64_MAX);
	intake_done(&intake);
	test_end(&fixture);
}

static void counters_say_nothing_about_the_time_before_a_change(void **state)
{
	struct fixture fixture;
	struct intake intake;

	(void)state;
	test_begin(&fixture, text);
	assert_int_equal(intake_init(&intake, &fixture.registry), 0);
	fixture.now_ns += SECOND / 20; /* within a connect's time of the start */
	overflow(&fixture, &intake);
	counter_add(&counters_of(&fixture, 0)->failures[FAILURE_TIMEOUT], 5);
	intake_drain(&intake, fixture.now_ns + SECOND / 10);
	assert_int_equal(failures_of(&fixture, 0), 0);
	intake_done(&intake);
	test_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_of_all_workers_count),
		cmocka_unit_test(what_is_not_of_this_backend_does_not_count),
		cmocka_unit_test(the_end_of_a_session_ends_draining),
		cmocka_unit_test(after_an_overflow_the_counters_speak),
		cmocka_unit_test(counters_say_nothing_about_the_time_before_a_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
