/*
 * Many small calls on sockets with one entry into the kernel: an io_uring that is used as a list.
 *
 * No call waits for anything, and all are over when batch_run() returns, as if each had been made
 * by itself. So nothing is ever under way: what a process leaves behind that dies in the middle is
 * what it would leave with plain calls. Where the ring fails, the rest is done by plain calls.
 *
 * Owner:   whoever created it.
 * Threads: all functions by the thread that created it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct batch;

enum { BATCH_CALLS_MAX = 64 };

/*
 * Returns 0 or a negative errno: -ENOSYS, -EINVAL or -EPERM, the kernel or this process is without
 * io_uring as of Linux 5.18; -EOPNOTSUPP, the program was built without it.
 */
int batch_create(struct batch **ret_batch);

/* NULL is allowed. */
void batch_free(struct batch *batch);

/*
 * Adds a call, at most BATCH_CALLS_MAX before batch_run(). `number` (below BATCH_CALLS_MAX, each
 * once) is where its result will stand; the bytes must stay until then.
 */
void batch_recv(struct batch *batch, uint32_t number, int fd, void *bytes, size_t length);
void batch_send(struct batch *batch, uint32_t number, int fd, const void *bytes, size_t length);

/*
 * Makes the calls in their order. results[number] is what the call has returned, or a negative
 * errno: -EAGAIN where it would have had to wait.
 */
void batch_run(struct batch *batch, int results[BATCH_CALLS_MAX]);
