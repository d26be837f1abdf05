#include "control/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "os/thread.h"

struct question {
	uint32_t backend;
	struct address name;
};

struct resolver {
	pthread_t thread;
	int fd; /* owned eventfd: an answer is there */
	uint32_t limit;
	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t asked; /* questions, or leaving */
	struct question *questions;
	uint32_t question_count;
	struct resolve_answer *answers;
	uint32_t answer_count;
	bool busy; /* the thread is inside getaddrinfo() */
	bool leaving;
};

static struct resolve_answer look_up(const struct question *question)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct resolve_answer answer = {.backend = question->backend};
	struct addrinfo *list = NULL;
	char port[8];
	int code;

	(void)snprintf(port, sizeof port, "%u", question->name.port);
	code = getaddrinfo(question->name.host, port, &hints, &list);
	if (code != 0) {
		(void)snprintf(answer.problem, sizeof answer.problem, "%s", gai_strerror(code));
		return answer;
	}
	if (list != NULL && list->ai_addrlen <= sizeof answer.address.local) {
		answer.found = true;
		answer.address.length = list->ai_addrlen;
		memcpy(&answer.address.generic, list->ai_addr, list->ai_addrlen);
	}
	freeaddrinfo(list);
	return answer;
}

static void serve_one(struct resolver *resolver)
{
	const struct question question = resolver->questions[0];
	struct resolve_answer answer;

	resolver->question_count--;
	memmove(resolver->questions, resolver->questions + 1,
		resolver->question_count * sizeof *resolver->questions);
	resolver->busy = true;
	(void)pthread_mutex_unlock(&resolver->lock);
	answer = look_up(&question);
	(void)pthread_mutex_lock(&resolver->lock);
	resolver->busy = false;
	resolver->answers[resolver->answer_count] = answer;
	resolver->answer_count++;
	(void)eventfd_write(resolver->fd, 1);
}

static void *run(void *argument)
{
	struct resolver *resolver = argument;

	(void)pthread_mutex_lock(&resolver->lock);
	while (!resolver->leaving) {
		if (resolver->question_count > 0) {
			serve_one(resolver);
		} else {
			(void)pthread_cond_wait(&resolver->asked, &resolver->lock);
		}
	}
	(void)pthread_mutex_unlock(&resolver->lock);
	return NULL;
}

static void release(struct resolver *resolver)
{
	(void)close(resolver->fd);
	free(resolver->questions);
	free(resolver->answers);
	free(resolver);
}

int resolver_create(uint32_t limit, struct resolver **ret_resolver, struct error *err)
{
	struct resolver *resolver = calloc(1, sizeof *resolver);
	int r;

	if (resolver == NULL) {
		return error_set(err, ENOMEM, "cannot start the resolver");
	}
	resolver->limit = limit;
	resolver->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	resolver->questions = calloc(limit, sizeof *resolver->questions);
	/* One more: the thread may hold a question while all the others are asked. */
	resolver->answers = calloc(limit + 1U, sizeof *resolver->answers);
	if (resolver->fd < 0 || resolver->questions == NULL || resolver->answers == NULL) {
		r = error_set(err, resolver->fd < 0 ? errno : ENOMEM, "cannot start the resolver");
		goto fail_release;
	}
	(void)pthread_mutex_init(&resolver->lock, NULL);
	(void)pthread_cond_init(&resolver->asked, NULL);
	r = thread_start(&resolver->thread, "loble-resolver", run, resolver, err);
	if (r < 0) {
		goto fail_release;
	}
	*ret_resolver = resolver;
	return 0;

fail_release:
	release(resolver);
	return r;
}

void resolver_free(struct resolver *resolver)
{
	bool busy;

	if (resolver == NULL) {
		return;
	}
	(void)pthread_mutex_lock(&resolver->lock);
	resolver->leaving = true;
	busy = resolver->busy;
	(void)pthread_cond_signal(&resolver->asked);
	(void)pthread_mutex_unlock(&resolver->lock);
	if (busy) {
		/* A look-up cannot be cut short; the process ends without it. */
		(void)pthread_detach(resolver->thread);
		return;
	}
	(void)pthread_join(resolver->thread, NULL);
	release(resolver);
}

void resolver_ask(struct resolver *resolver, uint32_t backend, const struct address *name)
{
	(void)pthread_mutex_lock(&resolver->lock);
	if (resolver->question_count < resolver->limit) {
		resolver->questions[resolver->question_count] =
			(struct question){.backend = backend, .name = *name};
		resolver->question_count++;
		(void)pthread_cond_signal(&resolver->asked);
	}
	(void)pthread_mutex_unlock(&resolver->lock);
}

int resolver_fd(const struct resolver *resolver)
{
	return resolver->fd;
}

bool resolver_answer(struct resolver *resolver, struct resolve_answer *ret_answer)
{
	bool found = false;
	eventfd_t count;

	(void)eventfd_read(resolver->fd, &count);
	(void)pthread_mutex_lock(&resolver->lock);
	if (resolver->answer_count > 0) {
		resolver->answer_count--;
		*ret_answer = resolver->answers[resolver->answer_count];
		found = true;
	}
	(void)pthread_mutex_unlock(&resolver->lock);
	return found;
}
