/*
 * The listening sockets of the whole process, made from the configuration: at the start, and again
 * at each reload, where those that stay are left alone.
 *
 * Each worker gets a socket of its own per address (SO_REUSEPORT); a UNIX socket cannot be bound
 * twice, so its workers get duplicates of one. They are on record in the workers' tables in shared
 * memory (model/listen_record.h), so a successor of the process finds them there.
 *
 * What a reload changes is planned first: all that can fail happens then, and what has been opened
 * can still be closed. An address that stays keeps its sockets, whatever the name of its listener
 * is now. Those that are not wanted any more are retired: the workers empty and close them. So are
 * UNIX sockets whose file somebody has deleted, for which new ones are made.
 *
 * Threads: the first thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct config;
struct error;
struct shm;
struct sockets_plan;

/* What the workers are closing. */
struct sockets_closing {
	uint32_t count;
	uint32_t room;
	struct closing_socket {
		uint32_t number;
		struct sockaddr_any address;
	} * list; /* owned */
};

/* What to do about an address that is wanted again and still being closed. */
enum plan_rule {
	PLAN_WAIT,   /* -EINPROGRESS: ask again in a moment */
	PLAN_BESIDE, /* open new sockets beside it */
};

/*
 * Opens all of them into the tables, except those that a predecessor has left there; what it has
 * left too much is retired. An address that somebody listens on already is an error, also where
 * both sides allow sharing. Returns 0 or a negative errno with the tables as they were.
 */
int sockets_open(const struct config *config, struct shm *shm, struct error *err);

/* Whether the file of some UNIX socket is gone, so that a plan would make it again. */
bool sockets_are_lost(const struct config *config);

/*
 * Opens what is missing, and finds what is too much. `old` is what the sockets were made or last
 * adjusted for. Returns 0 (then exactly one of the two functions below has to follow) or a negative
 * errno with nothing changed.
 */
int sockets_plan(const struct config *config, const struct config *old, struct shm *shm,
	enum plan_rule rule, struct sockets_plan **ret_plan, struct error *err);

/* Closes what was opened for it. */
void sockets_abandon(struct sockets_plan *plan);

/*
 * Puts the new sockets on record, gives those that stay their listener, retires the others and
 * adds them to `closing`. Returns whether workers have to look at their tables.
 */
bool sockets_commit(struct sockets_plan *plan, struct sockets_closing *closing);

/* Finds what a predecessor has retired. */
void sockets_find_closing(struct shm *shm, struct sockets_closing *closing);

/* Forgets what is closed in all workers, and removes the files of its UNIX sockets. */
void sockets_check_closing(struct shm *shm, struct sockets_closing *closing);
void sockets_closing_done(struct sockets_closing *closing);

/* Closes whatever is still in the tables; no worker may run. */
void sockets_close(struct shm *shm);

/* Removes the files of the UNIX sockets. */
void sockets_unlink(const struct config *config);
