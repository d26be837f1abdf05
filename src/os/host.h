/*
 * What this machine allows this process: limits, kernel settings, rights. Mostly for people (loble
 * doctor); nothing on the way of a session asks.
 *
 * Threads: any; the caller owns what it gets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { HOST_WORD_MAX = 128, HOST_PATH_MAX = 512 };

/* A setting that this kernel does not have, or that may not be read. */
static const int64_t HOST_ABSENT = -1;

struct host {
	/* The process. */
	uint32_t user;
	bool bind_right;     /* CAP_NET_BIND_SERVICE */
	bool resource_right; /* CAP_SYS_RESOURCE */
	int64_t descriptors; /* hard limit; INT64_MAX: none */
	int64_t core_bytes;  /* likewise */
	int bpf_error;       /* errno of the attempt to use BPF; 0: permitted */
	int uring_error;     /* errno of the attempt to use io_uring; 0: permitted */
	int thread_error;    /* errno of PR_GET_TID_ADDRESS; 0: there */
	uint32_t cpus;
	char program[HOST_PATH_MAX]; /* this binary; "" when it cannot be told */

	/* The kernel; HOST_ABSENT: no such setting. */
	char release[HOST_WORD_MAX];
	int64_t nr_open;
	int64_t somaxconn;
	int64_t syn_backlog;
	int64_t syncookies;
	int64_t port_first;
	int64_t port_last;
	int64_t tw_reuse;
	int64_t pipe_max_bytes;
	int64_t pipe_pages_soft;
	int64_t memfd_noexec;
	int64_t unprivileged_port;
	int64_t conntrack_max;
	int64_t oom_group;                /* memory.oom.group of the process's cgroup */
	char congestion[HOST_WORD_MAX];   /* "": cannot be told */
	char core_pattern[HOST_WORD_MAX]; /* likewise */
	char huge_pages[HOST_WORD_MAX];   /* the word in brackets */
	char huge_shared[HOST_WORD_MAX];  /* the same for shared memory */
};

/* Files are looked up below `root`: "" outside of tests. Never fails: what is missing is absent. */
void host_read(const char *root, struct host *ret_host);

/* The ports that connects choose their own ones from; HOST_ABSENT: they cannot be told. */
void host_local_ports(const char *root, int64_t *ret_first, int64_t *ret_last);

/* The number that a file below `root` begins with; HOST_ABSENT: there is none. */
int64_t host_number(const char *root, const char *name);
