#include "observe/written.h"

#include <errno.h>
#include <unistd.h>

#include "model/shm.h"

off_t written_next(const struct shm *shm, off_t from, off_t end, off_t *ret_end)
{
	const off_t start = lseek(shm->fd, from, SEEK_DATA);
	off_t hole;

	if (start < 0) {
		*ret_end = end;
		return errno == ENXIO ? end : from;
	}
	hole = lseek(shm->fd, start, SEEK_HOLE);
	*ret_end = hole < 0 || hole > end ? end : hole;
	return start < end ? start : end;
}
