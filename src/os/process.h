/*
 * A child process that shares its parent's table of descriptors, and what the parent can see of it.
 *
 * Threads: the first one, before any other exists.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * As fork(), but both processes have one table of descriptors: what the child opens lives on when
 * the child dies. Handlers of pthread_atfork() do not run. Returns the child's id, 0 in the child,
 * or a negative errno.
 */
pid_t process_fork_sharing_descriptors(void);

/*
 * The process that was started and that takes signals: the supervisor, or this one where there is
 * none. Set once, in the child.
 */
void process_set_main(pid_t pid);
pid_t process_main(void);

/* Kills all children of the calling thread and waits for them. */
void process_end_children(void);

/*
 * Makes room for `limit` descriptors in the table now: a shared table that grows while it is in
 * use stalls all who use it.
 */
void process_grow_table(uint64_t limit);

/*
 * The child ends when its parent does. Returns false when that has happened already. To be called
 * again after a change of user, which clears it.
 */
bool process_die_with_parent(pid_t parent);

/* How likely the kernel is to end this process when memory runs out: -1000 to 1000. */
bool process_oom_score(int *ret_score);
void process_set_oom_score(int score);

/* CPU time of all children that have ended and were waited for; goes on over execve(). */
uint64_t process_ended_cpu_ns(void);

/* What a thread of a child is doing. */
struct process_thread {
	uint64_t cpu_ns; /* that it has used */
	char state;      /* as in /proc: 'R', 'S', 'D', 'T', 't', 'Z' */
};

/* Returns false when there is no such thread, or it cannot be seen. */
bool process_look_at_thread(pid_t pid, pid_t thread, struct process_thread *ret);

/* Whether a debugger is attached. */
bool process_is_traced(pid_t pid);
