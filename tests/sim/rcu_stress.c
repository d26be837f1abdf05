/*
 * Publication under fire: one publisher, readers on all sides, a thousand snapshots a second.
 *
 * Each snapshot is built by the real builder with a weight that equals its version, so a reader
 * can tell a freed or a mixed one: all the backends it sees must agree with each other and with
 * the version, and no version may come after a higher one. Under AddressSanitizer a use after
 * free is seen, under ThreadSanitizer a missing order.
 *
 *     PUBLICATIONS=3000 rcu_stress
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "balance/balance.h"
#include "base/error.h"
#include "config/config.h"
#include "control/builder.h"
#include "control/pool_health.h"
#include "model/rcu.h"
#include "model/snapshot.h"
#include "os/thread.h"

enum { READERS = 3, BACKENDS = 16, LOOKS_PER_TURN = 20, PUBLICATIONS = 3000, WEIGHT_MAX = 65535 };

static struct snapshot_store store;
static atomic_bool ended;

struct reader {
	pthread_t thread;
	uint64_t turns;
	uint64_t highest;
	uint64_t mixed; /* snapshots that did not agree with themselves */
	uint64_t older; /* a version that came after a higher one */
};

static void look(struct reader *reader)
{
	const struct snapshot *snapshot = snapshot_current(&store);
	const struct snapshot_pool *pool = snapshot_pool(snapshot, 0);
	const uint32_t weight = (uint32_t)(snapshot->version % WEIGHT_MAX) + 1;

	reader->older += snapshot->version < reader->highest ? 1 : 0;
	reader->highest = snapshot->version;
	for (uint32_t i = 0; i < pool->backend_count; i++) {
		reader->mixed += pool->backends[i].weight != weight ? 1 : 0;
	}
	reader->mixed += pool->backend_count != BACKENDS ? 1 : 0;
}

static void *read_on(void *argument)
{
	struct reader *reader = argument;

	rcu_reader_begin();
	while (!atomic_load_explicit(&ended, memory_order_acquire)) {
		for (int i = 0; i < LOOKS_PER_TURN; i++) {
			look(reader);
		}
		reader->turns++;
		if (reader->turns % 64 != 0) {
			rcu_quiet();
			continue;
		}
		/* Like a worker that has nothing to do. */
		rcu_offline();
		(void)nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
		rcu_online();
	}
	rcu_reader_end();
	return NULL;
}

struct input {
	struct config_backend config_backends[BACKENDS];
	struct config_pool config;
	struct backend_health healths[BACKENDS];
	struct pool_health health;
	struct builder_backend places[BACKENDS];
	struct builder_pool pool;
};

static void prepare(struct input *input)
{
	input->config = (struct config_pool){
		.name = "stress", .backend_count = BACKENDS, .backends = input->config_backends};
	input->health = (struct pool_health){.backend_count = BACKENDS, .backends = input->healths};
	for (uint32_t i = 0; i < BACKENDS; i++) {
		input->places[i].slot = i;
		input->healths[i] = (struct backend_health){.weight = 1, .resolved = true};
		health_init(&input->healths[i].health, HEALTH_HEALTHY, 1);
	}
	input->pool = (struct builder_pool){
		.config = &input->config,
		.algorithm = balance_find("random"),
		.health = &input->health,
		.backends = input->places,
	};
	pool_health_init(&input->health);
}

static struct snapshot *build(struct input *input, uint64_t version)
{
	const struct builder_input what = {
		.version = version, .generation = 1, .pool_count = 1, .pools = &input->pool};

	for (uint32_t i = 0; i < BACKENDS; i++) {
		input->healths[i].weight = (uint32_t)(version % WEIGHT_MAX) + 1;
	}
	return builder_build(&what);
}

static uint64_t number_from(const char *name, uint64_t fallback)
{
	const char *text = getenv(name); /* NOLINT(concurrency-mt-unsafe): before the threads */

	return text != NULL ? strtoull(text, NULL, 10) : fallback;
}

static bool publish_many(struct input *input, uint64_t count)
{
	for (uint64_t version = 2; version <= count; version++) {
		struct snapshot *next = build(input, version);

		if (next == NULL) {
			return false;
		}
		snapshot_publish(&store, next);
		if (version % 4 != 0) {
			snapshot_reclaim(&store); /* else several are reclaimed at once */
		}
		(void)nanosleep(&(struct timespec){.tv_nsec = 900000}, NULL);
	}
	snapshot_reclaim(&store);
	return true;
}

static bool start(struct reader *readers)
{
	for (int i = 0; i < READERS; i++) {
		struct error err;

		if (thread_start(&readers[i].thread, "reader", read_on, &readers[i], &err) < 0) {
			(void)fprintf(stderr, "%s\n", err.text);
			return false;
		}
	}
	return true;
}

int main(void)
{
	const uint64_t count = number_from("PUBLICATIONS", PUBLICATIONS);
	struct reader readers[READERS] = {{0}};
	static struct input input;
	bool good;

	prepare(&input);
	snapshot_store_init(&store);
	snapshot_publish(&store, build(&input, 1));
	if (!start(readers)) {
		return 1;
	}
	good = publish_many(&input, count);
	atomic_store_explicit(&ended, true, memory_order_release);
	(void)printf("1..%d\n", READERS);
	for (int i = 0; i < READERS; i++) {
		const struct reader *reader = &readers[i];
		bool fine;

		(void)pthread_join(reader->thread, NULL);
		fine = good && reader->turns > 0 && reader->mixed == 0 && reader->older == 0;
		good = good && fine;
		(void)printf("%s %d - reader: %" PRIu64 " turns, last version %" PRIu64 ", %" PRIu64
			     " mixed, %" PRIu64 " older\n",
			fine ? "ok" : "not ok", i + 1, reader->turns, reader->highest,
			reader->mixed, reader->older);
	}
	snapshot_store_done(&store);
	return good ? 0 : 1;
}
