#include "base/array.h"
#include "model/snapshot.h"
#include "observe/ready.h"
#include "observe/testing.h"

/* Two listeners, of which the one between them is gone, and a pool for each. */
struct scene {
	struct snapshot_backend backend;
	struct snapshot_pool pools[2];
	struct snapshot_listener listeners[2];
	const struct snapshot_pool *pool_list[2];
	const struct snapshot_listener *listener_list[3];
	struct snapshot snapshot;
};

static void make_scene(struct scene *scene, struct shm *shm)
{
	*scene = (struct scene){.listeners = {{.id = 0, .pool = 0}, {.id = 2, .pool = 1}}};
	for (uint32_t i = 0; i < 2; i++) {
		scene->pools[i] = (struct snapshot_pool){
			.id = i, .backend_count = 1, .backends = &scene->backend};
		scene->pool_list[i] = &scene->pools[i];
		scene->listener_list[2 * i] = &scene->listeners[i];
		atomic_store(&shm->listeners[2 * i].open, 1);
	}
	scene->snapshot = (struct snapshot){
		.listener_limit = ARRAY_COUNT(scene->listener_list),
		.pool_limit = ARRAY_COUNT(scene->pool_list),
		.listeners = scene->listener_list,
		.pools = scene->pool_list,
	};
	atomic_store(&shm->header->process.phase, PHASE_RUNNING);
}

static void a_running_process_is_ready(void **state)
{
	struct scene scene;

	make_scene(&scene, *state);
	assert_null(ready_refusal(*state, &scene.snapshot));
}

static void the_phase_decides_first(void **state)
{
	static const struct {
		enum process_phase phase;
		const char *expected;
	} cases[] = {
		{PHASE_STARTING, "starting\n"},
		{PHASE_LAME_DUCK, "stopping\n"},
		{PHASE_DRAINING, "stopping\n"},
		{PHASE_STOPPED, "stopping\n"},
	};
	struct shm *shm = *state;
	struct scene scene;

	make_scene(&scene, shm);
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		atomic_store(&shm->header->process.phase, cases[i].phase);
		assert_string_equal(ready_refusal(shm, &scene.snapshot), cases[i].expected);
	}
	atomic_store(&shm->header->process.phase, PHASE_RUNNING);
	assert_string_equal(ready_refusal(shm, NULL), "starting\n");
}

static void every_listener_must_be_open(void **state)
{
	struct shm *shm = *state;
	struct scene scene;

	make_scene(&scene, shm);
	atomic_store(&shm->listeners[2].open, 0);
	assert_string_equal(ready_refusal(shm, &scene.snapshot), "a listener is not open\n");
	scene.listener_list[2] = NULL;
	assert_null(ready_refusal(shm, &scene.snapshot));
	scene.listener_list[0] = NULL;
	assert_string_equal(ready_refusal(shm, &scene.snapshot), "a listener is not open\n");
}

static void one_healthy_backend_is_enough(void **state)
{
	struct shm *shm = *state;
	struct scene scene;

	make_scene(&scene, shm);
	scene.pools[0].backend_count = 0;
	assert_null(ready_refusal(shm, &scene.snapshot));
	scene.pools[1].fallback = true;
	assert_string_equal(ready_refusal(shm, &scene.snapshot), "no backend is usable\n");
	scene.pools[1].fallback = false;
	scene.pools[1].backend_count = 0;
	assert_string_equal(ready_refusal(shm, &scene.snapshot), "no backend is usable\n");
	scene.pool_list[0] = NULL;
	assert_string_equal(ready_refusal(shm, &scene.snapshot), "no backend is usable\n");
}

int main(void)
{
#define IN_SHM(test) cmocka_unit_test_setup_teardown(test, testing_make_shm, testing_drop_shm)
	const struct CMUnitTest tests[] = {
		IN_SHM(a_running_process_is_ready),
		IN_SHM(the_phase_decides_first),
		IN_SHM(every_listener_must_be_open),
		IN_SHM(one_healthy_backend_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
