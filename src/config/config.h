/*
 * What the configuration file says, as plain structs: complete, defaults filled in, checked.
 *
 * Durations are milliseconds, sizes bytes. A duration that may be "off" is DURATION_OFF then.
 * Strings and arrays belong to the configuration and go with it. Choices are the index of the
 * word in the table of options, and the enums below name the indexes.
 *
 * Threads: built by one, then read-only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct diag;

enum { DURATION_OFF = 0 };

/* How much of each thing a configuration may have. */
enum {
	CONFIG_NAME_MAX = 127, /* bytes of a name, without the NUL */
	CONFIG_WORKERS_MAX = 64,
	CONFIG_SESSIONS_MAX = 1 << 24,
	CONFIG_LISTENERS_MAX = 512,
	CONFIG_POOLS_MAX = 1024,
	CONFIG_BACKENDS_MAX = 10000, /* of all pools together */
};

enum config_algorithm {
	CONFIG_ROUND_ROBIN,
	CONFIG_RANDOM,
	CONFIG_ALGORITHM_COUNT,
};

enum config_when_all_unhealthy { CONFIG_USE_ALL, CONFIG_REFUSE };
enum config_on_unhealthy { CONFIG_KEEP, CONFIG_CLOSE };
enum config_proxy_protocol { CONFIG_PROXY_OFF, CONFIG_PROXY_V1, CONFIG_PROXY_V2 };
enum config_log_level {
	CONFIG_LOG_DEBUG,
	CONFIG_LOG_INFO,
	CONFIG_LOG_WARN,
	CONFIG_LOG_ERROR,
};
enum config_log_format { CONFIG_FORMAT_AUTO, CONFIG_FORMAT_TEXT, CONFIG_FORMAT_JSON };

struct config_server {
	uint32_t workers;      /* 0: one per CPU */
	uint32_t max_sessions; /* 0: from the limit of descriptors */
	bool supervise;
	uint64_t watchdog_ms;
	bool io_uring;
	uint32_t busy_poll_us; /* 0: never */
	uint32_t coalesce_us;  /* 0: never */
	const char *user;      /* NULL: stay who we are */
	const char *group;     /* NULL: the user's */
};

struct config_health {
	uint32_t failure_threshold;
	uint32_t success_threshold;
	uint64_t probe_interval_ms;
	uint64_t probe_timeout_ms;
	uint64_t flap_window_ms;
	uint64_t hold_down_max_ms;
	uint32_t max_ejected; /* percent */
};

struct config_backend {
	const char *name;
	struct address address;
	uint32_t weight;
	uint32_t max_connections; /* 0: none */
};

struct config_pool {
	const char *name;
	uint32_t algorithm; /* enum config_algorithm */
	uint32_t retries;
	uint32_t when_all_unhealthy; /* enum config_when_all_unhealthy */
	uint32_t on_unhealthy;       /* enum config_on_unhealthy */
	uint32_t proxy_protocol;     /* enum config_proxy_protocol */
	uint64_t max_buffered;       /* bytes, towards backends; 0: as the listener has it */
	uint64_t connect_ms;
	uint64_t connect_total_ms;
	uint64_t backend_drain_ms; /* or DURATION_OFF */
	struct config_health health;
	uint32_t backend_count; /* >= 1 */
	struct config_backend *backends;
};

struct config_listener {
	const char *name;
	struct address address; /* never ADDRESS_NAME */
	uint32_t pool;          /* index into config.pools */
	uint32_t backlog;
	uint32_t max_connections; /* 0: none */
	uint64_t max_buffered;    /* bytes; 0: the kernel's choice */
	bool freebind;
	uint32_t mode;          /* permission bits of a UNIX socket */
	uint64_t idle_ms;       /* or DURATION_OFF */
	uint64_t half_close_ms; /* or DURATION_OFF */
};

struct config {
	struct config_server server;
	uint64_t drain_ms;
	uint64_t lame_duck_ms; /* 0: none */
	uint64_t keepalive_ms; /* or DURATION_OFF */
	struct {
		bool enabled;
		struct address address;
	} metrics;
	struct {
		const char *socket; /* NULL: the default place */
		bool off;           /* never by a file: the demo wants none */
	} admin;
	struct {
		uint32_t level;   /* enum config_log_level */
		uint32_t format;  /* enum config_log_format */
		const char *file; /* NULL: standard error */
	} logging;
	struct {
		bool enabled;
		const char *file; /* NULL: the log */
		double sample;    /* 0 to 1 */
	} access_log;
	uint32_t listener_count; /* >= 1 */
	struct config_listener *listeners;
	uint32_t pool_count; /* >= 1 */
	struct config_pool *pools;
	/* The last ones of both lists that the file does not name: see config_keep(). */
	uint32_t kept_listener_count;
	uint32_t kept_pool_count;
	struct config_memory *memory; /* owned: what all the pointers above point into */
};

/*
 * Reads, parses and checks the file. Returns the configuration, owned by the caller, or NULL
 * with every mistake in `diag` (config/diag.h), which should be fresh: any error in it counts.
 */
struct config *config_load_file(const char *path, struct diag *diag);

/* The same for `length` bytes at `text`; `name` stands in the messages for the file. */
struct config *config_load_text(
	const char *text, size_t length, const char *name, struct diag *diag);

/*
 * The same for what config_print() has written (config/print.h): every option of a file that is
 * just small enough is longer than a file may be.
 */
struct config *config_load_printed(const char *text, size_t length, struct diag *diag);

/*
 * What a reload has taken out and what sessions that are being set up still need: copies of these
 * listeners and pools of another configuration are added at the end of the lists, except those
 * whose name is there. A kept listener keeps the pool of its name. Returns false, with nothing
 * added, when there is no memory.
 */
bool config_keep(struct config *config, const struct config *other,
	const struct config_listener *const *listeners, uint32_t listener_count,
	const struct config_pool *const *pools, uint32_t pool_count);

/* NULL is allowed. */
void config_free(struct config *config);
