#include "main/demo_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "main/demo_tally.h"
#include "main/demo_wire.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
	PATIENCE_S = 8, /* for a connect, and for each part of an answer */
	SHORT_REQUESTS_MAX = 3,
	SHORT_PAUSE_MS = 15, /* between two sessions */
	LONG_PAUSE_MS = 20,  /* between two requests */
	PAUSE_AFTER_ERROR_MS = 200,
	LARGE_ONE_IN = 16, /* most requests are small, some are large */
	SMALL_MAX = 2048,
};

struct session {
	struct demo_client *client; /* borrowed */
	int fd;
	enum demo_phase begun_phase;
	uint64_t begun_ns; /* wall clock */
	uint64_t begun_monotonic_ns;
	uint32_t requests;
	uint32_t backend; /* that answered; set with the first answer */
	char body[DEMO_BODY_MAX];
};

static void sleep_ms(unsigned ms)
{
	const struct timespec pause = {.tv_nsec = (long)ms * 1000000};

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static bool stopping(struct demo_client *client)
{
	return atomic_load_explicit(&client->stop, memory_order_relaxed);
}

/* Returns false after having counted the error: `what` failed with the present errno. */
static bool fail(struct session *session, const char *what)
{
	const int error = errno == EAGAIN || errno == EINPROGRESS ? ETIMEDOUT : errno;

	demo_tally_error(session->client->tally, "%s, request %u: %s", what, session->requests + 1,
		strerrordesc_np(error));
	return false;
}

static bool open_session(struct session *session)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons(session->client->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const int yes = 1;

	session->requests = 0;
	session->begun_phase = demo_tally_phase(session->client->tally);
	session->begun_ns = clock_wall_ns();
	session->begun_monotonic_ns = clock_monotonic_ns();
	session->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (session->fd < 0) {
		return fail(session, "socket");
	}
	(void)setsockopt(session->fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	(void)setsockopt(session->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	if (connect(session->fd, (const struct sockaddr *)&address, sizeof address) < 0) {
		(void)fail(session, "connect");
		(void)close(session->fd);
		return false;
	}
	return true;
}

static bool send_all(struct session *session, const char *bytes, size_t length)
{
	while (length > 0) {
		const ssize_t count = send(session->fd, bytes, length, MSG_NOSIGNAL);

		if (count < 0) {
			return fail(session, "send");
		}
		bytes += count;
		length -= (size_t)count;
	}
	return true;
}

static bool receive_all(struct session *session, char *bytes, size_t length)
{
	while (length > 0) {
		const ssize_t count = recv(session->fd, bytes, length, 0);

		if (count < 0) {
			return fail(session, "receive");
		}
		if (count == 0) {
			demo_tally_error(session->client->tally,
				"the answer to request %u ended in the middle",
				session->requests + 1);
			return false;
		}
		bytes += count;
		length -= (size_t)count;
	}
	return true;
}

static bool send_request(struct session *session, uint64_t seed, uint32_t length)
{
	const struct demo_header request = {
		.magic = DEMO_WIRE_MAGIC,
		.length = length,
		.seed = seed,
	};
	char header[DEMO_HEADER_SIZE];

	demo_header_write(&request, header);
	demo_body_fill(seed, 0, session->body, length);
	return send_all(session, header, sizeof header) && send_all(session, session->body, length);
}

static bool receive_answer(struct session *session, uint64_t seed, uint32_t length)
{
	struct demo_tally *tally = session->client->tally;
	struct demo_header answer;
	char header[DEMO_HEADER_SIZE];

	if (!receive_all(session, header, sizeof header)) {
		return false;
	}
	if (!demo_header_read(header, &answer) || answer.length != length ||
		answer.seed != demo_answer_seed(seed) || answer.backend >= DEMO_BACKEND_COUNT) {
		demo_tally_error(tally, "an answer is not that of its request");
		return false;
	}
	if (!receive_all(session, session->body, length)) {
		return false;
	}
	if (answer.intact == 0 || !demo_body_check(answer.seed, 0, session->body, length)) {
		demo_tally_error(tally, "bytes of %s differ from what was sent",
			answer.intact == 0 ? "a request" : "an answer");
		return false;
	}
	if (session->requests > 0 && answer.backend != session->backend) {
		demo_tally_error(tally, "a session changed its backend");
		return false;
	}
	session->backend = answer.backend;
	return true;
}

static bool ask(struct session *session, struct rng *rng)
{
	const uint64_t begun_ns =
		session->requests == 0 ? session->begun_monotonic_ns : clock_monotonic_ns();
	const uint32_t limit = rng_below(rng, LARGE_ONE_IN) == 0 ? DEMO_BODY_MAX : SMALL_MAX;
	const uint32_t length = 1 + rng_below(rng, limit);
	const uint64_t seed = rng_next(rng);
	struct demo_answer answer;

	if (!send_request(session, seed, length) || !receive_answer(session, seed, length)) {
		return false;
	}
	answer = (struct demo_answer){
		.begun_phase = session->begun_phase,
		.begun_ns = session->begun_ns,
		.first = session->requests == 0,
		.backend = session->backend,
		.bytes = length,
		.latency_ns = clock_monotonic_ns() - begun_ns,
		.now_ns = clock_wall_ns(),
	};
	demo_tally_answer(session->client->tally, &answer);
	(void)atomic_fetch_add_explicit(&session->client->answers, 1, memory_order_relaxed);
	session->requests++;
	return true;
}

/* The backend has to see our end and end, too: a reset here is an error like any other. */
static void say_goodbye(struct session *session)
{
	char byte;

	if (shutdown(session->fd, SHUT_WR) < 0) {
		(void)fail(session, "shutdown");
		return;
	}
	switch (recv(session->fd, &byte, 1, 0)) {
	case 0:
		return;
	case 1:
		demo_tally_error(session->client->tally, "bytes after the end of the answer");
		return;
	default:
		(void)fail(session, "end");
		return;
	}
}

static bool goes_on(struct session *session, struct rng *rng)
{
	struct demo_client *client = session->client;
	const bool released =
		atomic_exchange_explicit(&client->release, false, memory_order_relaxed);

	if (stopping(client)) {
		return false;
	}
	if (client->kind == DEMO_SHORT) {
		return session->requests < 1 + rng_below(rng, SHORT_REQUESTS_MAX);
	}
	if (released && session->backend == DEMO_VICTIM) {
		return false;
	}
	sleep_ms(LONG_PAUSE_MS);
	return true;
}

static void *run(void *argument)
{
	struct demo_client *client = argument;
	struct session session = {.client = client};
	struct rng rng;

	rng_init(&rng, client->seed);
	while (!stopping(client)) {
		bool alive;

		if (!open_session(&session)) {
			sleep_ms(PAUSE_AFTER_ERROR_MS);
			continue;
		}
		do {
			alive = ask(&session, &rng);
		} while (alive && goes_on(&session, &rng));
		if (alive) {
			say_goodbye(&session);
		}
		(void)close(session.fd);
		sleep_ms(alive ? SHORT_PAUSE_MS : PAUSE_AFTER_ERROR_MS);
	}
	return NULL;
}

int demo_client_start(struct demo_client *client, struct error *err)
{
	int r;

	atomic_init(&client->stop, false);
	atomic_init(&client->release, false);
	atomic_init(&client->answers, 0);
	r = thread_start(&client->thread, "demo-client", run, client, err);
	client->started = r == 0;
	return r;
}

void demo_client_ask_to_stop(struct demo_client *client)
{
	atomic_store_explicit(&client->stop, true, memory_order_relaxed);
}

void demo_client_join(struct demo_client *client)
{
	if (client->started) {
		(void)pthread_join(client->thread, NULL);
		client->started = false;
	}
}

void demo_client_release(struct demo_client *client)
{
	atomic_store_explicit(&client->release, true, memory_order_relaxed);
}

uint64_t demo_client_answers(const struct demo_client *client)
{
	return atomic_load_explicit(&client->answers, memory_order_relaxed);
}
