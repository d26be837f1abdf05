#include "os/batch.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>

#ifdef WITH_URING
#include <liburing.h>

struct call {
	int fd;
	uint32_t number;
	uint32_t length;
	void *into;       /* NULL: it sends */
	const void *from; /* NULL: it receives */
};

struct batch {
	struct io_uring ring;
	bool broken; /* the ring has failed: it is closed */
	bool done[BATCH_CALLS_MAX];
	uint32_t count;
	struct call calls[BATCH_CALLS_MAX];
};

enum { SEND_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

/*
 * With MSG_DONTWAIT the kernel neither waits for a socket nor hands the call to a thread of its
 * own: it is made while it is submitted.
 */
int batch_create(struct batch **ret_batch)
{
	/*
	 * One thread only, which is not interrupted (6.1); an older kernel does without. What is
	 * older than 5.18 has not all of the calls, and refuses the flag.
	 */
	static const unsigned flags[] = {
		IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_SUBMIT_ALL,
	};
	struct batch *batch = calloc(1, sizeof *batch);
	int r = -ENOMEM;

	for (size_t i = 0; batch != NULL && i < sizeof flags / sizeof flags[0]; i++) {
		r = io_uring_queue_init(BATCH_CALLS_MAX, &batch->ring, flags[i]);
		if (r != -EINVAL) {
			break;
		}
	}
	if (r < 0) {
		free(batch);
		return r;
	}
	(void)io_uring_register_ring_fd(&batch->ring); /* spares a look-up; 5.18 */
	*ret_batch = batch;
	return 0;
}

void batch_free(struct batch *batch)
{
	if (batch == NULL) {
		return;
	}
	if (!batch->broken) {
		io_uring_queue_exit(&batch->ring);
	}
	free(batch);
}

static void add(struct batch *batch, const struct call *call)
{
	assert(batch->count < BATCH_CALLS_MAX && call->number < BATCH_CALLS_MAX);
	batch->done[call->number] = false;
	batch->calls[batch->count] = *call;
	batch->count++;
}

void batch_recv(struct batch *batch, uint32_t number, int fd, void *bytes, size_t length)
{
	add(batch,
		&(const struct call){
			.fd = fd, .number = number, .length = (uint32_t)length, .into = bytes});
}

void batch_send(struct batch *batch, uint32_t number, int fd, const void *bytes, size_t length)
{
	add(batch,
		&(const struct call){
			.fd = fd, .number = number, .length = (uint32_t)length, .from = bytes});
}

static void prepare(struct batch *batch)
{
	for (uint32_t i = 0; i < batch->count; i++) {
		const struct call *call = &batch->calls[i];
		struct io_uring_sqe *entry = io_uring_get_sqe(&batch->ring);

		assert(entry != NULL); /* it is empty before, and has room for all */
		if (call->from != NULL) {
			io_uring_prep_send(entry, call->fd, call->from, call->length, SEND_FLAGS);
		} else {
			io_uring_prep_recv(entry, call->fd, call->into, call->length, MSG_DONTWAIT);
		}
		entry->user_data = call->number;
	}
}

/* Returns how many results there were. */
static uint32_t collect(struct batch *batch, int results[])
{
	struct io_uring_cqe *entry;
	uint32_t count = 0;
	unsigned head;

	io_uring_for_each_cqe(&batch->ring, head, entry)
	{
		const uint64_t number = entry->user_data;

		assert(number < BATCH_CALLS_MAX && !batch->done[number]);
		batch->done[number] = true;
		results[number] = entry->res;
		count++;
	}
	io_uring_cq_advance(&batch->ring, count);
	return count;
}

/* Closing the ring takes back what the kernel has not begun; it does not begin later. */
static void give_up(struct batch *batch)
{
	io_uring_queue_exit(&batch->ring);
	batch->broken = true;
}

static void run_ring(struct batch *batch, int results[])
{
	uint32_t missing = batch->count;

	prepare(batch);
	while (missing > 0) {
		const int r = io_uring_submit_and_wait(&batch->ring, missing);

		missing -= collect(batch, results);
		if (r < 0 && r != -EINTR) {
			give_up(batch);
			return;
		}
	}
}

static int call_alone(const struct call *call)
{
	ssize_t n;

	do {
		n = call->from != NULL ? send(call->fd, call->from, call->length, SEND_FLAGS)
				       : recv(call->fd, call->into, call->length, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : (int)n;
}

void batch_run(struct batch *batch, int results[BATCH_CALLS_MAX])
{
	if (!batch->broken && batch->count > 0) {
		run_ring(batch, results);
	}
	for (uint32_t i = 0; i < batch->count && batch->broken; i++) {
		const struct call *call = &batch->calls[i];

		if (!batch->done[call->number]) {
			results[call->number] = call_alone(call);
		}
	}
	batch->count = 0;
}

#else

int batch_create(struct batch **ret_batch)
{
	(void)ret_batch;
	return -EOPNOTSUPP;
}

void batch_free(struct batch *batch)
{
	assert(batch == NULL);
}

void batch_recv(struct batch *batch, uint32_t number, int fd, void *bytes, size_t length)
{
	(void)batch;
	(void)number;
	(void)fd;
	(void)bytes;
	(void)length;
	abort(); /* there is none */
}

void batch_send(struct batch *batch, uint32_t number, int fd, const void *bytes, size_t length)
{
	(void)batch;
	(void)number;
	(void)fd;
	(void)bytes;
	(void)length;
	abort();
}

void batch_run(struct batch *batch, int results[BATCH_CALLS_MAX])
{
	(void)batch;
	(void)results;
	abort();
}

#endif
