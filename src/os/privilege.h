/*
 * Giving up rights, and the limits of the process.
 *
 * Threads: the first one, before any other exists (setresuid of glibc signals the other threads).
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

struct error;

/*
 * Raises the soft limit of descriptors to the hard one; for a process that may, the hard one to
 * `wanted` first. Returns the soft limit that is in force then.
 */
uint64_t privilege_raise_descriptors(uint64_t wanted);

/*
 * Who `user` and `group` are (names or numbers; NULL: who we are, and the user's group). Returns 0
 * or a negative errno; -ENOENT when there is no such user or group.
 */
int privilege_find(
	const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid, struct error *err);

/*
 * Becomes `user` and `group` (names or numbers; NULL: the user's group). With both NULL nothing
 * happens. Returns 0 or a negative errno; -ENOENT when there is no such user or group.
 */
int privilege_drop(const char *user, const char *group, struct error *err);
