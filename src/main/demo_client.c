#include "main/demo_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/rng.h"
#include "os/clock.h"
#include "os/thread.h"

enum { TIMEOUT_S = 5, SHORT_PAUSE_MS = 2, LONG_PAUSE_MS = 50 };

static void nap(long ms)
{
	const struct timespec pause = {.tv_nsec = ms * 1000000};

	(void)nanosleep(&pause, NULL);
}

static void note_error(struct demo_client *client, const char *what, int error)
{
	if (atomic_fetch_add(&client->errors, 1) == 0) {
		(void)snprintf(client->first_error, sizeof client->first_error, "%s: %s", what,
			error == 0 ? "the session ended" : strerrordesc_np(error));
	}
}

static int connect_to(struct demo_client *client)
{
	const struct timeval limit = {.tv_sec = TIMEOUT_S};
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(client->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0) {
		note_error(client, "socket", errno);
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		note_error(client, "connect", errno);
		(void)close(fd);
		return -1;
	}
	return fd;
}

static void note_latency(struct demo_client *client, uint64_t ns)
{
	if (client->latency_count < DEMO_LATENCIES_MAX) {
		client->latencies_us[client->latency_count] = (uint32_t)(ns / 1000);
		client->latency_count++;
	}
}

/* One request and its answer, checked byte for byte. Returns the backend's number, or -1. */
static int ask(struct demo_client *client, int fd, struct rng *rng)
{
	uint8_t request[DEMO_REQUEST_BYTES];
	uint8_t answer[DEMO_ANSWER_BYTES];
	const uint64_t start_ns = clock_monotonic_ns();
	ssize_t n;

	for (size_t i = 0; i < sizeof request; i++) {
		request[i] = (uint8_t)rng_next(rng);
	}
	if (send(fd, request, sizeof request, MSG_NOSIGNAL) != (ssize_t)sizeof request) {
		note_error(client, "send", errno);
		return -1;
	}
	n = recv(fd, answer, sizeof answer, MSG_WAITALL);
	if (n != (ssize_t)sizeof answer) {
		note_error(client, "receive", n < 0 ? errno : 0);
		return -1;
	}
	if (memcmp(answer + 1, request, sizeof request) != 0 || answer[0] >= DEMO_BACKENDS) {
		note_error(client, "the answer is not what was sent", EBADMSG);
		return -1;
	}
	note_latency(client, clock_monotonic_ns() - start_ns);
	return answer[0];
}

/* Returns when the session has ended, by our own wish or by an error. */
static void hold_session(struct demo_client *client, int fd, struct rng *rng)
{
	int backend;

	do {
		backend = ask(client, fd, rng);
		nap(LONG_PAUSE_MS);
	} while (backend >= 0 && atomic_load(&client->stopping) == 0 &&
		backend != atomic_load(&client->avoid));
}

static void *run(void *argument)
{
	struct demo_client *client = argument;
	struct rng rng;

	rng_init(&rng, clock_monotonic_ns() ^ (uintptr_t)client);
	while (atomic_load(&client->stopping) == 0) {
		const int fd = connect_to(client);
		int backend = -1;

		if (fd >= 0) {
			backend = ask(client, fd, &rng);
		}
		if (backend >= 0) {
			(void)atomic_fetch_add(&client->served[backend], 1);
			if (client->stays) {
				hold_session(client, fd, &rng);
			}
		}
		if (fd >= 0) {
			(void)close(fd);
		}
		nap(SHORT_PAUSE_MS);
	}
	return NULL;
}

int demo_client_start(struct demo_client *client, uint16_t port, bool stays, struct error *err)
{
	int r;

	*client = (struct demo_client){.port = port, .stays = stays};
	atomic_store(&client->avoid, -1);
	client->latencies_us = calloc(DEMO_LATENCIES_MAX, sizeof *client->latencies_us);
	if (client->latencies_us == NULL) {
		return error_set(err, ENOMEM, "demo: cannot start a client");
	}
	r = thread_start(&client->thread, "demo-client", run, client, err);
	if (r < 0) {
		demo_client_free(client);
	}
	return r;
}

void demo_client_stop(struct demo_client *client)
{
	atomic_store(&client->stopping, 1);
	(void)pthread_join(client->thread, NULL);
}

void demo_client_free(struct demo_client *client)
{
	free(client->latencies_us);
	client->latencies_us = NULL;
}
