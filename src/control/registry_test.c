#include "control/registry.h"
#include "control/testing.h"

static const char two_backends[] = "[listener]\n"
				   "address = \"127.0.0.1:9000\"\n"
				   "[health]\n"
				   "failure_threshold = 2\n"
				   "success_threshold = 1\n"
				   "[[backends]]\n"
				   "name = \"a\"\n"
				   "address = \"127.0.0.1:1\"\n"
				   "weight = 3\n"
				   "[[backends]]\n"
				   "name = \"b\"\n"
				   "address = \"127.0.0.1:2\"\n";

static const char names[] = "[listener]\n"
			    "address = \"127.0.0.1:9000\"\n"
			    "[[backends]]\n"
			    "address = \"one.test:80\"\n"
			    "[[backends]]\n"
			    "address = \"two.test:80\"\n";

static const char resting[] = "[listener]\n"
			      "address = \"127.0.0.1:9000\"\n"
			      "[[backends]]\n"
			      "address = \"127.0.0.1:1\"\n"
			      "weight = 0\n";

static struct slot *slot_of(struct fixture *fixture, uint32_t backend)
{
	return &fixture->shm.slots[fixture->registry.backends[backend].slot];
}

static void identities_are_in_shared_memory(void **state)
{
	struct fixture fixture;

	(void)state;
	test_begin(&fixture, two_backends);
	assert_string_equal(slot_of(&fixture, 0)->identity.name, "a");
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->weight), 3);
	assert_int_equal(atomic_load(&slot_of(&fixture, 1)->health), HEALTH_HEALTHY);
	assert_string_equal(fixture.shm.pools[0].identity.name, "default");
	assert_string_equal(fixture.shm.listeners[0].identity.name, "default");
	assert_int_equal(fixture.registry.by_slot[fixture.registry.backends[1].slot], 1);
	test_end(&fixture);
}

static void a_transition_is_in_slot_counter_and_event(void **state)
{
	struct fixture fixture;
	struct event event;

	(void)state;
	test_begin(&fixture, two_backends);
	fixture.registry.changed = false;
	counter_add(
		&shm_slot_counters(&fixture.shm, 1, fixture.registry.backends[0].slot)->started, 4);
	test_feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->wants_success), 1);
	assert_false(fixture.registry.changed);
	test_feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	assert_true(fixture.registry.changed);
	assert_int_equal(fixture.registry.draining, 1);
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->wants_success), 0);
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->health), HEALTH_DRAINING);
	assert_int_equal(
		counter_get(&slot_of(&fixture, 0)->transitions[HEALTH_HEALTHY][HEALTH_DRAINING]),
		1);
	event = test_last_event(&fixture, EVENT_BACKEND_HEALTH);
	assert_int_equal(event.from, HEALTH_HEALTHY);
	assert_int_equal(event.to, HEALTH_DRAINING);
	assert_int_equal(event.failures, 2);
	assert_int_equal(event.threshold, 2);
	assert_int_equal(event.sessions, 4);
	assert_int_equal(event.cause, CAUSE_TRAFFIC);
	assert_string_equal(event.reason, "refused");
	assert_string_equal(event.pool, "default");
	assert_string_equal(event.name, "a");
	test_end(&fixture);
}

static void draining_ends_after_grace_and_sessions(void **state)
{
	struct fixture fixture;
	struct slot_counters *counters;

	(void)state;
	test_begin(&fixture, two_backends);
	counters = shm_slot_counters(&fixture.shm, 0, fixture.registry.backends[0].slot);
	counter_add(&counters->started, 1);
	test_feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	test_feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	counter_add(&counters->finished, 1);
	registry_check_draining(&fixture.registry, ++fixture.now_ns);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_DRAINING);
	registry_grace(&fixture.registry, ++fixture.now_ns);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	assert_int_equal(fixture.registry.draining, 0);
	test_end(&fixture);
}

static void what_is_withheld_is_said_once(void **state)
{
	struct fixture fixture;
	uint64_t said;

	(void)state;
	test_begin(&fixture, two_backends);
	test_feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	test_feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	test_feed(&fixture, 1, SIGNAL_TRAFFIC_FAILURE);
	test_feed(&fixture, 1, SIGNAL_TRAFFIC_FAILURE);
	(void)test_last_event(&fixture, EVENT_BACKEND_HELD);
	said = atomic_load(&fixture.shm.events->last);
	test_feed(&fixture, 1, SIGNAL_TRAFFIC_FAILURE);
	assert_int_equal(atomic_load(&fixture.shm.events->last), said);
	test_feed(&fixture, 1, SIGNAL_PROBE_FAILURE);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 1);
	test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 0);
	test_end(&fixture);
}

static void names_begin_without_an_address(void **state)
{
	const struct sockaddr_any address = {
		.length = sizeof(struct sockaddr_in),
		.ip4 = {.sin_family = AF_INET, .sin_port = 80},
	};
	struct fixture fixture;

	(void)state;
	test_begin(&fixture, names);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	registry_begin(&fixture.registry, fixture.now_ns);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 1);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).cause, CAUSE_RESOLVER);
	assert_int_equal(registry_resolved(&fixture.registry, 1, &address, true, fixture.now_ns),
		REGISTRY_NONE);
	assert_int_equal(registry_health(&fixture.registry, 1)->state, HEALTH_HEALTHY);
	assert_int_equal(
		registry_resolved(&fixture.registry, 0, &address, true, fixture.now_ns), 1);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	assert_false(fixture.registry.health[0].resolved);
	test_end(&fixture);
}

static void a_pool_of_weight_0_begins_without_a_backend(void **state)
{
	struct fixture fixture;

	(void)state;
	test_begin(&fixture, resting);
	registry_begin(&fixture.registry, fixture.now_ns);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 1);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).cause, CAUSE_CONFIGURATION);
	test_end(&fixture);
}

static void an_operator_is_obeyed_and_recorded(void **state)
{
	struct fixture fixture;

	(void)state;
	test_begin(&fixture, two_backends);
	registry_set_admin(&fixture.registry, 0, ADMIN_DRAIN, fixture.now_ns);
	assert_int_equal(test_last_event(&fixture, EVENT_BACKEND_ADMIN).to, ADMIN_DRAIN);
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->admin), ADMIN_DRAIN);
	registry_set_weight(&fixture.registry, 1, 0, fixture.now_ns);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 1);
	assert_int_equal(atomic_load(&slot_of(&fixture, 1)->weight), 0);
	registry_set_admin(&fixture.registry, 0, ADMIN_READY, fixture.now_ns);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 0);
	test_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identities_are_in_shared_memory),
		cmocka_unit_test(a_transition_is_in_slot_counter_and_event),
		cmocka_unit_test(draining_ends_after_grace_and_sessions),
		cmocka_unit_test(what_is_withheld_is_said_once),
		cmocka_unit_test(names_begin_without_an_address),
		cmocka_unit_test(a_pool_of_weight_0_begins_without_a_backend),
		cmocka_unit_test(an_operator_is_obeyed_and_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
