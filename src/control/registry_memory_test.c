#include "control/registry.h"
#include "control/testing.h"

#define LISTENER "[listener]\naddress = \"127.0.0.1:9000\"\n"
#define HEALTH   "[health]\nfailure_threshold = 3\nsuccess_threshold = 2\n"
#define A        "[[backends]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\nweight = 3\n"
#define B        "[[backends]]\nname = \"b\"\naddress = \"127.0.0.1:2\"\n"

static struct slot *slot_of(const struct fixture *fixture, uint32_t backend)
{
	return &fixture->shm.slots[fixture->registry.backends[backend].slot];
}

/* As a reload and a successor do: the registry is made anew on the same memory. */
static void go_on(struct fixture *fixture, const char *text)
{
	registry_done(&fixture->registry);
	config_free(fixture->config);
	fixture->config = test_config(text);
	assert_int_equal(registry_init(&fixture->registry, &fixture->shm, fixture->config,
				 &fixture->events, ++fixture->now_ns, NULL),
		0);
	registry_begin(&fixture->registry, fixture->now_ns);
}

static uint64_t events_so_far(const struct fixture *fixture)
{
	return atomic_load(&fixture->shm.events->last);
}

static void counts_hold_downs_and_times_go_on(void **state)
{
	struct fixture fixture;
	struct health before;
	uint64_t said;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	for (int round = 0; round < 2; round++) { /* the second ejection is flapping */
		for (int i = 0; i < 3; i++) {
			test_feed(&fixture, 0, SIGNAL_PROBE_FAILURE);
		}
		if (round == 0) {
			test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
			test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
		}
	}
	test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
	test_feed(&fixture, 1, SIGNAL_TRAFFIC_FAILURE);
	before = *registry_health(&fixture.registry, 0);
	assert_int_equal(before.state, HEALTH_UNHEALTHY);
	assert_int_equal(before.successes, 1);
	assert_int_equal(before.holds, 1);
	assert_true(before.held_until_ns > fixture.now_ns);
	said = events_so_far(&fixture);

	go_on(&fixture, LISTENER HEALTH A B);
	assert_memory_equal(registry_health(&fixture.registry, 0), &before, sizeof before);
	assert_int_equal(registry_health(&fixture.registry, 1)->failures, 1);
	assert_int_equal(atomic_load(&slot_of(&fixture, 1)->wants_success), 1);
	assert_int_equal(events_so_far(&fixture), said);
	assert_true(fixture.registry.backends[0].kept);
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->health), HEALTH_UNHEALTHY);

	/* Still held down: two successes are not enough before the second is over. */
	test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	fixture.now_ns += 2000000000;
	test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_HEALTHY);
	test_end(&fixture);
}

static void who_drains_goes_on_and_waits_for_a_grace_period(void **state)
{
	struct fixture fixture;
	struct slot_counters *counters;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	counters = shm_slot_counters(&fixture.shm, 0, fixture.registry.backends[0].slot);
	counter_add(&counters->started, 1);
	for (int i = 0; i < 3; i++) {
		test_feed(&fixture, 0, SIGNAL_PROBE_FAILURE);
	}
	registry_grace(&fixture.registry, ++fixture.now_ns);
	go_on(&fixture, LISTENER HEALTH A B);
	assert_int_equal(fixture.registry.draining, 1);
	assert_int_equal(fixture.registry.ungraced_count, 1);
	counter_add(&counters->finished, 1);
	registry_check_draining(&fixture.registry, ++fixture.now_ns);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_DRAINING);
	registry_grace(&fixture.registry, ++fixture.now_ns);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	test_end(&fixture);
}

static void the_operators_word_and_weight_go_on(void **state)
{
	struct fixture fixture;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	registry_set_admin(&fixture.registry, 0, ADMIN_MAINTENANCE, fixture.now_ns);
	registry_set_weight(&fixture.registry, 0, 9, fixture.now_ns);
	registry_set_weight(&fixture.registry, 1, 7, fixture.now_ns);
	go_on(&fixture, LISTENER HEALTH A B);
	assert_int_equal(fixture.registry.health[0].admin, ADMIN_MAINTENANCE);
	assert_int_equal(fixture.registry.health[0].weight, 9);
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->admin), ADMIN_MAINTENANCE);

	/* A weight that the configuration changes is a newer word than the operator's. */
	go_on(&fixture, LISTENER HEALTH A B "weight = 2\n");
	assert_int_equal(fixture.registry.health[0].weight, 9);
	assert_int_equal(fixture.registry.health[1].weight, 2);
	assert_int_equal(atomic_load(&slot_of(&fixture, 1)->weight), 2);
	test_end(&fixture);
}

static void another_address_starts_anew(void **state)
{
	struct fixture fixture;
	struct event event;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	for (int i = 0; i < 3; i++) {
		test_feed(&fixture, 0, SIGNAL_PROBE_FAILURE);
	}
	counter_add(&slot_of(&fixture, 0)->checks[CHECK_REFUSED], 5);
	go_on(&fixture,
		LISTENER HEALTH "[[backends]]\nname = \"a\"\naddress = \"127.0.0.1:11\"\n" B);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_HEALTHY);
	assert_int_equal(registry_health(&fixture.registry, 0)->holds, 0);
	assert_int_equal(sockaddr_port(&fixture.registry.places[0].address), 11);
	assert_int_equal(atomic_load(&slot_of(&fixture, 0)->health), HEALTH_HEALTHY);
	assert_int_equal(counter_get(&slot_of(&fixture, 0)->checks[CHECK_REFUSED]), 5);
	event = test_last_event(&fixture, EVENT_BACKEND_HEALTH);
	assert_int_equal(event.from, HEALTH_UNHEALTHY);
	assert_int_equal(event.to, HEALTH_HEALTHY);
	assert_int_equal(event.cause, CAUSE_CONFIGURATION);
	assert_int_equal(
		counter_get(&slot_of(&fixture, 0)->transitions[HEALTH_UNHEALTHY][HEALTH_HEALTHY]),
		1);
	test_end(&fixture);
}

static void who_is_left_out_is_unset_and_begins_anew_when_it_comes_back(void **state)
{
	struct fixture fixture;
	uint32_t slot;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	slot = fixture.registry.backends[1].slot;
	for (int i = 0; i < 3; i++) {
		test_feed(&fixture, 1, SIGNAL_PROBE_FAILURE);
	}
	registry_set_admin(&fixture.registry, 1, ADMIN_DRAIN, fixture.now_ns);
	go_on(&fixture, LISTENER HEALTH A);
	assert_int_equal(atomic_load(&fixture.shm.slots[slot].health), HEALTH_UNSET);
	assert_int_equal(fixture.registry.by_slot[slot], REGISTRY_NONE);
	go_on(&fixture, LISTENER HEALTH B A);
	assert_int_equal(fixture.registry.backends[0].slot, slot);
	assert_false(fixture.registry.backends[0].kept);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_HEALTHY);
	assert_int_equal(fixture.registry.health[0].admin, ADMIN_READY);
	test_end(&fixture);
}

static void a_name_keeps_its_address(void **state)
{
	static const char text[] = LISTENER "[[backends]]\naddress = \"one.test:80\"\n"
					    "[[backends]]\naddress = \"two.test:80\"\n";
	struct fixture fixture;
	struct sockaddr_any address = {.length = sizeof address.ip4};

	(void)state;
	test_begin(&fixture, text);
	address.ip4.sin_family = AF_INET;
	address.ip4.sin_port = htons(80);
	assert_int_equal(registry_resolved(&fixture.registry, 0, &address, true, fixture.now_ns),
		REGISTRY_NONE);
	go_on(&fixture, text);
	assert_true(fixture.registry.health[0].resolved);
	assert_true(sockaddr_equal(&fixture.registry.places[0].address, &address));
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_HEALTHY);
	assert_false(fixture.registry.health[1].resolved);
	assert_true(fixture.registry.backends[1].kept);
	test_end(&fixture);
}

/* Whoever died between two stores: the state holds, the counts start anew. */
static void what_is_damaged_starts_anew_in_its_state(void **state)
{
	struct fixture fixture;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	for (int i = 0; i < 3; i++) {
		test_feed(&fixture, 0, SIGNAL_PROBE_FAILURE);
	}
	test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
	atomic_store(&slot_of(&fixture, 0)->memory.successes, 1000);
	go_on(&fixture, LISTENER HEALTH A B);
	assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_UNHEALTHY);
	assert_int_equal(registry_health(&fixture.registry, 0)->successes, 0);
	test_end(&fixture);
}

static void a_pool_without_a_healthy_backend_is_said_once(void **state)
{
	struct fixture fixture;
	uint64_t said;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A);
	for (int i = 0; i < 3; i++) {
		test_feed(&fixture, 0, SIGNAL_PROBE_FAILURE);
	}
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 1);
	said = events_so_far(&fixture);
	go_on(&fixture, LISTENER HEALTH A);
	assert_int_equal(events_so_far(&fixture), said);
	test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
	test_feed(&fixture, 0, SIGNAL_PROBE_SUCCESS);
	assert_int_equal(test_last_event(&fixture, EVENT_POOL_FALLBACK).to, 0);
	test_end(&fixture);
}

/* More names than there is room for, over time: what is long gone makes room. */
static void names_that_are_gone_make_room(void **state)
{
	struct fixture fixture;
	struct slot_counters *counters;
	char text[300];

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	counters = shm_slot_counters(&fixture.shm, 1, fixture.registry.backends[0].slot);
	counter_set(&counters->established, 77);
	counter_add(&counters->started, 1); /* a session that outlives all the others */
	for (int i = 0; i < POOLS_MAX + 10; i++) {
		(void)snprintf(text, sizeof text,
			"[[listeners]]\nname = \"l%d\"\naddress = \":1\"\n"
			"[pools.p%d]\n[[pools.p%d.backends]]\naddress = \"127.0.0.1:1\"\n",
			i, i, i);
		go_on(&fixture, text);
		assert_true(fixture.registry.listeners[0].id < LISTENERS_MAX);
		assert_int_equal(registry_health(&fixture.registry, 0)->state, HEALTH_HEALTHY);
	}
	assert_string_equal(fixture.shm.pools[0].identity.name, "default");
	go_on(&fixture, LISTENER HEALTH A B);
	assert_int_equal(
		counter_get(&shm_slot_counters(&fixture.shm, 1, fixture.registry.backends[0].slot)
				     ->established),
		77);
	test_end(&fixture);
}

/* The first step of a reload, which may still be refused. */
static void preparing_changes_nothing(void **state)
{
	struct fixture fixture;
	struct registry other;
	struct config *config = test_config(LISTENER HEALTH A "[[backends]]\naddress = \"h:1\"\n");
	uint64_t said;

	(void)state;
	test_begin(&fixture, LISTENER HEALTH A B);
	test_feed(&fixture, 0, SIGNAL_TRAFFIC_FAILURE);
	said = events_so_far(&fixture);
	assert_int_equal(registry_prepare(&other, &fixture.shm, config, &fixture.events,
				 fixture.now_ns, NULL),
		0);
	assert_int_equal(registry_health(&other, 0)->failures, 1);
	assert_int_equal(events_so_far(&fixture), said);
	assert_int_equal(atomic_load(&slot_of(&fixture, 1)->health), HEALTH_HEALTHY);
	assert_int_equal(
		atomic_load(&fixture.shm.slots[other.backends[1].slot].health), HEALTH_UNSET);
	registry_done(&other);
	config_free(config);
	test_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_hold_downs_and_times_go_on),
		cmocka_unit_test(who_drains_goes_on_and_waits_for_a_grace_period),
		cmocka_unit_test(the_operators_word_and_weight_go_on),
		cmocka_unit_test(another_address_starts_anew),
		cmocka_unit_test(who_is_left_out_is_unset_and_begins_anew_when_it_comes_back),
		cmocka_unit_test(a_name_keeps_its_address),
		cmocka_unit_test(what_is_damaged_starts_anew_in_its_state),
		cmocka_unit_test(a_pool_without_a_healthy_backend_is_said_once),
		cmocka_unit_test(names_that_are_gone_make_room),
		cmocka_unit_test(preparing_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
