/*
 * What one image of the supervisor hands to the next one over execve(): in the environment, since
 * nothing else but descriptors survives.
 *
 *   LOBLE_TAKEOVER="ROLE MEMORY BINARY PID OOM WATCHDOG REASON"
 *
 * ROLE is check (say whether you could take over, and end), new (take over; the one before is
 * there to go back to) or back (take over again from one that could not). MEMORY and BINARY are
 * descriptors: of the shared memory, and of the program file of the other image.
 *
 * An image that is new has an airbag until it serves: whatever signal would end it, or that of a
 * timer, executes the one before instead, which takes everything back.
 *
 * Threads: the first one, before any other exists. Nothing here allocates.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	TAKEOVER_REASON_MAX = 96,
	TAKEOVER_LIMIT_MS = 3000, /* a new image serves by then, or the one before comes back */
};

enum takeover_role {
	TAKEOVER_NONE, /* an ordinary start */
	TAKEOVER_CHECK,
	TAKEOVER_NEW,
	TAKEOVER_BACK,
};

struct takeover {
	enum takeover_role role;
	int memory_fd;
	int binary_fd; /* -1: none */
	int oom_score; /* of worker processes */
	uint64_t watchdog_ms;
	char reason[TAKEOVER_REASON_MAX]; /* of the way back; may be empty */
};

/*
 * First thing in main(): keeps the command line, reads what was handed over and takes it out of
 * the environment. A new image has its airbag from here on; where the C library is that of GNU, it
 * has it before the constructors of its libraries run.
 */
void takeover_begin(int argc, char **argv);

/* What was handed over; valid for the life of the process. */
const struct takeover *takeover_get(void);

/* The file that is to be executed at an upgrade: as it was called, made absolute. */
const char *takeover_program(void);

/* Executes the program file with what is to be handed over. Returns a negative errno, if at all. */
int takeover_execute(const char *path, const struct takeover *handed);

/* The same with a file that is open. */
int takeover_execute_open(int fd, const struct takeover *handed);

/* The airbag works from now on with these numbers, and at the latest in so many milliseconds. */
void takeover_arm(uint32_t limit_ms);

/* What the airbag would hand over: the present memory may be another one. */
void takeover_set_memory(int memory_fd);

/*
 * The worker process of this image, or 0: the airbag ends it first. It shares our descriptors up
 * to execve(), and would go on with its own copy of them.
 */
void takeover_set_worker(pid_t pid);

/* It serves: no airbag any more. */
void takeover_disarm(void);

/*
 * What an image that took over does when it lacks something: a new one gives all back and does not
 * return; another one is alone with it, waits a moment, and is to try again.
 */
void takeover_wait(void);

/* What a check says first on standard output when it could take over. */
extern const char takeover_consent[];
