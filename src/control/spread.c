#include "control/spread.h"

#include <errno.h>
#include <time.h>

#include "base/error.h"
#include "base/log.h"
#include "model/shm.h"
#include "os/steering.h"

/* The kernel frees a program some 20 ms after the last socket has left it. */
enum { WAITS_MAX = 200 };
static const struct timespec WAIT = {.tv_nsec = 1000000};

/* One array of loads serves all addresses. */
static int array_of(struct shm *shm, struct error *err)
{
	struct process_state *process = &shm->header->process;
	int fd = atomic_load_explicit(&process->steering_fd, memory_order_relaxed);
	int r;

	if (fd > 0) {
		return fd;
	}
	r = steering_create(&fd, err);
	if (r == 0) {
		atomic_store_explicit(&process->steering_fd, fd, memory_order_relaxed);
		return fd;
	}
	return r;
}

/* Whether new clients of all workers come there by TCP. */
static bool find_sockets(const struct shm *shm, uint32_t number, int ret_fds[static WORKERS_MAX])
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		const struct listen_record *record = shm_listen_record(shm, worker, number);

		if (listen_record_state(record) != LISTEN_OPEN ||
			(listen_record_flags(record) & (LISTEN_LOCAL | LISTEN_RETIRED)) != 0) {
			return false;
		}
		ret_fds[worker] = record->fd;
	}
	return true;
}

/* `waits_left` is for all addresses together: a start must not take long. */
static void attach_freed(const struct shm *shm, int array_fd, const int *fds, uint32_t *waits_left)
{
	while (steering_attach(array_fd, fds, shm->workers, NULL) == -EBUSY && *waits_left > 0) {
		(void)nanosleep(&WAIT, NULL);
		(*waits_left)--;
	}
}

/*
 * Listeners of a predecessor may have programs that read an array whose number was damaged. Nobody
 * writes it any more: they get new programs, or where that fails the hash, as without BPF.
 */
void spread_prepare(struct shm *shm)
{
	const struct process_state *process = &shm->header->process;
	const uint32_t limit = shm_listen_limit(shm);
	uint32_t waits_left = WAITS_MAX;
	int fds[WORKERS_MAX];
	int array_fd;

	if (shm->workers < 2 ||
		atomic_load_explicit(&process->steering_fd, memory_order_relaxed) > 0) {
		return;
	}
	for (uint32_t number = 0; number < limit; number++) {
		if (find_sockets(shm, number, fds)) {
			steering_detach(fds[0]);
		}
	}
	array_fd = array_of(shm, NULL);
	for (uint32_t number = 0; array_fd > 0 && number < limit; number++) {
		if (find_sockets(shm, number, fds)) {
			attach_freed(shm, array_fd, fds, &waits_left);
		}
	}
}

void spread_clients(struct shm *shm, uint32_t number, enum spread_moment moment)
{
	_Atomic uint32_t *error = &shm->header->process.steering_error;
	int fds[WORKERS_MAX];
	struct error why;
	int r;

	if (shm->workers < 2) {
		return;
	}
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		fds[worker] = shm_listen_record(shm, worker, number)->fd;
	}
	r = array_of(shm, &why);
	if (r >= 0) {
		r = steering_attach(r, fds, shm->workers, &why);
	}
	/* Said once, however many listeners it is about. */
	if (r < 0 && atomic_exchange_explicit(error, (uint32_t)-r, memory_order_relaxed) == 0 &&
		moment == SPREAD_AT_RELOAD) {
		log_message(LOG_INFO, "steering_off",
			"%s; clients of new listeners are spread by a hash", why.text);
	}
}
