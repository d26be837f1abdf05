/*
 * A worker between sockets of the test: everything of the data plane is real, control is not
 * there. The test publishes snapshots and reads evidence itself. With RIG_BATCH in the environment
 * also a single small message goes by way of a batch.
 *
 * Owner and thread: the test's. Every wait has a limit; what takes longer fails the test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/worker.h"
#include "model/access.h"
#include "model/shm.h"
#include "model/snapshot.h"

enum { RIG_BACKENDS = 2, RIG_WAIT_MS = 10000 };

struct rig_options {
	uint64_t idle_ns;       /* 0: off */
	uint64_t half_close_ns; /* 0: off */
	uint32_t retries;
	uint32_t backend_count;    /* 0: RIG_BACKENDS */
	uint32_t max_connections;  /* of the listener */
	uint32_t backend_limit;    /* max_connections of each backend */
	uint64_t connect_total_ns; /* 0: 10 s */
	enum proxy_protocol proxy_protocol;
	uint64_t
		listener_buffered; /* max_buffered of the listener, which only backends feel here */
	uint64_t pool_buffered;
	bool local_backend; /* UNIX sockets towards the backends */
	bool local_client;  /* and from the clients */
	bool may_be_self;   /* as snapshots say of the backends */
	uint32_t max_sessions;
	uint32_t keepalive_s; /* towards backends; 0: off */
};

struct rig {
	struct rig_options options;
	struct shm shm;
	struct snapshot_store store;
	struct worker *worker;
	struct access_ring *access;
	int wake_fd;
	int control_fd;
	int backends[RIG_BACKENDS]; /* listening sockets of the test; -1: closed */
	struct sockaddr_any addresses[RIG_BACKENDS];
	struct sockaddr_any listener;
	uint64_t version;
	int kept[512]; /* descriptors of the test, as of rig_die() */
	uint32_t kept_count;
	char directory[64]; /* of the UNIX sockets */
};

void rig_start(struct rig *rig, const struct rig_options *options);

/* Tells the worker to leave, and frees all. Fails the test when anything is left open. */
void rig_stop(struct rig *rig);

/*
 * The worker dies, as far as it can within one process: nothing of it is left but its descriptors
 * and the shared memory. A new one takes over with rig_succeed().
 */
void rig_die(struct rig *rig);
void rig_succeed(struct rig *rig);

/* Publishes the first `count` backends as the pool's. */
void rig_publish(struct rig *rig, uint32_t count);

/* A copy of the record of session `index`, which the worker may be about to change. */
struct session_record rig_record(const struct rig *rig, uint32_t index);

void rig_command(struct rig *rig, enum command_kind kind, uint32_t argument);

/* A connected client; a connection taken from backend `index`. Both time out after RIG_WAIT_MS. */
int rig_connect(const struct rig *rig);
int rig_accept(const struct rig *rig, uint32_t index);

/* Closes the listening socket of a backend, and opens it again at the same address. */
void rig_backend_down(struct rig *rig, uint32_t index);
void rig_backend_up(struct rig *rig, uint32_t index);

/* A rig with one session, over which a few bytes went both ways. */
struct line {
	struct rig rig;
	int client;
	int backend;
};

void line_open(struct line *line, const struct rig_options *options);
void line_close(struct line *line);

/* Sends the text, and expects it at the other end. */
void rig_expect_text(int from, int to, const char *text);

void rig_write(int fd, const void *bytes, size_t length);

/* Reads exactly so many bytes. */
void rig_read(int fd, void *bytes, size_t length);

/* Expects an orderly end, or a reset, next. */
void rig_expect_end(int fd);
void rig_expect_reset(int fd);

/* Closes with a reset. */
void rig_reset(int fd);

/* Waits until *counter has the value; it must not go past it. */
void rig_wait_counter(const counter_t *counter, uint64_t value);

/* Waits until *counter has the value or more: where it goes on by itself. */
void rig_wait_at_least(const counter_t *counter, uint64_t value);

/* Waits until the worker listens no more. */
void rig_wait_closed(const struct rig *rig);

/* Waits for the record of an ended session. */
struct access_record rig_wait_access(const struct rig *rig);

/*
 * Moves this thread and those that it starts to a new network with a loopback. Returns what
 * rig_old_network() takes to go back, or -1 where that is not permitted.
 */
int rig_new_network(void);
void rig_old_network(int network);

/* Connects in the present network choose their own ports from these. */
void rig_local_ports(unsigned first, unsigned last);
