/*
 * Whether the process should get traffic: the answer of /readyz.
 *
 * Threads: any reader of snapshots, online.
 */
#pragma once

struct shm;
struct snapshot;

/*
 * NULL when every configured listener is open, at least one of them has a healthy backend, and the
 * process is not about to stop; else why not, as a constant line of text. `snapshot` may be NULL.
 */
const char *ready_refusal(const struct shm *shm, const struct snapshot *snapshot);
