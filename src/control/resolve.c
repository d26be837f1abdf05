#include "control/resolve.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "os/thread.h"

/* Enough that one name server that does not answer does not hold up the names of the others. */
enum { RESOLVE_THREADS = 4, PORT_TEXT_MAX = 8 };

struct question {
	uint32_t backend;
	struct address name;
};

/*
 * `mutex` protects all but `limit` and `fd`. `changed` is signalled at each question, each answer
 * and at the end.
 */
struct resolver {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	uint32_t holders; /* the threads, and control */
	bool ended;
	int fd; /* owned: eventfd */
	uint32_t limit;
	uint32_t question_count; /* a stack would starve: rings */
	uint32_t question_first;
	uint32_t answer_count;
	uint32_t answer_first;
	uint32_t open; /* asked and not yet answered */
	struct question *questions;
	struct resolve_answer *answers;
};

/* Drops one hold, with the mutex held; whoever is last frees. */
static void release(struct resolver *resolver)
{
	const bool last = --resolver->holders == 0;

	(void)pthread_mutex_unlock(&resolver->mutex);
	if (!last) {
		return;
	}
	(void)pthread_cond_destroy(&resolver->changed);
	(void)pthread_mutex_destroy(&resolver->mutex);
	(void)close(resolver->fd);
	free(resolver->questions);
	free(resolver->answers);
	free(resolver);
}

static const char *describe(int code)
{
	return code == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(code);
}

static void look_up(const struct question *question, struct resolve_answer *answer)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char port[PORT_TEXT_MAX];
	int r;

	(void)snprintf(port, sizeof port, "%u", question->name.port);
	*answer = (struct resolve_answer){.backend = question->backend};
	r = getaddrinfo(question->name.host, port, &hints, &list);
	if (r != 0) {
		(void)snprintf(answer->problem, sizeof answer->problem, "%s", describe(r));
		return;
	}
	assert(list->ai_addrlen <= sizeof answer->address.local);
	answer->found = true;
	answer->address.length = list->ai_addrlen;
	memcpy(&answer->address.generic, list->ai_addr, list->ai_addrlen);
	freeaddrinfo(list);
}

static void *run(void *argument)
{
	struct resolver *resolver = argument;

	(void)pthread_mutex_lock(&resolver->mutex);
	while (!resolver->ended) {
		struct question question;
		struct resolve_answer answer;

		if (resolver->question_count == 0) {
			(void)pthread_cond_wait(&resolver->changed, &resolver->mutex);
			continue;
		}
		question = resolver->questions[resolver->question_first];
		resolver->question_first = (resolver->question_first + 1) % resolver->limit;
		resolver->question_count--;
		(void)pthread_mutex_unlock(&resolver->mutex);

		look_up(&question, &answer);

		(void)pthread_mutex_lock(&resolver->mutex);
		resolver->answers[(resolver->answer_first + resolver->answer_count) %
			resolver->limit] = answer;
		resolver->answer_count++;
		resolver->open--;
		if (!resolver->ended) {
			(void)eventfd_write(resolver->fd, 1);
		}
		(void)pthread_cond_broadcast(&resolver->changed);
	}
	release(resolver);
	return NULL;
}

static struct resolver *allocate(uint32_t limit)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);
	pthread_condattr_t attributes;

	if (resolver == NULL) {
		return NULL;
	}
	resolver->limit = limit;
	resolver->holders = 1;
	resolver->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	resolver->questions = calloc(limit, sizeof *resolver->questions);
	resolver->answers = calloc(limit, sizeof *resolver->answers);
	(void)pthread_mutex_init(&resolver->mutex, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&resolver->changed, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	if (resolver->fd < 0 || resolver->questions == NULL || resolver->answers == NULL) {
		resolver_free(resolver);
		return NULL;
	}
	return resolver;
}

int resolver_create(uint32_t limit, struct resolver **ret_resolver, struct error *err)
{
	struct resolver *resolver = allocate(limit);

	assert(limit >= 1);
	if (resolver == NULL) {
		return error_set(err, ENOMEM, "cannot set up the resolver");
	}
	for (uint32_t i = 0; i < RESOLVE_THREADS && i < limit; i++) {
		pthread_t thread;
		int r;

		(void)pthread_mutex_lock(&resolver->mutex);
		resolver->holders++;
		(void)pthread_mutex_unlock(&resolver->mutex);
		r = thread_start(&thread, "resolver", run, resolver, err);
		if (r < 0) {
			(void)pthread_mutex_lock(&resolver->mutex);
			resolver->holders--;
			(void)pthread_mutex_unlock(&resolver->mutex);
			resolver_free(resolver);
			return r;
		}
		(void)pthread_detach(thread);
	}
	*ret_resolver = resolver;
	return 0;
}

/*
 * The descriptor stays open, and in control's epoll, until the last lookup has returned. Nobody
 * reads it any more: were it readable, control would not sleep for as long.
 */
void resolver_free(struct resolver *resolver)
{
	eventfd_t seen;

	if (resolver == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&resolver->mutex);
	resolver->ended = true;
	(void)eventfd_read(resolver->fd, &seen);
	(void)pthread_cond_broadcast(&resolver->changed);
	release(resolver);
}

int resolver_fd(const struct resolver *resolver)
{
	return resolver->fd;
}

void resolver_ask(struct resolver *resolver, uint32_t backend, const struct address *name)
{
	struct question *question;

	(void)pthread_mutex_lock(&resolver->mutex);
	assert(resolver->open + resolver->answer_count < resolver->limit);
	question = &resolver->questions[(resolver->question_first + resolver->question_count) %
		resolver->limit];
	resolver->question_count++;
	resolver->open++;
	question->backend = backend;
	question->name = *name;
	(void)pthread_cond_broadcast(&resolver->changed);
	(void)pthread_mutex_unlock(&resolver->mutex);
}

bool resolver_answer(struct resolver *resolver, struct resolve_answer *ret_answer)
{
	bool found = false;
	eventfd_t seen;

	(void)pthread_mutex_lock(&resolver->mutex);
	(void)eventfd_read(resolver->fd, &seen); /* under the mutex, so no answer goes unseen */
	if (resolver->answer_count > 0) {
		*ret_answer = resolver->answers[resolver->answer_first];
		resolver->answer_first = (resolver->answer_first + 1) % resolver->limit;
		resolver->answer_count--;
		found = true;
	}
	(void)pthread_mutex_unlock(&resolver->mutex);
	return found;
}

void resolver_wait(struct resolver *resolver, uint64_t timeout_ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(timeout_ms / 1000);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_mutex_lock(&resolver->mutex);
	while (resolver->open > 0) {
		if (pthread_cond_timedwait(&resolver->changed, &resolver->mutex, &until) != 0) {
			break;
		}
	}
	(void)pthread_mutex_unlock(&resolver->mutex);
}
