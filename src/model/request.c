#include "model/request.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"

/* A ring with room for all that can be under way; `fd` is readable while it is not empty. */
struct queue {
	int fd; /* owned: eventfd */
	uint32_t first;
	uint32_t count;
	struct request entries[REQUESTS_MAX];
};

struct request_box {
	pthread_mutex_t lock; /* of all below; never held for longer than a copy takes */
	uint32_t under_way;   /* posted and not yet collected */
	struct queue posted;
	struct queue answered;
};

static void push(struct queue *queue, const struct request *request)
{
	assert(queue->count < REQUESTS_MAX);
	queue->entries[(queue->first + queue->count) % REQUESTS_MAX] = *request;
	queue->count++;
	(void)eventfd_write(queue->fd, 1);
}

/* The descriptor is emptied under the lock, so that no wake-up gets lost. */
static bool pop(struct queue *queue, struct request *ret_request)
{
	eventfd_t count;

	if (queue->count == 0) {
		(void)eventfd_read(queue->fd, &count);
		return false;
	}
	*ret_request = queue->entries[queue->first];
	queue->first = (queue->first + 1) % REQUESTS_MAX;
	queue->count--;
	return true;
}

static void clear(struct queue *queue)
{
	struct request request;

	while (pop(queue, &request)) {
		free(request.text);
	}
	if (queue->fd >= 0) {
		(void)close(queue->fd);
	}
}

int request_box_create(struct request_box **ret_box, struct error *err)
{
	struct request_box *box = calloc(1, sizeof *box);
	int r;

	if (box == NULL) {
		return error_set(err, ENOMEM, "cannot make the box of requests");
	}
	box->posted.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	box->answered.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (box->posted.fd < 0 || box->answered.fd < 0) {
		r = error_set(err, errno, "cannot make the box of requests");
		clear(&box->posted);
		clear(&box->answered);
		free(box);
		return r;
	}
	(void)pthread_mutex_init(&box->lock, NULL);
	*ret_box = box;
	return 0;
}

void request_box_free(struct request_box *box)
{
	if (box == NULL) {
		return;
	}
	clear(&box->posted);
	clear(&box->answered);
	(void)pthread_mutex_destroy(&box->lock);
	free(box);
}

int request_box_control_fd(const struct request_box *box)
{
	return box->posted.fd;
}

int request_box_admin_fd(const struct request_box *box)
{
	return box->answered.fd;
}

bool request_post(struct request_box *box, const struct request *request)
{
	bool posted;

	(void)pthread_mutex_lock(&box->lock);
	posted = box->under_way < REQUESTS_MAX;
	if (posted) {
		box->under_way++;
		push(&box->posted, request);
	}
	(void)pthread_mutex_unlock(&box->lock);
	return posted;
}

bool request_take(struct request_box *box, struct request *ret_request)
{
	bool taken;

	(void)pthread_mutex_lock(&box->lock);
	taken = pop(&box->posted, ret_request);
	(void)pthread_mutex_unlock(&box->lock);
	return taken;
}

void request_answer(struct request_box *box, const struct request *request)
{
	(void)pthread_mutex_lock(&box->lock);
	push(&box->answered, request);
	(void)pthread_mutex_unlock(&box->lock);
}

bool request_collect(struct request_box *box, struct request *ret_request)
{
	bool collected;

	(void)pthread_mutex_lock(&box->lock);
	collected = pop(&box->answered, ret_request);
	if (collected) {
		assert(box->under_way > 0);
		box->under_way--;
	}
	(void)pthread_mutex_unlock(&box->lock);
	return collected;
}
