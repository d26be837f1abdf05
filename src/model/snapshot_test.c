#include "base/arena.h"
#include "base/testing.h"
#include "model/snapshot.h"

static const struct snapshot_pool the_pool = {.id = 2};
static const struct snapshot_listener the_listener = {.id = 1};

/* With one pool of id 2 and one listener of id 1. */
static struct snapshot *make(uint64_t version)
{
	struct arena *arena = arena_create();
	struct snapshot *snapshot = arena_alloc(arena, sizeof *snapshot);

	assert_non_null(snapshot);
	*snapshot = (struct snapshot){
		.version = version,
		.arena = arena,
		.listener_limit = 2,
		.pool_limit = 3,
		.listeners = arena_alloc_array(arena, 2, sizeof(void *)),
		.pools = arena_alloc_array(arena, 3, sizeof(void *)),
	};
	snapshot->listeners[1] = &the_listener;
	snapshot->pools[2] = &the_pool;
	return snapshot;
}

static void what_was_published_is_current(void **state)
{
	struct snapshot_store store;
	struct snapshot *first = make(1);
	struct snapshot *second = make(2);

	(void)state;
	snapshot_store_init(&store);
	assert_null(snapshot_current(&store));
	snapshot_publish(&store, first);
	assert_ptr_equal(snapshot_current(&store), first);
	snapshot_publish(&store, second);
	assert_ptr_equal(snapshot_current(&store), second);
	snapshot_store_done(&store);
}

static void the_retired_ones_are_freed_once(void **state)
{
	struct snapshot_store store;

	(void)state;
	snapshot_store_init(&store);
	snapshot_reclaim(&store);
	for (uint64_t version = 1; version <= 5; version++) {
		snapshot_publish(&store, make(version));
	}
	assert_non_null(store.retired);
	snapshot_reclaim(&store);
	assert_null(store.retired);
	assert_int_equal(snapshot_current(&store)->version, 5);
	snapshot_publish(&store, make(6));
	snapshot_store_done(&store); /* frees the current and the retired one: see the sanitizer */
	assert_null(snapshot_current(&store));
}

static void an_id_that_is_not_there_is_null(void **state)
{
	struct snapshot *snapshot = make(1);

	(void)state;
	assert_ptr_equal(snapshot_pool(snapshot, 2), &the_pool);
	assert_null(snapshot_pool(snapshot, 1));
	assert_null(snapshot_pool(snapshot, 3));
	assert_null(snapshot_pool(snapshot, UINT32_MAX));
	assert_ptr_equal(snapshot_listener(snapshot, 1), &the_listener);
	assert_null(snapshot_listener(snapshot, 0));
	assert_null(snapshot_listener(snapshot, 2));
	snapshot_free(snapshot);
	snapshot_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_published_is_current),
		cmocka_unit_test(the_retired_ones_are_freed_once),
		cmocka_unit_test(an_id_that_is_not_there_is_null),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
