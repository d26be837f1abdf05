/*
 * Read-copy-update: how a reader may use the current snapshot without a lock, and how control
 * learns that nobody uses an old one any more. A thin layer over liburcu, flavour QSBR (Desnoyers
 * et al., "User-Level Implementations of Read-Copy Update", 2012), and the only place that
 * includes it, since this is also where ThreadSanitizer is told about its barriers.
 *
 * A reader registers, is online while it works, says rcu_quiet() once per turn of its loop, when
 * it holds no pointer into a snapshot, and goes offline before it sleeps. A sleeping reader never
 * delays a grace period.
 *
 * Threads: readers are the workers and the admin thread; control alone waits, and is no reader.
 */
#pragma once

void rcu_reader_begin(void); /* registers the calling thread; it is online afterwards */
void rcu_reader_end(void);   /* unregisters it */

void rcu_quiet(void);   /* a quiescent state: no pointer into a snapshot is held */
void rcu_offline(void); /* before sleeping */
void rcu_online(void);  /* after waking */

/* Publishes `next` in *place (release) and returns what was there. Control only. */
void *rcu_swap(void **place, void *next);

/* The current pointer (acquire, dependency-ordered). Readers that are online. */
void *rcu_read(void *const *place);

/* Returns when every reader that was online has been quiet or offline once. Control only. */
void rcu_wait(void);
