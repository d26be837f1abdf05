#include "control/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "model/shm.h"

/* Memory that is never touched costs nothing: room for all that can wait at once. */
enum { WAITING_MAX = 2 * SLOTS_MAX + COMMAND_KIND_COUNT };

int outbox_init(struct outbox *outbox, struct shm *shm, const int *worker_fds)
{
	*outbox = (struct outbox){
		.shm = shm,
		.worker_fds = worker_fds,
		.limit = WAITING_MAX,
	};
	outbox->waiting = calloc((size_t)shm->workers * outbox->limit, sizeof *outbox->waiting);
	outbox->counts = calloc(shm->workers, sizeof *outbox->counts);
	if (outbox->waiting == NULL || outbox->counts == NULL) {
		outbox_done(outbox);
		return -ENOMEM;
	}
	return 0;
}

void outbox_done(struct outbox *outbox)
{
	free(outbox->waiting);
	free(outbox->counts);
	*outbox = (struct outbox){.shm = NULL};
}

static bool is_same(const struct command *a, const struct command *b)
{
	return a->kind == b->kind && a->argument == b->argument;
}

static void queue(struct outbox *outbox, uint32_t worker, const struct command *command)
{
	struct command *waiting = &outbox->waiting[(size_t)worker * outbox->limit];

	for (uint32_t i = 0; i < outbox->counts[worker]; i++) {
		if (is_same(&waiting[i], command)) {
			return;
		}
	}
	assert(outbox->counts[worker] < outbox->limit);
	waiting[outbox->counts[worker]++] = *command;
}

static void wake(const struct outbox *outbox, uint32_t worker)
{
	/* Fails only when the counter is full, and then the worker is being woken already. */
	(void)eventfd_write(outbox->worker_fds[worker], 1);
}

static void flush_worker(struct outbox *outbox, uint32_t worker)
{
	struct command *waiting = &outbox->waiting[(size_t)worker * outbox->limit];
	const uint32_t count = outbox->counts[worker];
	uint32_t sent = 0;

	while (sent < count && command_push(&outbox->shm->commands[worker], &waiting[sent])) {
		sent++;
	}
	if (sent > 0) {
		memmove(waiting, waiting + sent, (count - sent) * sizeof *waiting);
		outbox->counts[worker] = count - sent;
		wake(outbox, worker);
	}
}

void outbox_post(struct outbox *outbox, const struct command *command)
{
	for (uint32_t worker = 0; worker < outbox->shm->workers; worker++) {
		queue(outbox, worker, command);
		flush_worker(outbox, worker);
	}
}

bool outbox_flush(struct outbox *outbox)
{
	bool waits = false;

	for (uint32_t worker = 0; worker < outbox->shm->workers; worker++) {
		if (outbox->counts[worker] > 0) {
			flush_worker(outbox, worker);
			waits |= outbox->counts[worker] > 0;
		}
	}
	return waits;
}
