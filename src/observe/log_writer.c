#include "observe/log_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
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
	ABANDON_MS = 200,   /* how long after its deadline the thread may still take to end */
	NS_PER_MS = 1000000,
	NS_PER_S = 1000000000,
};

/*
 * What the far end is. A description that others share with us, such as that of standard error,
 * must not become non-blocking under them; so each kind has its own way not to wait in write().
 */
enum far_end {
	FAR_FILE,   /* never asked whether it is ready: a disk always is */
	FAR_SOCKET, /* MSG_DONTWAIT */
	FAR_STREAM, /* pipe, terminal: asked before, and at most what one free page takes */
};

struct log_writer {
	pthread_t thread;
	char *path; /* owned; NULL: standard error */
	enum log_format format;
	bool priorities; /* each line begins with its priority, for the journal */
	int wake_fd;     /* eventfd: the thread has something to do */

	/* The thread's alone. */
	int fd; /* owned unless it is standard error */
	enum far_end far_end;
	bool torn; /* the far end has the start of a line without its end */
	size_t length;
	char chunk[WRITE_BYTES]; /* whole lines, taken out of the ring */

	pthread_mutex_t lock; /* protects all below */
	pthread_cond_t ended; /* `gone` was set */
	char *ring;           /* owned */
	uint64_t head;        /* bytes taken out so far */
	uint64_t tail;        /* bytes put in so far */
	uint64_t dropped;
	uint64_t told;            /* of those, how many a line has told of */
	counter_t *dropped_total; /* borrowed; may be NULL */
	bool asleep;              /* nobody has woken the thread since it found nothing to do */
	bool reopen;
	bool leaving;
	uint64_t deadline_ns; /* when leaving: what is not written by then is dropped */
	bool gone;            /* the thread has ended */
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

static enum far_end settle_far_end(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0) {
		return FAR_STREAM;
	}
	if (S_ISREG(status.st_mode)) {
		return FAR_FILE;
	}
	return S_ISSOCK(status.st_mode) ? FAR_SOCKET : FAR_STREAM;
}

/* Non-blocking, so that a FIFO without a reader is an error and no wait for ever. */
static int open_path(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
		LOG_FILE_MODE);
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

static void count_dropped(struct log_writer *writer, uint64_t lines)
{
	writer->dropped += lines;
	if (writer->dropped_total != NULL) {
		(void)atomic_fetch_add_explicit(writer->dropped_total, lines, memory_order_relaxed);
	}
}

static void put_line(
	struct log_writer *writer, enum log_level level, const char *line, size_t length)
{
	static const char *const priorities[] = {
		[LOG_DEBUG] = "<7>",
		[LOG_INFO] = "<6>",
		[LOG_WARN] = "<4>",
		[LOG_ERROR] = "<3>",
	};

	if (!has_room(writer, length + PRIORITY_BYTES)) {
		count_dropped(writer, 1);
		return;
	}
	if (writer->priorities) {
		put_bytes(writer, priorities[level], PRIORITY_BYTES);
	}
	put_bytes(writer, line, length);
}

static void put_own_line(struct log_writer *writer, struct log_line *line)
{
	log_finish(line);
	(void)pthread_mutex_lock(&writer->lock);
	put_line(writer, line->level, line->text, line->length);
	(void)pthread_mutex_unlock(&writer->lock);
}

/* After something could be written: how much is missing, once the ring has emptied a bit. */
static void tell_dropped(struct log_writer *writer)
{
	struct log_line line;
	uint64_t lines;

	(void)pthread_mutex_lock(&writer->lock);
	lines = has_room(writer, RING_BYTES / 2) ? writer->dropped - writer->told : 0;
	writer->told += lines;
	(void)pthread_mutex_unlock(&writer->lock);
	if (lines > 0) {
		log_begin_as(&line, writer->format, LOG_WARN, "log_dropped", clock_wall_ns());
		log_number(&line, "lines", lines);
		put_own_line(writer, &line);
	}
}

static void tell_unopened(struct log_writer *writer, const char *event, int code)
{
	struct log_line line;

	log_begin_as(&line, writer->format, LOG_ERROR, event, clock_wall_ns());
	log_text(&line, "file", writer->path);
	log_text(&line, "reason", strerrordesc_np(code));
	put_own_line(writer, &line);
}

static void do_reopen(struct log_writer *writer)
{
	int fd;

	if (writer->path == NULL) {
		return;
	}
	fd = open_path(writer->path);
	if (fd < 0) {
		tell_unopened(writer, "log_reopen_failed", errno);
		return;
	}
	(void)close(writer->fd);
	writer->fd = fd;
	writer->far_end = settle_far_end(fd);
	writer->torn = false;
}

static uint64_t count_lines(const char *bytes, size_t length)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < length; i++) {
		lines += bytes[i] == '\n' ? 1 : 0;
	}
	return lines;
}

/* Copies as many whole lines as fit out of the ring. The lock is held. */
static void take_lines(struct log_writer *writer)
{
	const size_t limit = writer->far_end == FAR_STREAM ? PIPE_BUF : WRITE_BYTES;
	const size_t at = writer->head % RING_BYTES;
	const size_t start = writer->torn ? 1 : 0;
	size_t length = writer->tail - writer->head;
	size_t first;

	if (length == 0) {
		writer->length = 0;
		return;
	}
	length = length < limit - start ? length : limit - start;
	first = length < RING_BYTES - at ? length : RING_BYTES - at;
	writer->chunk[0] = '\n'; /* ends what was torn; overwritten where nothing was */
	memcpy(writer->chunk + start, writer->ring + at, first);
	memcpy(writer->chunk + start + first, writer->ring, length - first);
	while (writer->chunk[start + length - 1] != '\n') {
		length--;
	}
	writer->head += length;
	writer->length = start + length;
}

/*
 * Waits until the far end takes something. False when the thread is to end and its time is up.
 * A wake-up is no reason to stop waiting: the ring goes on filling meanwhile.
 */
static bool wait_writable(struct log_writer *writer)
{
	struct pollfd fds[] = {
		{.fd = writer->fd, .events = POLLOUT},
		{.fd = writer->wake_fd, .events = POLLIN},
	};

	for (;;) {
		uint64_t deadline_ns;
		uint64_t now_ns;
		eventfd_t wakes;
		int timeout_ms;

		(void)pthread_mutex_lock(&writer->lock);
		deadline_ns = writer->leaving ? writer->deadline_ns : UINT64_MAX;
		(void)pthread_mutex_unlock(&writer->lock);
		now_ns = clock_monotonic_ns();
		if (now_ns >= deadline_ns) {
			return false;
		}
		timeout_ms = deadline_ns == UINT64_MAX
			? -1
			: (int)((deadline_ns - now_ns) / NS_PER_MS) + 1;
		if (poll(fds, 2, timeout_ms) > 0 && fds[0].revents != 0) {
			return true;
		}
		if ((fds[1].revents & POLLIN) != 0) {
			(void)eventfd_read(writer->wake_fd, &wakes);
		}
	}
}

/* As much as the far end takes without waiting; -EAGAIN when that is nothing. */
static ssize_t write_now(const struct log_writer *writer, const char *bytes, size_t length)
{
	struct pollfd writable = {.fd = writer->fd, .events = POLLOUT};
	ssize_t n;

	if (writer->far_end == FAR_STREAM && poll(&writable, 1, 0) == 0) {
		return -EAGAIN;
	}
	if (writer->far_end == FAR_SOCKET) {
		n = send(writer->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		n = write(writer->fd, bytes, length); /* SIGPIPE is blocked in this thread */
	}
	return n < 0 ? -errno : n;
}

/* Whether all was written; what cannot be is counted as dropped. */
static bool write_chunk(struct log_writer *writer)
{
	size_t done = 0;

	while (done < writer->length) {
		const ssize_t n = write_now(writer, writer->chunk + done, writer->length - done);

		if (n >= 0) {
			done += (size_t)n;
		} else if (n != -EINTR && (n != -EAGAIN || !wait_writable(writer))) {
			break;
		}
	}
	if (done > 0) {
		writer->torn = writer->chunk[done - 1] != '\n';
	}
	if (done == writer->length) {
		return true;
	}
	(void)pthread_mutex_lock(&writer->lock);
	count_dropped(writer, count_lines(writer->chunk + done, writer->length - done));
	(void)pthread_mutex_unlock(&writer->lock);
	return false;
}

/* What the thread finds when it looks. */
struct task {
	bool reopen;
	bool leaving;
	bool out_of_time;
};

/* Also takes the next lines into the chunk. */
static struct task look(struct log_writer *writer)
{
	struct task task;

	(void)pthread_mutex_lock(&writer->lock);
	task.reopen = writer->reopen;
	task.leaving = writer->leaving;
	task.out_of_time = writer->leaving && clock_monotonic_ns() >= writer->deadline_ns;
	writer->reopen = false;
	writer->length = 0;
	if (!task.reopen) {
		take_lines(writer);
		writer->asleep = writer->length == 0;
	}
	(void)pthread_mutex_unlock(&writer->lock);
	return task;
}

static void sleep_until_woken(struct log_writer *writer)
{
	struct pollfd wake = {.fd = writer->wake_fd, .events = POLLIN};
	eventfd_t wakes;

	(void)poll(&wake, 1, -1);
	(void)eventfd_read(writer->wake_fd, &wakes);
}

/* Until it is told to leave and nothing is left, or no time. */
static void serve(struct log_writer *writer)
{
	for (;;) {
		const struct task task = look(writer);

		if (task.reopen) {
			do_reopen(writer);
		} else if (writer->length == 0) {
			if (task.leaving) {
				return;
			}
			sleep_until_woken(writer);
		} else if (task.out_of_time) {
			(void)pthread_mutex_lock(&writer->lock);
			count_dropped(writer, count_lines(writer->chunk, writer->length));
			(void)pthread_mutex_unlock(&writer->lock);
		} else if (write_chunk(writer)) {
			tell_dropped(writer);
		}
	}
}

static void *run(void *argument)
{
	struct log_writer *writer = argument;

	serve(writer);
	(void)pthread_mutex_lock(&writer->lock);
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
	if (writer->wake_fd >= 0) {
		(void)close(writer->wake_fd);
	}
	(void)pthread_cond_destroy(&writer->ended);
	(void)pthread_mutex_destroy(&writer->lock);
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
	(void)pthread_cond_init(&writer->ended, &monotonic);
	(void)pthread_condattr_destroy(&monotonic);
}

/* Opens what the writer needs. What was opened is released by the caller on failure. */
static int open_all(
	struct log_writer *writer, const struct log_writer_setup *setup, struct error *err)
{
	int code = 0;

	writer->ring = malloc(RING_BYTES);
	writer->path = setup->path == NULL ? NULL : strdup(setup->path);
	if (writer->ring == NULL || (setup->path != NULL && writer->path == NULL)) {
		return error_set(err, ENOMEM, "cannot open the log");
	}
	writer->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (writer->wake_fd < 0) {
		return error_set(err, errno, "cannot open the log");
	}
	if (writer->path != NULL) {
		writer->fd = open_path(writer->path);
	}
	if (writer->fd < 0 && setup->makes_do) {
		code = errno;
		writer->fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	}
	if (writer->fd < 0) {
		return error_set(err, errno, "%s: cannot open the log", setup->path);
	}
	writer->far_end = settle_far_end(writer->fd);
	writer->format = settle_format(setup, writer->fd);
	writer->priorities = writer->path == NULL && is_journal(setup->journal_stream);
	writer->dropped_total = setup->dropped;
	if (code != 0) {
		tell_unopened(writer, "log_open_failed", code);
	}
	return thread_start(&writer->thread, "loble-log", run, writer, err);
}

int log_writer_open(
	const struct log_writer_setup *setup, struct log_writer **ret_writer, struct error *err)
{
	struct log_writer *writer = calloc(1, sizeof *writer);
	int r;

	if (writer == NULL) {
		return error_set(err, ENOMEM, "cannot open the log");
	}
	writer->fd = setup->path == NULL ? STDERR_FILENO : -1;
	writer->wake_fd = -1;
	init_locks(writer);
	r = open_all(writer, setup, err);
	if (r < 0) {
		release(writer);
		return r;
	}
	*ret_writer = writer;
	return 0;
}

enum log_format log_writer_format(const struct log_writer *writer)
{
	return writer->format;
}

/* The lock is held. */
static bool must_wake(struct log_writer *writer)
{
	const bool asleep = writer->asleep;

	writer->asleep = false;
	return asleep;
}

void log_writer_put(
	struct log_writer *writer, enum log_level level, const char *line, size_t length)
{
	bool wake;

	assert(length > 0 && length <= LOG_LINE_MAX);
	assert(line[length - 1] == '\n');

	(void)pthread_mutex_lock(&writer->lock);
	put_line(writer, level, line, length);
	wake = must_wake(writer);
	(void)pthread_mutex_unlock(&writer->lock);
	if (wake) {
		(void)eventfd_write(writer->wake_fd, 1);
	}
}

bool log_writer_has_room(struct log_writer *writer)
{
	bool room;

	(void)pthread_mutex_lock(&writer->lock);
	room = has_room(writer, RING_BYTES / 2);
	(void)pthread_mutex_unlock(&writer->lock);
	return room;
}

void log_writer_sink(enum log_level level, const char *line, size_t length, void *context)
{
	log_writer_put(context, level, line, length);
}

void log_writer_reopen(struct log_writer *writer)
{
	(void)pthread_mutex_lock(&writer->lock);
	writer->reopen = true;
	(void)pthread_mutex_unlock(&writer->lock);
	(void)eventfd_write(writer->wake_fd, 1);
}

uint64_t log_writer_dropped(struct log_writer *writer)
{
	uint64_t dropped;

	(void)pthread_mutex_lock(&writer->lock);
	dropped = writer->dropped;
	(void)pthread_mutex_unlock(&writer->lock);
	return dropped;
}

/* Returns whether the thread has ended in time. */
static bool end_thread(struct log_writer *writer, uint32_t timeout_ms)
{
	const uint64_t deadline_ns = clock_monotonic_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	const uint64_t end_ns = deadline_ns + (uint64_t)ABANDON_MS * NS_PER_MS;
	const struct timespec end = {
		.tv_sec = (time_t)(end_ns / NS_PER_S), .tv_nsec = (long)(end_ns % NS_PER_S)};
	bool gone;

	(void)pthread_mutex_lock(&writer->lock);
	writer->leaving = true;
	writer->deadline_ns = deadline_ns;
	(void)eventfd_write(writer->wake_fd, 1);
	while (!writer->gone &&
		pthread_cond_timedwait(&writer->ended, &writer->lock, &end) != ETIMEDOUT) {
	}
	gone = writer->gone;
	if (!gone) {
		writer->dropped_total = NULL; /* it may not outlive us */
	}
	(void)pthread_mutex_unlock(&writer->lock);
	return gone;
}

void log_writer_close(struct log_writer *writer, uint32_t timeout_ms)
{
	if (writer == NULL) {
		return;
	}
	if (!end_thread(writer, timeout_ms)) {
		/*
		 * Stuck in write(): a disk that hangs, or somebody else filled the pipe after it
		 * said that it had room. The thread is left behind with its memory, and ends with
		 * the process.
		 */
		(void)pthread_detach(writer->thread);
		return;
	}
	(void)pthread_join(writer->thread, NULL);
	release(writer);
}
