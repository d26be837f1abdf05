/*
 * Preloaded into a new binary, this makes it fail where SABOTAGE says, once it has taken over: in a
 * trial, and in the binary that takes everything back, it does nothing.
 *
 * Threads: the first one of each process.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const char *wanted = "";
static int binary_fd = -1; /* of the program before */

static void act(const char *crash, const char *hang, const char *leave);

/* Before main(), when there is one thread. NOLINTBEGIN(concurrency-mt-unsafe) */
__attribute__((constructor)) static void begin(void)
{
	const char *handed = getenv("LOBLE_TAKEOVER");
	const char *sabotage = getenv("SABOTAGE");

	if (handed != NULL && strncmp(handed, "new ", 4) == 0 && sabotage != NULL) {
		wanted = strdup(sabotage);
		(void)sscanf(handed, "new %*d %d", &binary_fd);
		(void)unsetenv("SABOTAGE"); /* what is executed later is sound */
		act("library_crash", "library_hang", "library_exit");
	}
}

/* NOLINTEND(concurrency-mt-unsafe) */

/* Crashes, hangs or ends if that is wanted of this process. */
static void act(const char *crash, const char *hang, const char *leave)
{
	if (strcmp(wanted, crash) == 0) {
		(void)raise(SIGSEGV);
	} else if (strcmp(wanted, hang) == 0) {
		for (;;) {
			(void)usleep(1000);
		}
	} else if (strcmp(wanted, leave) == 0) {
		_exit(3);
	}
}

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

/* The supervisor alone waits for signals so. */
int sigtimedwait(const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
	int (*real)(const sigset_t *, siginfo_t *, const struct timespec *);
	void *found = next("sigtimedwait");

	act("supervisor_crash", "supervisor_hang", "supervisor_exit");
	memcpy(&real, &found, sizeof real);
	return real(set, info, timeout);
}

/* Puts another program in place of the one before, and makes the supervisor go back to it. */
static void attack(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody writes to it any more */
	const char *path = getenv("SABOTAGE_PROGRAM");

	if (path != NULL && dup2(open(path, O_PATH), binary_fd) >= 0) {
		(void)kill(getppid(), SIGSEGV);
		(void)pause();
	}
}

/* The worker process does this once, in the middle of its start. */
int signalfd(int fd, const sigset_t *mask, int flags)
{
	int (*real)(int, const sigset_t *, int);
	void *found = next("signalfd");

	if (strcmp(wanted, "worker_attack") == 0) {
		attack();
	}
	act("worker_crash", "worker_hang", "worker_exit");
	memcpy(&real, &found, sizeof real);
	return real(fd, mask, flags);
}

/* And this when it serves. */
int epoll_wait(int fd, struct epoll_event *events, int count, int timeout_ms)
{
	int (*real)(int, struct epoll_event *, int, int);
	void *found = next("epoll_wait");

	act("loop_crash", "loop_hang", "loop_exit");
	memcpy(&real, &found, sizeof real);
	return real(fd, events, count, timeout_ms);
}
