#include "observe/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/thread.h"

enum {
	RING_BYTES = 1024 * 1024,
	WRITE_BYTES = 64 * 1024,
	LOG_FILE_MODE = 0640,
	PRIORITY_BYTES = 3, /* "<6>" */
};

struct log_writer {
	pthread_t thread;
	char *path; /* owned; NULL: standard error */
	enum log_format format;
	bool priorities;          /* each line begins with its priority, for the journal */
	counter_t *dropped_total; /* borrowed; may be NULL */
	int fd;                   /* the thread's; owned unless it is standard error */
	pthread_mutex_t lock;     /* protects all below */
	pthread_cond_t filled;    /* there is something to do */
	pthread_cond_t ended;
	char *ring;
	uint64_t head; /* bytes taken out so far */
	uint64_t tail; /* bytes put in so far */
	uint64_t dropped;
	uint64_t told; /* of those, how many a line has told of */
	bool reopen;
	bool leaving;
	bool gone; /* the thread has ended */
};

/* Whether the journal reads standard error: then it says so by device and inode. */
static bool is_journal(const char *stream)
{
	struct stat status;
	char text[64];

	if (stream == NULL || fstat(STDERR_FILENO, &status) < 0) {
		return false;
	}
	(void)snprintf(
		text, sizeof text, "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
	return strcmp(text, stream) == 0;
}

static enum log_format settle_format(const struct log_writer_setup *setup, int fd)
{
	switch (setup->format) {
	case LOG_WRITER_TEXT:
		return LOG_FORMAT_TEXT;
	case LOG_WRITER_JSON:
		return LOG_FORMAT_JSON;
	case LOG_WRITER_AUTO:
		break;
	}
	return isatty(fd) ? LOG_FORMAT_TEXT : LOG_FORMAT_JSON;
}

static int open_path(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, LOG_FILE_MODE);
}

/* Copies into the ring, around its end. There must be room. */
static void put_bytes(struct log_writer *writer, const char *bytes, size_t length)
{
	const size_t at = writer->tail % RING_BYTES;
	const size_t first = length < RING_BYTES - at ? length : RING_BYTES - at;

	memcpy(writer->ring + at, bytes, first);
	memcpy(writer->ring, bytes + first, length - first);
	writer->tail += length;
}

static bool has_room(const struct log_writer *writer, size_t length)
{
	return writer->tail - writer->head + length <= RING_BYTES;
}

static void put_line(
	struct log_writer *writer, enum log_level level, const char *line, size_t length)
{
	static const char *const priorities[] = {
		[LOG_DEBUG] = "<7>", [LOG_INFO] = "<6>", [LOG_WARN] = "<4>", [LOG_ERROR] = "<3>"};

	if (!has_room(writer, length + PRIORITY_BYTES)) {
		writer->dropped++;
		if (writer->dropped_total != NULL) {
			(void)atomic_fetch_add_explicit(
				writer->dropped_total, 1, memory_order_relaxed);
		}
		return;
	}
	if (writer->priorities) {
		put_bytes(writer, priorities[level], PRIORITY_BYTES);
	}
	put_bytes(writer, line, length);
}

/* Once there is room again: how much is missing. */
static void tell_dropped(struct log_writer *writer)
{
	struct log_line line;
	const uint64_t lines = writer->dropped - writer->told;

	if (lines == 0 || !has_room(writer, RING_BYTES / 2)) {
		return;
	}
	log_begin_as(&line, writer->format, LOG_WARN, "log_dropped", clock_wall_ns());
	log_number(&line, "lines", lines);
	log_finish(&line);
	writer->told = writer->dropped;
	put_line(writer, LOG_WARN, line.text, line.length);
}

static void do_reopen(struct log_writer *writer)
{
	int fd;

	writer->reopen = false;
	if (writer->path == NULL) {
		return;
	}
	fd = open_path(writer->path);
	if (fd < 0) {
		struct log_line line;

		log_begin_as(
			&line, writer->format, LOG_ERROR, "log_reopen_failed", clock_wall_ns());
		log_text(&line, "file", writer->path);
		log_text(&line, "reason", strerrordesc_np(errno));
		log_finish(&line);
		put_line(writer, LOG_ERROR, line.text, line.length);
		return;
	}
	(void)close(writer->fd);
	writer->fd = fd;
}

/* Blocks for as long as the far end wants. Bytes that cannot be written at all are lost. */
static void write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		const ssize_t n = write(fd, bytes, length);

		if (n >= 0) {
			bytes += n;
			length -= (size_t)n;
		} else if (errno == EAGAIN) {
			struct pollfd writable = {.fd = fd, .events = POLLOUT};

			(void)poll(&writable, 1, 1000); /* somebody else made it non-blocking */
		} else if (errno != EINTR) {
			return;
		}
	}
}

static void write_some(struct log_writer *writer)
{
	static const size_t most = WRITE_BYTES;
	char chunk[WRITE_BYTES];
	const size_t at = writer->head % RING_BYTES;
	size_t length = writer->tail - writer->head;

	length = length < most ? length : most;
	length = length < RING_BYTES - at ? length : RING_BYTES - at;
	memcpy(chunk, writer->ring + at, length);
	(void)pthread_mutex_unlock(&writer->lock);
	write_all(writer->fd, chunk, length);
	(void)pthread_mutex_lock(&writer->lock);
	writer->head += length;
	tell_dropped(writer);
}

static void *run(void *argument)
{
	struct log_writer *writer = argument;

	(void)pthread_mutex_lock(&writer->lock);
	while (!writer->leaving || writer->tail != writer->head) {
		if (writer->tail != writer->head) {
			write_some(writer);
		} else if (writer->reopen) {
			do_reopen(writer);
		} else {
			(void)pthread_cond_wait(&writer->filled, &writer->lock);
		}
	}
	writer->gone = true;
	(void)pthread_cond_signal(&writer->ended);
	(void)pthread_mutex_unlock(&writer->lock);
	return NULL;
}

static void release(struct log_writer *writer)
{
	if (writer->path != NULL && writer->fd >= 0) {
		(void)close(writer->fd);
	}
	free(writer->path);
	free(writer->ring);
	free(writer);
}

static void init_locks(struct log_writer *writer)
{
	pthread_condattr_t monotonic;

	(void)pthread_condattr_init(&monotonic);
	(void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&writer->lock, NULL);
	(void)pthread_cond_init(&writer->filled, NULL);
	(void)pthread_cond_init(&writer->ended, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
}

int log_writer_open(
	const struct log_writer_setup *setup, struct log_writer **ret_writer, struct error *err)
{
	struct log_writer *writer = calloc(1, sizeof *writer);
	int r;

	if (writer == NULL) {
		return error_set(err, ENOMEM, "cannot open the log");
	}
	writer->fd = STDERR_FILENO;
	writer->ring = malloc(RING_BYTES);
	writer->path = setup->path == NULL ? NULL : strdup(setup->path);
	if (writer->ring == NULL || (setup->path != NULL && writer->path == NULL)) {
		r = error_set(err, ENOMEM, "cannot open the log");
		goto fail_release;
	}
	if (writer->path != NULL) {
		writer->fd = open_path(writer->path);
	}
	if (writer->fd < 0) {
		r = error_set(err, errno, "%s: cannot open the log", setup->path);
		goto fail_release;
	}
	writer->dropped_total = setup->dropped;
	writer->format = settle_format(setup, writer->fd);
	writer->priorities = writer->path == NULL && is_journal(setup->journal_stream);
	init_locks(writer);
	r = thread_start(&writer->thread, "loble-log", run, writer, err);
	if (r < 0) {
		goto fail_release;
	}
	*ret_writer = writer;
	return 0;

fail_release:
	release(writer);
	return r;
}

enum log_format log_writer_format(const struct log_writer *writer)
{
	return writer->format;
}

void log_writer_put(
	struct log_writer *writer, enum log_level level, const char *line, size_t length)
{
	(void)pthread_mutex_lock(&writer->lock);
	put_line(writer, level, line, length);
	(void)pthread_cond_signal(&writer->filled);
	(void)pthread_mutex_unlock(&writer->lock);
}

void log_writer_sink(enum log_level level, const char *line, size_t length, void *context)
{
	log_writer_put(context, level, line, length);
}

void log_writer_reopen(struct log_writer *writer)
{
	(void)pthread_mutex_lock(&writer->lock);
	writer->reopen = true;
	(void)pthread_cond_signal(&writer->filled);
	(void)pthread_mutex_unlock(&writer->lock);
}

uint64_t log_writer_dropped(struct log_writer *writer)
{
	uint64_t dropped;

	(void)pthread_mutex_lock(&writer->lock);
	dropped = writer->dropped;
	(void)pthread_mutex_unlock(&writer->lock);
	return dropped;
}

void log_writer_close(struct log_writer *writer, uint32_t timeout_ms)
{
	struct timespec end;
	bool gone;

	if (writer == NULL) {
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += timeout_ms / 1000;
	end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_nsec -= 1000000000;
		end.tv_sec++;
	}
	(void)pthread_mutex_lock(&writer->lock);
	writer->leaving = true;
	(void)pthread_cond_signal(&writer->filled);
	while (!writer->gone &&
		pthread_cond_timedwait(&writer->ended, &writer->lock, &end) != ETIMEDOUT) {
	}
	gone = writer->gone;
	(void)pthread_mutex_unlock(&writer->lock);
	if (!gone) {
		/* Stuck in write(): left behind with its memory, it ends with the process. */
		(void)pthread_detach(writer->thread);
		return;
	}
	(void)pthread_join(writer->thread, NULL);
	release(writer);
}
