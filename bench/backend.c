/*
 * The backend of the benchmark: does what the head of each session asks for, and checks every byte
 * of it. SIGUSR1 releases the uploads that were to wait, SIGUSR2 closes the listener that flaps or
 * opens it again; SIGTERM ends it, with a line of results.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/hello.h"
#include "bench/net.h"
#include "bench/pattern.h"

enum {
	EVENTS_MAX = 256,
	FD_MAX = 20000,
	READ_MAX = 256 * 1024,
	SENDS_PER_TURN = 4,
	ACCEPTS_PER_TURN = 64,
	BACKLOG = 8192,
};

enum session_state { SESSION_CLOSED = 0, SESSION_HEAD, SESSION_BODY, SESSION_DRAINING };

struct session {
	enum session_state state;
	struct hello hello;
	uint8_t head[HELLO_SIZE];
	uint64_t received;   /* bytes */
	uint64_t sent;       /* bytes */
	uint64_t send_until; /* bytes */
	uint32_t interest;
	bool ended; /* the client's FIN has come */
};

struct backend {
	int epoll_fd;
	int signal_fd;
	bool stopping;
	bool released;
	struct session sessions[FD_MAX]; /* by descriptor */
	bool listens[FD_MAX];
	struct sockaddr_in flap_address;
	int flap_fd; /* -1: closed; 0: there is none */
	uint64_t accepted;
	uint64_t corrupt;   /* sessions with a wrong byte, or too many */
	uint64_t truncated; /* uploads and requests that ended too early */
};

static struct backend backend_state;
static uint8_t buffer[READ_MAX];

static void watch(struct backend *backend, int fd, struct session *session, uint32_t interest)
{
	struct epoll_event event = {.events = interest, .data.fd = fd};

	if (interest != session->interest) {
		(void)epoll_ctl(backend->epoll_fd,
			session->interest == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
		session->interest = interest;
	}
}

static void end_session(struct backend *backend, int fd)
{
	(void)close(fd);
	backend->sessions[fd].state = SESSION_CLOSED;
}

/* Ends it so that the other side cannot take it for complete. */
static void refuse(struct backend *backend, int fd)
{
	const struct linger linger = {.l_onoff = 1};

	backend->corrupt++;
	(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	end_session(backend, fd);
}

static bool waits(const struct backend *backend, const struct session *session)
{
	return session->state == SESSION_BODY && session->hello.kind == HELLO_UPLOAD_LATER &&
		!backend->released;
}

/* Sends what is due, and says what to wait for. False when the session is over. */
static bool send_due(struct backend *backend, int fd, struct session *session)
{
	for (int i = 0; i < SENDS_PER_TURN && session->sent < session->send_until; i++) {
		const uint64_t left = session->send_until - session->sent;
		const ssize_t n =
			send(fd, pattern_at(session->hello.stream, PATTERN_DOWN, session->sent),
				left < PATTERN_SPAN ? (size_t)left : PATTERN_SPAN, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			break;
		}
		if (n < 0) {
			end_session(backend, fd);
			return false;
		}
		session->sent += (uint64_t)n;
	}
	const bool sending = session->sent < session->send_until;
	const uint32_t reading = waits(backend, session) ? EPOLLET : EPOLLIN;
	watch(backend, fd, session, sending ? EPOLLOUT : reading);
	return true;
}

/* All of the answer is out: what comes next. */
static void after_answer(struct backend *backend, int fd, struct session *session)
{
	switch (session->hello.kind) {
	case HELLO_EXCHANGE:
	case HELLO_KIND_END:
		return;
	case HELLO_DOWNLOAD:
		(void)shutdown(fd, SHUT_WR);
		session->state = SESSION_DRAINING;
		return;
	case HELLO_UPLOAD:
	case HELLO_UPLOAD_LATER:
	case HELLO_EARLY: /* with what the client still sends unread: that is the point */
		end_session(backend, fd);
		return;
	}
}

static void answer(struct backend *backend, int fd, struct session *session, uint64_t bytes)
{
	session->send_until += bytes;
	if (send_due(backend, fd, session) && session->sent == session->send_until) {
		after_answer(backend, fd, session);
	}
}

static bool is_upload(const struct session *session)
{
	return session->hello.kind == HELLO_UPLOAD || session->hello.kind == HELLO_UPLOAD_LATER;
}

/* The client's FIN. */
static void on_end(struct backend *backend, int fd, struct session *session)
{
	/* One that sends nothing at all is a probe. */
	const bool whole = session->state == SESSION_DRAINING || session->received == 0 ||
		(session->state == SESSION_BODY && session->received % session->hello.request == 0);

	if (!whole) {
		backend->truncated++;
		end_session(backend, fd);
	} else if (session->state == SESSION_BODY && is_upload(session)) {
		answer(backend, fd, session, RECEIPT_SIZE);
	} else {
		end_session(backend, fd);
	}
}

/* Bytes behind the head, from `position` on, which are counted already. */
static void on_body(struct backend *backend, int fd, struct session *session, uint64_t position,
	const uint8_t *bytes, size_t length)
{
	const struct hello *hello = &session->hello;
	const uint64_t before = position / hello->request;

	if (pattern_match(hello->stream, PATTERN_UP, position, bytes, length) < length ||
		(is_upload(session) && session->received > hello->request)) {
		refuse(backend, fd);
		return;
	}
	if (hello->kind == HELLO_EXCHANGE) {
		const uint64_t requests = session->received / hello->request - before;
		if (requests > 0) {
			answer(backend, fd, session, requests * hello->response);
		}
	}
}

static void begin_body(struct backend *backend, int fd, struct session *session)
{
	if (!hello_read(session->head, &session->hello)) {
		refuse(backend, fd);
		return;
	}
	session->state = SESSION_BODY;
	switch (session->hello.kind) {
	case HELLO_DOWNLOAD:
	case HELLO_EARLY:
		answer(backend, fd, session, session->hello.response);
		return;
	case HELLO_UPLOAD_LATER:
		watch(backend, fd, session, backend->released ? EPOLLIN : EPOLLET);
		return;
	case HELLO_EXCHANGE:
	case HELLO_UPLOAD:
	case HELLO_KIND_END:
		return;
	}
}

static void on_bytes(struct backend *backend, int fd, struct session *session, size_t length)
{
	const uint64_t position = session->received;
	size_t head = 0;

	session->received += length;
	if (session->state == SESSION_DRAINING) {
		return;
	}
	if (session->state == SESSION_HEAD) {
		head = HELLO_SIZE - (size_t)position;
		if (head > length) {
			head = length;
		}
		memcpy(session->head + position, buffer, head);
		if (session->received < HELLO_SIZE) {
			return;
		}
		begin_body(backend, fd, session);
	}
	if (session->state == SESSION_BODY) {
		on_body(backend, fd, session, position + head, buffer + head, length - head);
	}
}

static void receive(struct backend *backend, int fd, struct session *session)
{
	const ssize_t n = recv(fd, buffer, READ_MAX, 0);

	if (n > 0) {
		on_bytes(backend, fd, session, (size_t)n);
	} else if (n == 0) {
		on_end(backend, fd, session);
	} else if (errno != EAGAIN) {
		end_session(backend, fd);
	}
}

static void on_session(struct backend *backend, int fd, uint32_t events)
{
	struct session *session = &backend->sessions[fd];

	if (session->state == SESSION_CLOSED || waits(backend, session)) {
		return;
	}
	if (session->sent < session->send_until) {
		answer(backend, fd, session, 0);
	} else if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
		receive(backend, fd, session);
	}
}

static void accept_some(struct backend *backend, int listener)
{
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		const int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0) {
			return;
		}
		if (fd >= FD_MAX) {
			(void)close(fd);
			return;
		}
		backend->accepted++;
		backend->sessions[fd] = (struct session){.state = SESSION_HEAD};
		/* The request is nearly always there already. */
		receive(backend, fd, &backend->sessions[fd]);
		if (backend->sessions[fd].state != SESSION_CLOSED &&
			backend->sessions[fd].interest == 0) {
			watch(backend, fd, &backend->sessions[fd], EPOLLIN);
		}
	}
}

static void release(struct backend *backend)
{
	backend->released = true;
	for (int fd = 0; fd < FD_MAX; fd++) {
		struct session *session = &backend->sessions[fd];
		if (session->state == SESSION_BODY && session->hello.kind == HELLO_UPLOAD_LATER) {
			watch(backend, fd, session, EPOLLIN);
		}
	}
}

static int watch_forever(struct backend *backend, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(backend->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static bool open_flapping(struct backend *backend)
{
	backend->flap_fd = net_listen(&backend->flap_address, BACKLOG);
	if (backend->flap_fd < 0 || watch_forever(backend, backend->flap_fd) < 0) {
		return false;
	}
	backend->listens[backend->flap_fd] = true;
	return true;
}

/* Takes what has come before it closes: what is in the queue then would be reset. */
static void flap(struct backend *backend)
{
	if (backend->flap_fd > 0) {
		accept_some(backend, backend->flap_fd);
		backend->listens[backend->flap_fd] = false;
		(void)close(backend->flap_fd);
		backend->flap_fd = -1;
	} else if (backend->flap_fd < 0) {
		(void)open_flapping(backend);
	}
}

static void on_signal(struct backend *backend)
{
	struct signalfd_siginfo info;

	while (read(backend->signal_fd, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo == SIGUSR1) {
			release(backend);
		} else if (info.ssi_signo == SIGUSR2) {
			flap(backend);
		} else {
			backend->stopping = true;
		}
	}
}

static bool start(struct backend *backend)
{
	sigset_t signals;

	(void)sigemptyset(&signals);
	(void)sigaddset(&signals, SIGUSR1);
	(void)sigaddset(&signals, SIGUSR2);
	(void)sigaddset(&signals, SIGTERM);
	(void)sigaddset(&signals, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	backend->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	backend->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	return backend->epoll_fd >= 0 && backend->signal_fd >= 0 &&
		watch_forever(backend, backend->signal_fd) == 0;
}

static void run(struct backend *backend)
{
	struct epoll_event events[EVENTS_MAX];

	while (!backend->stopping) {
		const int count = epoll_wait(backend->epoll_fd, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			const int fd = events[i].data.fd;
			if (fd == backend->signal_fd) {
				on_signal(backend);
			} else if (backend->listens[fd]) {
				accept_some(backend, fd);
			} else {
				on_session(backend, fd, events[i].events);
			}
		}
	}
}

/* Listens, and never accepts: once its queue is full, SYNs are dropped, as in a black hole. */
static int open_hole(const struct sockaddr_in *address)
{
	const int fd = net_listen(address, 0);

	for (int i = 0; fd >= 0 && i < 2; i++) {
		if (net_connect(address, 0) < 0) {
			perror("cannot fill the black hole");
			return -1;
		}
	}
	return fd;
}

static bool add_listener(struct backend *backend, int letter, const char *text)
{
	struct sockaddr_in address;
	int fd;

	if (!net_parse(text, &address)) {
		(void)fprintf(stderr, "backend: not an address: %s\n", text);
		return false;
	}
	if (letter == 'f') {
		backend->flap_address = address;
		return open_flapping(backend);
	}
	fd = letter == 'h' ? open_hole(&address) : net_listen(&address, BACKLOG);
	if (fd < 0 || (letter == 'l' && watch_forever(backend, fd) < 0)) {
		return false;
	}
	backend->listens[fd] = true;
	return true;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"hole", required_argument, NULL, 'h'},
		{"flap", required_argument, NULL, 'f'},
		{NULL, 0, NULL, 0},
	};
	struct backend *backend = &backend_state;
	int letter;

	pattern_init();
	net_raise_limit();
	if (!start(backend)) {
		perror("backend");
		return 71;
	}
	/* The only thread there is. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (letter == '?' || !add_listener(backend, letter, optarg)) {
			(void)fputs("usage: backend [--listen IPV4:PORT]... [--hole IPV4:PORT]... "
				    "[--flap IPV4:PORT]\n",
				stderr);
			return 64;
		}
	}
	(void)puts("ready");
	(void)fflush(stdout);
	run(backend);
	printf("{\"accepted\": %" PRIu64 ", \"corrupt\": %" PRIu64 ", \"truncated\": %" PRIu64
	       "}\n",
		backend->accepted, backend->corrupt, backend->truncated);
	return 0;
}
