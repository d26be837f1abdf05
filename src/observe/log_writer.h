/*
 * Where log lines go: a file or standard error, by a thread of its own.
 *
 * log_writer_put() copies the line into a ring and returns; it never waits for the far end. When
 * the far end does not take lines as fast as they come (a full pipe, a slow disk), lines are
 * dropped and counted, and a line event=log_dropped says how many once there is room again.
 *
 * Owner:    whoever opened it, until log_writer_close().
 * Threads:  log_writer_put() and log_writer_reopen() by any; open by the first thread; close when
 *           nobody puts any more.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "model/counter.h"

struct error;
struct log_writer;

enum log_writer_format {
	LOG_WRITER_AUTO, /* text on a terminal, else JSON */
	LOG_WRITER_TEXT,
	LOG_WRITER_JSON,
};

struct log_writer_setup {
	const char *path; /* NULL: standard error; copied */
	enum log_writer_format format;
	/*
	 * The value of the variable JOURNAL_STREAM, or NULL. When it names the device and inode of
	 * standard error, each line gets the prefix by which the journal knows its priority.
	 */
	const char *journal_stream;
	/*
	 * A file that cannot be opened is no error: lines go to standard error, the first one says
	 * why, and log_writer_reopen() tries again.
	 */
	bool makes_do;
	counter_t *dropped; /* borrowed: counts lost lines; NULL: only the writer itself counts */
};

/*
 * Opens the file (for appending, made with mode 0640 when it is not there) and starts the thread.
 * Returns 0 or a negative errno with `err` filled in.
 */
int log_writer_open(
	const struct log_writer_setup *setup, struct log_writer **ret_writer, struct error *err);

/* The format that lines should have: never AUTO any more. */
enum log_format log_writer_format(const struct log_writer *writer);

/* Takes one line with its newline, of at most LOG_LINE_MAX bytes. Never blocks. */
void log_writer_put(
	struct log_writer *writer, enum log_level level, const char *line, size_t length);

/*
 * Whether half of the ring is free: who writes many lines that may wait asks before, so that the
 * others find room.
 */
bool log_writer_has_room(struct log_writer *writer);

/* log_writer_put() as a log_sink: `context` is the writer. */
void log_writer_sink(enum log_level level, const char *line, size_t length, void *context);

/*
 * Opens the path anew and goes on there: for log rotation. Standard error stays as it is. A path
 * that cannot be opened leaves the old file in use, and a line in it says why.
 */
void log_writer_reopen(struct log_writer *writer);

/* Lines lost so far. */
uint64_t log_writer_dropped(struct log_writer *writer);

/*
 * Writes what is waiting, for at most `timeout_ms`, and ends the thread. When the far end is stuck
 * even then, the rest is dropped. NULL is allowed.
 */
void log_writer_close(struct log_writer *writer, uint32_t timeout_ms);
