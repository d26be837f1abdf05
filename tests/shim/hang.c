/*
 * Preloaded into Loble, this makes the worker hang that receives something while there is a file at
 * the path in HANG: "spin" in it means a circle, "wait" a wait that never ends. "sort" means a
 * successor that pauses when it has sorted the descriptors. The file is taken away, so that one
 * hangs for each.
 *
 * Threads: any.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static bool take(const char *path, char text[8])
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return false;
	}
	memset(text, 0, 8);
	(void)read(fd, text, 7);
	(void)close(fd);
	return unlink(path) == 0;
}

static void hang(const char *path)
{
	char text[8];

	if (!take(path, text)) {
		return;
	}
	if (strcmp(text, "spin") == 0) {
		for (volatile uint64_t i = 0;; i++) {
		}
	}
	for (;;) {
		(void)pause();
	}
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
	ssize_t (*real)(int, void *, size_t, int);
	void *found = dlsym(RTLD_NEXT, "recv");
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody writes to it */
	const char *path = getenv("HANG");
	ssize_t n;

	memcpy(&real, &found, sizeof real);
	n = real(fd, bytes, size, flags);
	if (n > 0 && path != NULL) {
		hang(path);
	}
	return n;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int close_range(unsigned first, unsigned last, int flags)
{
	int (*real)(unsigned, unsigned, int);
	void *found = dlsym(RTLD_NEXT, "close_range");
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody writes to it */
	const char *path = getenv("HANG");
	char text[8];

	if (path != NULL && take(path, text) && strcmp(text, "sort") == 0) {
		(void)usleep(700000);
	}
	memcpy(&real, &found, sizeof real);
	return real(first, last, flags);
}
