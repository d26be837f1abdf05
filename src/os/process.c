#include "os/process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * clone() without the C library: its fork() cannot share the table. The library keeps the number
 * of the first thread and the list of robust mutexes; both are made right for the child, as fork()
 * would do (SETTID at the address that the kernel knows, and the list anew).
 */
pid_t process_fork_sharing_descriptors(void)
{
	int *tid_address = NULL;
	void *robust_list = NULL;
	size_t robust_bytes = 0;
	unsigned long flags = CLONE_FILES | SIGCHLD;
	long pid;

	if (prctl(PR_GET_TID_ADDRESS, &tid_address) == 0 && tid_address != NULL) {
		flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID;
	}
	(void)syscall(SYS_get_robust_list, 0, &robust_list, &robust_bytes);
	(void)fflush(NULL); /* or the child would print it again */
#if defined(__x86_64__)
	pid = syscall(SYS_clone, flags, NULL, NULL, tid_address, 0UL);
#else
	pid = syscall(SYS_clone, flags, NULL, NULL, 0UL, tid_address);
#endif
	if (pid == 0 && robust_list != NULL) {
		(void)syscall(SYS_set_robust_list, robust_list, robust_bytes);
	}
	return pid < 0 ? -errno : (pid_t)pid;
}

void process_end_children(void)
{
	FILE *file = fopen("/proc/thread-self/children", "re");
	long pid;

	while (file != NULL && fscanf(file, "%ld", &pid) == 1) {
		if (pid > 1) {
			(void)kill((pid_t)pid, SIGKILL);
			(void)waitpid((pid_t)pid, NULL, 0);
		}
	}
	if (file != NULL) {
		(void)fclose(file);
	}
}

uint64_t process_ended_cpu_ns(void)
{
	struct rusage used;

	if (getrusage(RUSAGE_CHILDREN, &used) < 0) {
		return 0;
	}
	return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000U +
		(uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000U;
}

static pid_t main_process; /* 0: this one */

void process_set_main(pid_t pid)
{
	main_process = pid;
}

pid_t process_main(void)
{
	return main_process != 0 ? main_process : getpid();
}

void process_grow_table(uint64_t limit)
{
	if (limit > 1 && limit <= INT32_MAX && dup2(STDIN_FILENO, (int)limit - 1) >= 0) {
		(void)close((int)limit - 1);
	}
}

bool process_die_with_parent(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return getppid() == parent;
}

/* Reads a small file of /proc; the text ends with a NUL. */
static bool read_file(const char *path, char *text, size_t size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (fd < 0) {
		return false;
	}
	length = read(fd, text, size - 1);
	(void)close(fd);
	if (length <= 0) {
		return false;
	}
	text[length] = '\0';
	return true;
}

bool process_oom_score(int *ret_score)
{
	char text[32];

	if (!read_file("/proc/self/oom_score_adj", text, sizeof text)) {
		return false;
	}
	*ret_score = (int)strtol(text, NULL, 10);
	return true;
}

void process_set_oom_score(int score)
{
	const int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)dprintf(fd, "%d", score); /* lowering it is a privilege */
		(void)close(fd);
	}
}

bool process_look_at_thread(pid_t pid, pid_t thread, struct process_thread *ret)
{
	char path[64];
	char text[512];
	const char *end_of_name;

	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/schedstat", (int)pid, (int)thread);
	if (!read_file(path, text, sizeof text)) {
		return false;
	}
	ret->cpu_ns = strtoull(text, NULL, 10);
	(void)snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)thread);
	if (!read_file(path, text, sizeof text)) {
		return false;
	}
	end_of_name = strrchr(text, ')'); /* the name may contain anything */
	if (end_of_name == NULL || end_of_name[1] != ' ') {
		return false;
	}
	ret->state = end_of_name[2];
	return true;
}

bool process_is_traced(pid_t pid)
{
	char path[64];
	char text[2048];
	const char *tracer;

	(void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	if (!read_file(path, text, sizeof text)) {
		return false;
	}
	tracer = strstr(text, "TracerPid:");
	return tracer != NULL && strtol(tracer + strlen("TracerPid:"), NULL, 10) != 0;
}
