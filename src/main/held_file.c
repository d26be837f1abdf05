#include "main/held_file.h"

#include <sys/stat.h>

struct held_file held_file_note(int fd)
{
	struct held_file file = {.fd = fd};
	struct stat status;

	if (fd >= 0 && fstat(fd, &status) == 0) {
		file.device = status.st_dev;
		file.inode = status.st_ino;
	}
	return file;
}

bool held_file_is_same(const struct held_file *file)
{
	struct stat status;

	return file->fd >= 0 && fstat(file->fd, &status) == 0 && status.st_dev == file->device &&
		status.st_ino == file->inode;
}
