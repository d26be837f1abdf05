/*
 * Threads with a name and, if wanted, a CPU of their own.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct error;

/*
 * Starts a thread with all signals blocked (the first thread reads them from a descriptor). `name`
 * has at most 15 bytes. Returns 0 or a negative errno.
 */
int thread_start(pthread_t *ret_thread, const char *name, void *(*run)(void *), void *argument,
	struct error *err);

/* Pins the calling thread to the n-th CPU that the process may use, counted round. */
void thread_pin(uint32_t n);

/* The calling thread's timers end when they say: the kernel may delay them by 50 us otherwise. */
void thread_exact_timers(void);

/* The kernel's number of the calling thread. */
uint32_t thread_kernel_id(void);

/* How many CPUs the process may use: at least 1. */
uint32_t thread_cpu_count(void);
