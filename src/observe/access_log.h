/*
 * The access log: one line per ended session, made from the records that the workers leave.
 *
 * Threads: the admin thread.
 */
#pragma once

#include <stdint.h>

struct access_ring;
struct log_writer;
struct shm;

/* Writes a line for each record in the rings of all workers. Returns how many there were. */
uint32_t access_log_drain(
	const struct shm *shm, struct access_ring *const *rings, struct log_writer *writer);
