/*
 * Which worker gets a new client: the least loaded one that is alive, decided by the kernel as the
 * SYN arrives.
 *
 * All sockets of one address (SO_REUSEPORT) share a small BPF program. It reads an array of one
 * entry per worker, which is mapped into the process too: to say how it fares costs a worker a
 * few stores and no system call. A worker that is asleep is alive; one that has been awake in one
 * and the same turn for STEERING_STALL_NS is passed over. Where no worker can be chosen, the
 * kernel's hash decides, as it does without BPF.
 *
 * The programs belong to the sockets, so they outlive the process. The descriptor of the array is
 * not close-on-exec: a successor maps it and goes on.
 *
 * Owner:   whoever created it, until steering_unmap() and close().
 * Threads: made and attached by any one; each entry has its worker as the only writer, but for
 *          `expected`, which the program counts up.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/array.h"

struct error;

enum { STEERING_WORKERS_MAX = 64 };

static const uint64_t STEERING_STALL_NS = 100 * 1000000ULL;
static const uint64_t STEERING_CLOSED = UINT64_MAX; /* as a load: no new clients, please */

/*
 * The program reads it by these offsets, also one that an older version has attached: who changes
 * the form changes the size, so that steering_map() refuses an array of the other form.
 */
struct steering_entry {
	_Alignas(CACHE_LINE) _Atomic uint64_t load; /* sessions; STEERING_CLOSED */
	_Atomic uint64_t turn_ns; /* monotonic: when the turn began; 0: it is asleep */
	_Alignas(CACHE_LINE) _Atomic uint64_t expected; /* chosen since `load` was stored */
};

static_assert(sizeof(struct steering_entry) == 2 * CACHE_LINE, "the program has these offsets");

struct steering {
	int fd; /* of the array; borrowed */
	uint32_t workers;
	struct steering_entry *entries; /* by worker; STEERING_WORKERS_MAX of them */
};

/*
 * Makes the array. Returns 0 or a negative errno: -EPERM, this process may not use BPF; others,
 * the kernel lacks it.
 */
int steering_create(int *ret_fd, struct error *err);

/* Whether this process may have all that steering takes: 0, or a negative errno. */
int steering_try(struct error *err);

/* Whether the descriptor is an array that steering_create() made. */
bool steering_is_array(int fd);

/* Maps the array. -EINVAL: the descriptor is none. */
int steering_map(int fd, uint32_t workers, struct steering *ret_steering, struct error *err);
void steering_unmap(struct steering *steering);

/*
 * Gives the sockets of one address, in the order of their workers, a program that reads the array.
 * They listen already. Returns 0 or a negative errno with nothing changed.
 */
int steering_attach(int array_fd, const int *fds, uint32_t count, struct error *err);

/*
 * Takes the program, if there is one, from all sockets of the address of `fd`. They can get another
 * a while later: until the kernel has freed the old one, steering_attach() says -EBUSY.
 */
void steering_detach(int fd);

/* Of the three below: `entry` is NULL where there is no array. */

/* A turn begins: the worker is alive at this time. */
static inline void steering_awake(struct steering_entry *entry, uint64_t now_ns)
{
	if (entry != NULL) {
		atomic_store_explicit(&entry->turn_ns, now_ns, memory_order_relaxed);
	}
}

/* A turn ends. What the program had added is in the load by now, or has come to nothing. */
static inline void steering_load(struct steering_entry *entry, uint64_t load)
{
	if (entry == NULL) {
		return;
	}
	atomic_store_explicit(&entry->load, load, memory_order_relaxed);
	if (atomic_load_explicit(&entry->expected, memory_order_relaxed) != 0) {
		atomic_store_explicit(&entry->expected, 0, memory_order_relaxed);
	}
}

/* Nothing to do: until the next turn it is alive without a sign. */
static inline void steering_asleep(struct steering_entry *entry)
{
	steering_awake(entry, 0);
}
