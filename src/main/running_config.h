/*
 * The running configuration in shared memory, as the text that --print-config would show: a
 * successor of the process parses it and goes on, whatever has become of the file meanwhile.
 *
 * Threads: the first thread.
 */
#pragma once

struct config;
struct diag;
struct error;
struct shm;

/* Returns 0, or a negative errno with what was kept before still in force. */
int running_config_store(struct shm *shm, const struct config *config, struct error *err);

/* Owned by the caller. NULL: there is none, or it is damaged; `diag` may say more. */
struct config *running_config_load(const struct shm *shm, struct diag *diag);
