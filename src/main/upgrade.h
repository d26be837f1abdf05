/*
 * The upgrade of the binary in place, as the supervisor does it: first a trial of the new program
 * in a process of its own, then execve().
 *
 * Threads: the first one, and there is no other. Nothing here allocates.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "main/held_file.h"
#include "main/takeover.h"

struct upgrade {
	struct held_file binary; /* the program file of this image, to go back to */
	struct held_file memory;

	struct stat tried; /* the program on disk that is on trial */
	pid_t trial;       /* the process of a trial that runs; 0: none */
	int output_fd;     /* owned: what it says; -1: none */
	uint64_t began_ns;
};

enum upgrade_trial {
	UPGRADE_TRIAL_RUNS,
	UPGRADE_TRIAL_CONSENT,
	UPGRADE_TRIAL_REFUSED,
};

/* Remembers the program file that runs now, and the memory. */
void upgrade_init(struct upgrade *upgrade, int memory_fd);

/*
 * Starts a trial of the program on disk. It may read the memory, and has 2 s. Returns false with a
 * reason.
 */
bool upgrade_try(struct upgrade *upgrade, uint64_t now_ns, char reason[TAKEOVER_REASON_MAX]);

/* How the trial stands; a reason when it was refused. */
enum upgrade_trial upgrade_look(
	struct upgrade *upgrade, uint64_t now_ns, char reason[TAKEOVER_REASON_MAX]);

/* We end: so does a trial that runs. */
void upgrade_abandon(struct upgrade *upgrade);

/*
 * Executes the program on disk in our place. The worker process has ended and was waited for.
 * Returns only when that failed, with a reason.
 */
void upgrade_execute(const struct upgrade *upgrade, const struct takeover *handed,
	char reason[TAKEOVER_REASON_MAX]);

/*
 * In the process of a trial: whether this image understands the shared memory and the
 * configuration in it. Says so on standard output. Returns an enum exit_code.
 */
int upgrade_check(const struct takeover *handed);
