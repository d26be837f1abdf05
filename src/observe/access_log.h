/*
 * The access log: one line per ended session, made from the records that the workers leave.
 *
 * Owner and threads: the admin thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct access_ring;
struct log_writer;
struct shm;

/* All borrowed. */
struct access_log {
	struct shm *shm;
	struct access_ring *const *rings; /* by worker */
	struct log_writer *writer;
	/* Records that found their ring full. */
	uint64_t counted; /* that are in log_lines_dropped */
	uint64_t told;    /* of which a line has told */
};

/*
 * Writes a line for each record in the rings of all workers, and one for records that were lost
 * since the last call. False when it stopped early, because the writer has no room for more now:
 * the rest waits in the rings.
 */
bool access_log_drain(struct access_log *log);
