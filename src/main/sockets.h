/*
 * The listening sockets of the whole process: made from the configuration, before any worker.
 *
 * Each worker gets a socket of its own per address (SO_REUSEPORT); a UNIX socket cannot be bound
 * twice, so its workers get duplicates of one.
 *
 * Owner and thread: the first thread, until sockets_of() gives a worker its share.
 */
#pragma once

#include <stdint.h>

#include "data/worker.h"

struct config;
struct error;
struct shm;

struct sockets {
	uint32_t worker_count;
	uint32_t count;                /* per worker */
	struct listen_socket *sockets; /* owned; worker-major */
};

/*
 * Opens all of them. An address that somebody listens on already is an error, also where both
 * sides allow sharing. Returns 0 or a negative errno with nothing left open.
 */
int sockets_open(const struct config *config, struct shm *shm, struct sockets *ret_sockets,
	struct error *err);

/* The share of one worker; it owns the descriptors from then on. */
struct listen_socket *sockets_of(struct sockets *sockets, uint32_t worker);

/* Forgets all, and closes what no worker has taken. */
void sockets_close(struct sockets *sockets);

/* Removes the files of the UNIX sockets. */
void sockets_unlink(const struct config *config);
