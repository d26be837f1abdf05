#include "os/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIPE_DEFAULT_BYTES = 64 * 1024 };

int pipe_open(size_t bytes, int ends[static 2])
{
	if (pipe2(ends, O_NONBLOCK) < 0) {
		return -errno;
	}
	/* Unprivileged users have a quota of pipe pages: take the largest that is granted. */
	while (bytes > PIPE_DEFAULT_BYTES && fcntl(ends[1], F_SETPIPE_SZ, (int)bytes) < 0) {
		bytes /= 2;
	}
	return 0;
}

uint64_t pipe_inode(const int ends[static 2])
{
	struct stat one;
	struct stat other;

	if (fstat(ends[0], &one) < 0 || fstat(ends[1], &other) < 0 || !S_ISFIFO(one.st_mode) ||
		one.st_ino != other.st_ino || one.st_dev != other.st_dev) {
		return 0;
	}
	return one.st_ino;
}

uint32_t pipe_bytes(int fd)
{
	int bytes = 0;

	return ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? (uint32_t)bytes : 0;
}

void pipe_close(const int ends[static 2])
{
	(void)close(ends[0]);
	(void)close(ends[1]);
}
