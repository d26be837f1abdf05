/*
 * When a worker looks again for a while before it sleeps: only while that has been worth it.
 *
 * To be woken takes the kernel longer than an answer takes to come, where it comes from nearby. A
 * worker that has been woken soon after it went to sleep looks for up to the limit the next times,
 * and stops that when several sleeps in a row were longer: so one that has nothing to do does not
 * spin. The rule is that of the halt polling of KVM (Linux, virt/kvm/halt-polling.rst), with two
 * lengths instead of many.
 *
 * Pure; zero is the initial state. Thread: the worker's own.
 */
#pragma once

#include <stdint.h>

struct busy_poll {
	uint32_t credit; /* how many more sleeps in a row may be long */
};

/* How long to look before the next sleep, in ns; `limit_ns` is the configured time, 0: never. */
uint64_t busy_poll_ns(const struct busy_poll *poll, uint64_t limit_ns);

/* The worker has slept for so long, after it had looked as long as it was told. */
void busy_poll_slept(struct busy_poll *poll, uint64_t slept_ns, uint64_t limit_ns);
