#include "control/spread.h"

#include "base/error.h"
#include "base/log.h"
#include "model/shm.h"
#include "os/steering.h"

/* The array of loads is made with the first address of several workers, and serves them all. */
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
