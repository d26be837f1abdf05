/*
 * The listening sockets of the whole process: made from the configuration, before any worker.
 *
 * Each worker gets a socket of its own per address (SO_REUSEPORT); a UNIX socket cannot be bound
 * twice, so its workers get duplicates of one.
 *
 * They are on record in the workers' tables in shared memory (model/listen_record.h) as soon as
 * they are open, so a successor of the process finds them there.
 *
 * Threads: the first thread.
 */
#pragma once

struct config;
struct error;
struct shm;

/*
 * Opens all of them into the tables. An address that somebody listens on already is an error, also
 * where both sides allow sharing. Returns 0 or a negative errno with nothing left open.
 */
int sockets_open(const struct config *config, struct shm *shm, struct error *err);

/* Closes whatever is still in the tables; no worker may run. */
void sockets_close(struct shm *shm);

/* Removes the files of the UNIX sockets. */
void sockets_unlink(const struct config *config);
