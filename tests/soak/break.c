/*
 * Makes a new binary fail in the middle of an upgrade: preloaded into a Loble, it waits until the
 * image is a new one that takes over, and then does what the file says whose path stands in
 * LOBLE_BREAK. A file that is missing or empty breaks nothing.
 *
 *   worker_crash, worker_hang            in the middle of adoption, when the proof of the
 *                                        sessions asks for counters
 *   supervisor_crash, supervisor_hang    when the new supervisor waits for the first time
 *
 * Threads: any.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ASKED_BEFORE = 30 };

static bool is_new;          /* this image is the new one of an upgrade */
static pid_t supervisor_pid; /* its first process */

__attribute__((constructor)) static void look_who_we_are(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread */
	const char *role = getenv("LOBLE_TAKEOVER");

	is_new = role != NULL && strncmp(role, "new", 3) == 0;
	supervisor_pid = getpid();
}

static bool is_wanted(const char *what)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody writes to it any more */
	const char *path = getenv("LOBLE_BREAK");
	char text[64];
	ssize_t length;
	int fd;

	if (!is_new || path == NULL) {
		return false;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		return false;
	}
	length = read(fd, text, sizeof text - 1);
	(void)close(fd);
	text[length < 0 ? 0 : length] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return strcmp(text, what) == 0;
}

static void hang(void)
{
	for (volatile uint64_t i = 0;; i++) {
	}
}

static void fail_as(const char *who_crashes, const char *who_hangs)
{
	if (is_wanted(who_crashes)) {
		(void)raise(SIGSEGV);
		abort(); /* where the signal was blocked */
	}
	if (is_wanted(who_hangs)) {
		hang();
	}
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	static int (*next)(int, int, int, void *, socklen_t *);
	static _Atomic uint32_t asked;

	if (next == NULL) {
		*(void **)&next = dlsym(RTLD_NEXT, "getsockopt");
	}
	if (is_new && getpid() != supervisor_pid && level == IPPROTO_TCP && option == TCP_INFO &&
		++asked == ASKED_BEFORE) {
		fail_as("worker_crash", "worker_hang");
	}
	return next(fd, level, option, value, length);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int sigtimedwait(const sigset_t *signals, siginfo_t *info, const struct timespec *limit)
{
	static int (*next)(const sigset_t *, siginfo_t *, const struct timespec *);

	if (next == NULL) {
		*(void **)&next = dlsym(RTLD_NEXT, "sigtimedwait");
	}
	if (is_new && getpid() == supervisor_pid) {
		fail_as("supervisor_crash", "supervisor_hang");
	}
	return next(signals, info, limit);
}
