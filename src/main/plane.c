#include "main/plane.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config.h"
#include "data/claims.h"
#include "model/access.h"
#include "model/shm.h"
#include "os/batch.h"
#include "os/clock.h"

/* Fewer messages are moved one by one: two together cost what the calls cost that they save. */
enum { BATCH_MIN = LOBLE_BATCH_ALWAYS ? 1 : 4 };

static uint64_t random_seed(void)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
		seed = clock_monotonic_ns();
	}
	return seed;
}

/* The epoll that a worker inherits knows the wake descriptor of its predecessor. */
static int wake_fd_of(const struct worker_setup *common, uint32_t index)
{
	const int inherited = common->inherit
		? atomic_load_explicit(
			  &common->shm->worker_states[index].wake_fd, memory_order_relaxed)
		: 0;

	/* Not close-on-exec: it goes with the epoll. */
	return inherited > 0 ? inherited : eventfd(0, EFD_NONBLOCK);
}

/* `common` is what all workers are given alike. */
static int make_worker(
	const struct worker_setup *common, struct plane *plane, uint32_t index, struct error *err)
{
	struct worker_setup setup = *common;

	setup.index = index;
	setup.steering = plane->steering.entries == NULL ? NULL : &plane->steering.entries[index];
	setup.seed = random_seed();
	plane->wake_fds[index] = wake_fd_of(common, index);
	if (plane->wake_fds[index] < 0) {
		return error_set(err, errno, "cannot make worker %u", index);
	}
	setup.wake_fd = plane->wake_fds[index];
	/* Also without an access log, which a reload may switch on: untouched it costs nothing. */
	plane->access[index] = aligned_alloc(CACHE_LINE, sizeof(struct access_ring));
	if (plane->access[index] == NULL) {
		return error_set(err, ENOMEM, "cannot make worker %u", index);
	}
	access_init(plane->access[index]);
	setup.access = plane->access[index];
	return worker_create(&setup, &plane->workers[index], err);
}

/* spread_prepare() made the array, maybe that of a predecessor. Without it, all works. */
static void map_steering(const struct shm *shm, struct steering *ret_steering)
{
	const int fd =
		atomic_load_explicit(&shm->header->process.steering_fd, memory_order_relaxed);

	if (fd > 0) {
		(void)steering_map(fd, shm->workers, ret_steering, NULL);
	}
}

/* The workers make their own: this is whether they can. */
static int try_batch(void)
{
	struct batch *batch = NULL;
	const int r = batch_create(&batch);

	batch_free(batch);
	return -r;
}

int plane_create(const struct config *config, struct shm *shm, const struct snapshot_store *store,
	const struct claims *claims, struct plane *ret_plane, struct error *err)
{
	struct plane plane = {
		.worker_count = shm->workers,
		.inherits = claims != NULL,
		.batch_error = config->server.io_uring ? try_batch() : 0,
	};
	struct worker_setup common = {
		.shm = shm,
		.store = store,
		.max_sessions = config->server.max_sessions,
		.batch_min = config->server.io_uring && plane.batch_error == 0 ? BATCH_MIN : 0,
		.inherit = claims != NULL,
	};
	int r = 0;

	for (uint32_t i = 0; i < WORKERS_MAX; i++) {
		plane.wake_fds[i] = -1;
	}
	plane.control_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (plane.control_fd < 0) {
		return error_set(err, errno, "cannot make the workers");
	}
	common.control_fd = plane.control_fd;
	map_steering(shm, &plane.steering);
	for (uint32_t i = 0; r == 0 && i < plane.worker_count; i++) {
		if (claims != NULL) {
			common.orphans = claims->orphans[i];
			common.orphan_count = claims->orphan_count[i];
		}
		r = make_worker(&common, &plane, i, err);
	}
	if (r < 0) {
		if (claims == NULL) {
			plane_free(&plane);
		}
		return r;
	}
	*ret_plane = plane;
	return 0;
}

int plane_start(struct plane *plane, struct shm *shm, struct error *err)
{
	const struct command leave = {.kind = COMMAND_EXIT, .reason = CLOSE_DRAIN};

	while (plane->started < plane->worker_count) {
		const int r = worker_start(plane->workers[plane->started], err);

		if (r < 0 && plane->inherits) {
			return r;
		}
		if (r < 0) {
			for (uint32_t i = 0; i < plane->started; i++) {
				(void)command_push(&shm->commands[i], &leave);
				(void)eventfd_write(plane->wake_fds[i], 1);
			}
			plane_join(plane);
			return r;
		}
		plane->started++;
	}
	return 0;
}

void plane_join(struct plane *plane)
{
	for (uint32_t i = 0; i < plane->started; i++) {
		worker_join(plane->workers[i]);
	}
	plane->started = 0;
}

static void reset_sessions_of(const struct shm *shm, uint32_t worker)
{
	for (uint32_t i = 0; i < shm->sessions_per_worker; i++) {
		const struct session_record *record = shm_record(shm, worker, i);

		if (record->generation == 0) {
			return; /* never used, nor is any after it */
		}
		for (int side = 0; side < SIDE_COUNT; side++) {
			const int fd = session_record_fd(record, (enum side)side);

			if (fd >= 0) {
				socket_reset_on_close(fd);
			}
		}
	}
}

void plane_reset_sessions(const struct shm *shm)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		if (atomic_load_explicit(
			    &shm->worker_states[worker].stopped, memory_order_acquire) == 0) {
			reset_sessions_of(shm, worker);
		}
	}
}

void plane_free(struct plane *plane)
{
	for (uint32_t i = 0; i < plane->worker_count; i++) {
		worker_free(plane->workers[i]);
		free(plane->access[i]);
		socket_close(plane->wake_fds[i]);
	}
	socket_close(plane->control_fd);
	steering_unmap(&plane->steering);
}
