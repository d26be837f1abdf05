#include "os/pipe.h"

#include <errno.h>
#include <fcntl.h>
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

void pipe_close(const int ends[static 2])
{
	(void)close(ends[0]);
	(void)close(ends[1]);
}
