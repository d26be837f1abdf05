#include "model/shm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "model/convert.h"
#include "model/shm_layout.h"

/* Maps the whole of the file behind shm->fd. */
static int map_memory(struct shm *shm, const struct layout *layout, struct error *err)
{
	void *base = mmap(
		NULL, shm->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, shm->fd, 0);

	if (base == MAP_FAILED) {
		return error_set(err, errno, "cannot map %zu bytes of shared memory", shm->bytes);
	}
	(void)madvise(base, shm->bytes, MADV_DONTDUMP); /* a core of it would only take time */
	shm_place(shm, base, layout);
	return 0;
}

/* Nobody executes it: where the system insists on that being said (vm.memfd_noexec), say it. */
static int make_file(void)
{
	const unsigned not_executable = 0x8; /* MFD_NOEXEC_SEAL of Linux 6.3 */
	const int fd = memfd_create("loble", MFD_ALLOW_SEALING | not_executable);

	return fd >= 0 || errno != EINVAL ? fd : memfd_create("loble", MFD_ALLOW_SEALING);
}

static int create_memory(const struct layout *layout, struct shm *ret_shm, struct error *err)
{
	struct shm shm = {
		.workers = layout->head.workers,
		.sessions_per_worker = layout->head.sessions_per_worker,
		.bytes = layout->head.bytes,
	};
	int r;

	shm.fd = make_file();
	if (shm.fd < 0) {
		return error_set(err, errno, "cannot make shared memory");
	}
	if (ftruncate(shm.fd, (off_t)shm.bytes) < 0) {
		r = error_set(err, errno, "cannot size %zu bytes of shared memory", shm.bytes);
		goto fail_close;
	}
	if (fcntl(shm.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		r = error_set(err, errno, "cannot seal the shared memory");
		goto fail_close;
	}
	r = map_memory(&shm, layout, err);
	if (r < 0) {
		goto fail_close;
	}
	layout_write(layout, shm.header);
	*ret_shm = shm;
	return 0;

fail_close:
	(void)close(shm.fd);
	return r;
}

int shm_create(uint32_t workers, uint32_t sessions, struct shm *ret_shm, struct error *err)
{
	struct layout layout;

	assert(workers >= 1 && workers <= WORKERS_MAX);
	assert(sessions >= 1 && sessions <= SESSIONS_MAX);

	shm_layout(workers, sessions, &layout);
	return create_memory(&layout, ret_shm, err);
}

/* Another memory, as it was found. */
struct found {
	void *memory;
	size_t bytes;
	struct layout layout;
	struct layout mine; /* what this program would have made in its place */
};

/* Who could shrink the file could end this process with SIGBUS. */
static int check_file(int fd, size_t *ret_bytes, struct error *err)
{
	const int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
		return error_say(err, EPROTO, "descriptor %d is no shared memory of loble", fd);
	}
	if (fstat(fd, &status) < 0) {
		return error_set(err, errno, "cannot look at descriptor %d", fd);
	}
	if (status.st_size <= 0) {
		return error_say(err, EPROTO, "the shared memory is empty");
	}
	*ret_bytes = (size_t)status.st_size;
	return 0;
}

static int find_memory(int fd, struct found *found, struct error *err)
{
	const struct layout_head *head = &found->layout.head;
	int r;

	found->bytes = 0;
	found->layout.head = (struct layout_head){0};
	found->mine.head = (struct layout_head){0};
	r = check_file(fd, &found->bytes, err);

	if (r < 0) {
		return r;
	}
	found->memory = mmap(NULL, found->bytes, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (found->memory == MAP_FAILED) {
		return error_set(err, errno, "cannot map %zu bytes of shared memory", found->bytes);
	}
	r = layout_read(found->memory, found->bytes, &found->layout, err);
	if (r == 0 && (head->workers > WORKERS_MAX || head->sessions_per_worker > SESSIONS_MAX)) {
		r = error_say(err, EPROTO,
			"the shared memory is for %u workers of %u sessions; this binary takes %d "
			"of %d",
			head->workers, head->sessions_per_worker, WORKERS_MAX, SESSIONS_MAX);
	}
	if (r < 0) {
		(void)munmap(found->memory, found->bytes);
		return r;
	}
	shm_layout(head->workers, head->sessions_per_worker, &found->mine);
	return 0;
}

static void leave_memory(struct found *found)
{
	(void)munmap(found->memory, found->bytes);
}

int shm_attach(int fd, struct shm *ret_shm, struct error *err)
{
	struct found found;
	struct shm shm;
	int r = find_memory(fd, &found, err);

	if (r < 0) {
		return r;
	}
	leave_memory(&found);
	if (!layout_equal(&found.layout, &found.mine)) {
		return error_say(err, EPROTO,
			"the shared memory is of record version %u, this binary of %u",
			found.layout.head.version, found.mine.head.version);
	}
	shm = (struct shm){
		.fd = fd,
		.bytes = found.bytes,
		.workers = found.mine.head.workers,
		.sessions_per_worker = found.mine.head.sessions_per_worker,
	};
	r = map_memory(&shm, &found.mine, err);
	if (r == 0) {
		*ret_shm = shm;
	}
	return r;
}

int shm_convert(int fd, struct shm *ret_shm, struct error *err)
{
	struct found found;
	struct shm shm = {.fd = -1};
	int r = find_memory(fd, &found, err);

	if (r < 0) {
		return r;
	}
	r = create_memory(&found.mine, &shm, err);
	if (r == 0) {
		const struct convert_source source = {&found.layout, found.memory, fd};

		r = convert_memory(&source, &found.mine, (uint8_t *)shm.header, err);
		if (r < 0) {
			shm_destroy(&shm);
		} else {
			*ret_shm = shm;
		}
	}
	leave_memory(&found);
	return r;
}

bool shm_understands(int fd, struct error *err)
{
	struct found found;
	bool yes;

	if (find_memory(fd, &found, err) < 0) {
		return false;
	}
	yes = layout_equal(&found.layout, &found.mine);
	if (!yes) {
		const struct convert_source source = {&found.layout, found.memory, fd};

		yes = convert_memory(&source, &found.mine, NULL, err) == 0;
	}
	leave_memory(&found);
	return yes;
}

void shm_reset_rings(struct shm *shm)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		memset(&shm->evidence[worker], 0, sizeof shm->evidence[worker]);
		memset(&shm->commands[worker], 0, sizeof shm->commands[worker]);
	}
}

void shm_destroy(struct shm *shm)
{
	(void)munmap(shm->header, shm->bytes);
	(void)close(shm->fd);
	*shm = (struct shm){.fd = -1};
}

uint64_t shm_slot_sessions(const struct shm *shm, uint32_t slot)
{
	uint64_t sessions = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		const struct slot_counters *counters = shm_slot_counters(shm, worker, slot);

		/* In this order, so that a session that ends meanwhile is not counted twice. */
		const uint64_t finished = counter_get(&counters->finished);

		sessions += counter_get(&counters->started) - finished;
	}
	return sessions;
}

uint64_t shm_listener_claims(const struct shm *shm, uint32_t listener)
{
	uint64_t claims = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		const struct listener_counters *counters =
			shm_listener_counters(shm, worker, listener);
		const uint64_t released = counter_get(&counters->released);

		claims += counter_get(&counters->claimed) - released;
	}
	return claims;
}

uint64_t shm_listener_sessions(const struct shm *shm, uint32_t listener)
{
	uint64_t sessions = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		const struct listener_counters *counters =
			shm_listener_counters(shm, worker, listener);
		const uint64_t closed = counter_get(&counters->closed);

		sessions += counter_get(&counters->connections) - closed;
	}
	return sessions;
}

uint64_t shm_sessions(const struct shm *shm)
{
	uint64_t sessions = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		sessions += counter_get(&shm->worker_states[worker].sessions);
	}
	return sessions;
}

uint64_t shm_places_taken(const struct shm *shm)
{
	uint64_t accepting = 0;

	/* Before the sessions: the place of one that stops accepting meanwhile is among those. */
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		accepting += atomic_load_explicit(
			&shm->worker_states[worker].accepting, memory_order_acquire);
	}
	return accepting + shm_sessions(shm);
}

static bool is_free_number(const struct shm *shm, uint32_t number)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		if (listen_record_state(shm_listen_record(shm, worker, number)) != LISTEN_FREE) {
			return false;
		}
	}
	return true;
}

int shm_listen_number(struct shm *shm, uint32_t first)
{
	for (uint32_t number = first; number < LISTEN_SOCKETS_MAX; number++) {
		if (is_free_number(shm, number)) {
			if (number >= shm_listen_limit(shm)) {
				atomic_store_explicit(&shm->header->process.listen_limit,
					number + 1, memory_order_release);
			}
			return (int)number;
		}
	}
	return -1;
}

const char *continued_from_name(enum continued_from from)
{
	static const char *const names[CONTINUED_COUNT] = {
		[CONTINUED_WHOLE] = "whole",
		[CONTINUED_BUFFER] = "buffer",
		[CONTINUED_CHUNK] = "chunk",
		[CONTINUED_PIPE] = "pipe",
		[CONTINUED_CONNECTING] = "connecting",
		[CONTINUED_ACCEPTED] = "accepted",
		[CONTINUED_ENDING] = "ending",
	};

	assert(from < CONTINUED_COUNT);
	return names[from];
}

const char *upgrade_state_name(enum upgrade_state state)
{
	static const char *const names[UPGRADE_STATE_COUNT] = {
		[UPGRADE_NONE] = "none",
		[UPGRADE_TRIAL] = "running",
		[UPGRADE_PARKING] = "running",
		[UPGRADE_DONE] = "done",
		[UPGRADE_REFUSED] = "refused",
	};

	assert(state < UPGRADE_STATE_COUNT);
	return names[state];
}

const char *lost_reason_name(enum lost_reason reason)
{
	static const char *const names[LOST_REASON_COUNT] = {
		[LOST_DAMAGED] = "damaged",
		[LOST_UNPROVABLE] = "unprovable",
		[LOST_REPEATED] = "repeated",
	};

	assert(reason < LOST_REASON_COUNT);
	return names[reason];
}
