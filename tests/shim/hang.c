/*
 * Preloaded into Loble, this makes the worker hang that receives something while there is a file at
 * the path in HANG: "spin" in it means a circle, "wait" a wait that never ends. The file is taken
 * away, so that one worker hangs for each.
 *
 * Threads: any.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void hang(const char *path)
{
	char text[8] = "";
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		return;
	}
	(void)read(fd, text, sizeof text - 1);
	(void)close(fd);
	if (unlink(path) < 0) {
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
