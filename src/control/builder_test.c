#include "balance/balance.h"
#include "control/builder.h"
#include "control/testing.h"
#include "model/snapshot.h"

static const char text[] = "[[listeners]]\n"
			   "name = \"in\"\n"
			   "address = \"127.0.0.1:9000\"\n"
			   "pool = \"two\"\n"
			   "max_connections = 12\n"
			   "idle = \"7s\"\n"
			   "half_close = \"off\"\n"
			   "[pools.one]\n"
			   "when_all_unhealthy = \"refuse\"\n"
			   "[[pools.one.backends]]\n"
			   "address = \"127.0.0.1:1\"\n"
			   "[pools.two]\n"
			   "algorithm = \"random\"\n"
			   "retries = 5\n"
			   "on_unhealthy = \"close\"\n"
			   "proxy_protocol = \"v1\"\n"
			   "max_buffered = \"96KiB\"\n"
			   "connect = \"250ms\"\n"
			   "connect_total = \"4s\"\n"
			   "[pools.two.health]\n"
			   "failure_threshold = 1\n"
			   "success_threshold = 1\n"
			   "[[pools.two.backends]]\n"
			   "name = \"a\"\n"
			   "address = \"127.0.0.1:2\"\n"
			   "weight = 4\n"
			   "[[pools.two.backends]]\n"
			   "name = \"b\"\n"
			   "address = \"unix:/run/b.sock\"\n"
			   "max_connections = 9\n"
			   "[[pools.two.backends]]\n"
			   "name = \"c\"\n"
			   "address = \"127.0.0.1:3\"\n"
			   "weight = 0\n";

/* The index over all pools of a backend of pool "two", whose place in the file is not promised. */
static uint32_t in_two(const struct fixture *fixture, uint32_t index)
{
	const uint32_t pool = strcmp(fixture->config->pools[0].name, "two") == 0 ? 0 : 1;

	return fixture->registry.pools[pool].first + index;
}

static const struct snapshot_pool *pool_named(
	const struct fixture *fixture, const struct snapshot *snapshot, const char *name)
{
	for (uint32_t i = 0; i < fixture->registry.pool_count; i++) {
		const struct snapshot_pool *pool =
			snapshot_pool(snapshot, fixture->registry.pools[i].id);

		if (strcmp(pool->name, name) == 0) {
			return pool;
		}
	}
	fail();
	return NULL;
}

static void all_that_the_data_plane_needs_is_there(void **state)
{
	struct fixture fixture;
	struct snapshot *snapshot;
	const struct snapshot_listener *listener;
	const struct snapshot_pool *pool;

	(void)state;
	test_begin(&fixture, text);
	snapshot = registry_build(&fixture.registry, 17);
	assert_non_null(snapshot);
	assert_int_equal(snapshot->version, 17);
	assert_int_equal(snapshot->generation, 1);
	pool = pool_named(&fixture, snapshot, "two");
	assert_ptr_equal(pool->algorithm, balance_find("random"));
	assert_non_null(pool->schedule);
	assert_int_equal(pool->retries, 5);
	assert_int_equal(pool->on_unhealthy, ON_UNHEALTHY_CLOSE);
	assert_int_equal(pool->proxy_protocol, PROXY_PROTOCOL_V1);
	assert_int_equal(pool->max_buffered, 96 << 10);
	assert_int_equal(pool->connect_ns, 250000000);
	assert_int_equal(pool->connect_total_ns, 4000000000);
	assert_true(pool->limited);
	assert_false(pool->fallback);
	assert_int_equal(pool->backend_count, 2);
	assert_int_equal(pool->backends[0].weight, 4);
	assert_int_equal(sockaddr_port(&pool->backends[0].address), 2);
	assert_int_equal(pool->backends[1].max_connections, 9);
	assert_int_equal(pool->backends[1].address.generic.sa_family, AF_UNIX);
	assert_string_equal(pool->algorithm_name, "random");
	listener = snapshot_listener(snapshot, fixture.registry.listeners[0].id);
	assert_string_equal(listener->name, "in");
	assert_string_equal(listener->address, "127.0.0.1:9000");
	assert_int_equal(listener->pool, pool->id);
	assert_int_equal(counter_get(&fixture.shm.listeners[listener->id].idle_ns), 7000000000);
	assert_int_equal(counter_get(&fixture.shm.listeners[listener->id].half_close_ns), 0);
	assert_false(listener->leaving);
	assert_int_equal(listener->max_connections, 12);
	assert_false(pool_named(&fixture, snapshot, "one")->limited);
	snapshot_free(snapshot);
	test_end(&fixture);
}

static void all_that_is_configured_is_shown_in_its_order(void **state)
{
	static const char *const addresses[] = {"127.0.0.1:2", "unix:/run/b.sock", "127.0.0.1:3"};
	struct fixture fixture;
	struct snapshot *snapshot;
	const struct snapshot_pool *pool;

	(void)state;
	test_begin(&fixture, text);
	for (uint32_t i = 0; i < fixture.registry.backend_count; i++) {
		test_feed(&fixture, i, SIGNAL_PROBE_FAILURE);
	}
	snapshot = registry_build(&fixture.registry, 1);
	pool = pool_named(&fixture, snapshot, "two");
	assert_int_equal(pool->member_count, ARRAY_COUNT(addresses));
	for (uint32_t i = 0; i < ARRAY_COUNT(addresses); i++) {
		const uint32_t backend = in_two(&fixture, i);

		assert_string_equal(pool->members[i].address, addresses[i]);
		assert_int_equal(pool->members[i].slot, fixture.registry.backends[backend].slot);
	}
	assert_int_equal(pool->members[1].max_connections, 9);
	snapshot_free(snapshot);
	test_end(&fixture);
}

static void fallback_has_all_that_may_take_sessions_or_none(void **state)
{
	struct fixture fixture;
	struct snapshot *snapshot;
	const struct snapshot_pool *pool;

	(void)state;
	test_begin(&fixture, text);
	for (uint32_t i = 0; i < fixture.registry.backend_count; i++) {
		for (int n = 0; n < 3; n++) {
			test_feed(&fixture, i, SIGNAL_PROBE_FAILURE);
		}
	}
	registry_set_admin(
		&fixture.registry, in_two(&fixture, 1), ADMIN_MAINTENANCE, fixture.now_ns);
	snapshot = registry_build(&fixture.registry, 1);
	pool = pool_named(&fixture, snapshot, "two");
	assert_true(pool->fallback);
	assert_int_equal(pool->backend_count, 1);
	assert_int_equal(pool->backends[0].weight, 4);
	pool = pool_named(&fixture, snapshot, "one");
	assert_true(pool->fallback);
	assert_int_equal(pool->backend_count, 0);
	assert_null(pool->schedule);
	snapshot_free(snapshot);
	test_end(&fixture);
}

static void only_the_version_may_differ(void **state)
{
	struct fixture fixture;
	struct snapshot *first;
	struct snapshot *second;

	(void)state;
	test_begin(&fixture, text);
	first = registry_build(&fixture.registry, 1);
	second = registry_build(&fixture.registry, 2);
	assert_true(builder_same(first, second));
	assert_false(builder_same(NULL, second));
	assert_true(builder_same(NULL, NULL));
	snapshot_free(second);

	registry_set_weight(&fixture.registry, in_two(&fixture, 0), 5, fixture.now_ns);
	second = registry_build(&fixture.registry, 3);
	assert_false(builder_same(first, second));
	snapshot_free(second);

	registry_set_weight(&fixture.registry, in_two(&fixture, 0), 4, fixture.now_ns);
	second = registry_build(&fixture.registry, 4);
	assert_true(builder_same(first, second));
	snapshot_free(second);

	test_feed(&fixture, in_two(&fixture, 0), SIGNAL_TRAFFIC_FAILURE);
	second = registry_build(&fixture.registry, 5);
	assert_false(builder_same(first, second));
	snapshot_free(second);

	test_feed(&fixture, in_two(&fixture, 0), SIGNAL_PROBE_SUCCESS);
	second = registry_build(&fixture.registry, 6);
	assert_true(builder_same(first, second));
	snapshot_free(first);
	snapshot_free(second);
	test_end(&fixture);
}

/* Each field that the data plane reads, changed alone, makes a difference. */
static void every_field_counts(void **state)
{
	struct fixture fixture;
	struct snapshot *first;
	struct snapshot *second;
	struct config_pool *pool;
	struct config_listener *listener;
	uint32_t *const none = NULL;

	(void)state;
	test_begin(&fixture, text);
	pool = &fixture.config->pools[strcmp(fixture.config->pools[0].name, "two") == 0 ? 0 : 1];
	listener = &fixture.config->listeners[0];
	first = registry_build(&fixture.registry, 1);
	uint32_t *const words[] = {&pool->retries, &pool->on_unhealthy, &pool->proxy_protocol,
		&pool->backends[1].max_connections, &listener->max_connections, none};
	uint64_t *const numbers[] = {&pool->connect_ms, &pool->connect_total_ms,
		&pool->max_buffered, &listener->max_buffered};

	for (size_t i = 0; words[i] != NULL; i++) {
		*words[i] ^= 1;
		second = registry_build(&fixture.registry, 2);
		assert_false(builder_same(first, second));
		*words[i] ^= 1;
		snapshot_free(second);
	}
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		*numbers[i] += 1;
		second = registry_build(&fixture.registry, 2);
		assert_false(builder_same(first, second));
		*numbers[i] -= 1;
		snapshot_free(second);
	}
	fixture.registry.places[0].may_be_self = true;
	second = registry_build(&fixture.registry, 2);
	assert_false(builder_same(first, second));
	snapshot_free(second);
	snapshot_free(first);
	test_end(&fixture);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_that_the_data_plane_needs_is_there),
		cmocka_unit_test(all_that_is_configured_is_shown_in_its_order),
		cmocka_unit_test(fallback_has_all_that_may_take_sessions_or_none),
		cmocka_unit_test(only_the_version_may_differ),
		cmocka_unit_test(every_field_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
