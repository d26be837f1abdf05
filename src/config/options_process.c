/* Options of the process and defaults for all: one row each, in the order of the manual. */
#include <stddef.h>

#include "config/sections.h"

enum {
	SECOND_MS = 1000,
	MINUTE_MS = 60 * SECOND_MS,
	HOUR_MS = 60 * MINUTE_MS,
	BUSY_POLL_MAX_US = 10000,
	COALESCE_MAX_US = 1000,
	KEEPALIVE_MAX_MS = 32767 * SECOND_MS, /* what TCP_KEEPIDLE takes */
	PATH_LENGTH_MAX = 4095,
	USER_LENGTH_MAX = 256,
	SOCKET_PATH_LENGTH_MAX = 107, /* of sockaddr_un, without the NUL */
};

/* In the order of the enums of config.h. */
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};
static const char *const log_formats[] = {"auto", "text", "json", NULL};

const struct field timeouts_fields[] = {
	{
		.key = "connect",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_root, connect_ms),
		.min = 1,
		.fallback = 3 * SECOND_MS,
		.doc = "How long one attempt to connect to a backend may take.",
	},
	{
		.key = "connect_total",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_root, connect_total_ms),
		.min = 1,
		.fallback = 10 * SECOND_MS,
		.doc = "How long all attempts of a session may take together, and so how long a "
		       "client waits when every backend of the pool fails: see retries.",
	},
	{
		.key = "backend_drain",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_root, backend_drain_ms),
		.min = 1,
		.fallback = DURATION_OFF,
		.off = true,
		.doc = "How long the sessions of a backend that a reload has taken out may go on. "
		       "A failed one keeps them: see on_unhealthy.",
	},
	{
		.key = "idle",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_root, idle_ms),
		.min = 1,
		.fallback = HOUR_MS,
		.off = true,
		.doc = "End a session when neither side has sent anything for this time.",
	},
	{
		.key = "half_close",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_root, half_close_ms),
		.min = 1,
		.fallback = 5 * MINUTE_MS,
		.off = true,
		.doc = "The same once one side has said that it will send no more.",
	},
	{
		.key = "drain",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_root, config.drain_ms),
		.min = 1,
		.fallback = 30 * SECOND_MS,
		.doc = "The hard limit of a graceful stop: what goes on after it is reset.",
	},
	{
		.key = "lame_duck",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_root, config.lame_duck_ms),
		.min = 0,
		.fallback = 0,
		.doc = "How long /readyz says that the process stops before its listeners close.",
	},
	{.key = NULL},
};

const struct field tcp_fields[] = {
	{
		.key = "keepalive",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, keepalive_ms),
		.min = SECOND_MS,
		.max = KEEPALIVE_MAX_MS,
		.fallback = 60 * SECOND_MS,
		.off = true,
		.doc = "Idle time after which the kernel asks whether the peer still lives: 6 "
		       "times, 10 seconds apart. On both sides of a session.",
	},
	{.key = NULL},
};

const struct field server_fields[] = {
	{
		.key = "workers",
		.type = FIELD_UINT,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, server.workers),
		.max = CONFIG_WORKERS_MAX,
		.fallback = 0,
		.fallback_doc = "one per CPU",
		.doc = "Threads that move bytes. 0 is one per CPU.",
	},
	{
		.key = "max_sessions",
		.type = FIELD_UINT,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, server.max_sessions),
		.max = CONFIG_SESSIONS_MAX,
		.fallback = 0,
		.fallback_doc = "from the limit of descriptors",
		.doc = "Sessions at one time, in all. At this number accepting stops and new "
		       "connections wait in the backlog. 0 takes it from the limit of "
		       "descriptors, which is raised to its hard value.",
	},
	{
		.key = "supervise",
		.type = FIELD_BOOL,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, server.supervise),
		.fallback = true,
		.doc = "Serve from a process of its own under a small supervisor: when it dies, "
		       "the next one goes on with its sessions. Without it there is one process, "
		       "no upgrade in place, and a crash ends all sessions.",
	},
	{
		.key = "watchdog",
		.type = FIELD_DURATION,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, server.watchdog_ms),
		.min = 1,
		.fallback = 30 * SECOND_MS,
		.doc = "A worker that waits so long within one turn of its loop, or has used 2 s "
		       "of CPU time in it, hangs: the supervisor replaces its process. Asleep, "
		       "stopped or starved is not hung.",
	},
	{
		.key = "io_uring",
		.type = FIELD_BOOL,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, server.io_uring),
		.fallback = true,
		.doc = "Receive and send the small messages of many sessions with one system call, "
		       "where the kernel lets the process use io_uring. Without it each is a call "
		       "of its own, which costs more CPU and changes nothing else.",
	},
	{
		.key = "busy_poll",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, server.busy_poll_us),
		.max = BUSY_POLL_MAX_US,
		.unit = "microseconds",
		.fallback = 30,
		.doc = "Microseconds for which a worker looks for more before it sleeps, where "
		       "more mostly comes within that time: lower latency, where answers come "
		       "from nearby, for CPU that would be idle. 0 never looks.",
	},
	{
		.key = "coalesce",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, server.coalesce_us),
		.max = COALESCE_MAX_US,
		.unit = "microseconds",
		.fallback = 100,
		.doc = "Microseconds for which a worker that is busy nearly all the time lets "
		       "messages gather before it looks for them, at most, where many come "
		       "within that time: less CPU per message at a high rate. 0 never waits.",
	},
	{
		.key = "user",
		.type = FIELD_STRING,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, server.user),
		.min = 1,
		.max = USER_LENGTH_MAX,
		.fallback_doc = "stay who started it",
		.doc = "The user to become once the addresses are bound.",
	},
	{
		.key = "group",
		.type = FIELD_STRING,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, server.group),
		.min = 1,
		.max = USER_LENGTH_MAX,
		.fallback_doc = "the group of the user",
		.doc = "The group to become.",
	},
	{.key = NULL},
};

const struct field metrics_fields[] = {
	{
		.key = "enabled",
		.type = FIELD_BOOL,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, metrics.enabled),
		.fallback = true,
		.fallback_doc = "true when the table is there",
		.doc = "Serve /metrics, /healthz and /readyz.",
	},
	{
		.key = "address",
		.type = FIELD_ADDRESS,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, metrics.address),
		.fallback_address = "127.0.0.1:9090",
		.kinds = ADDRESS_USE_ANY,
		.doc = "Where to serve them.",
	},
	{.key = NULL},
};

const struct field admin_fields[] = {
	{
		.key = "socket",
		.type = FIELD_STRING,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, admin.socket),
		.min = 1,
		.max = SOCKET_PATH_LENGTH_MAX,
		.fallback_doc =
			"/run/loble/admin.sock for root, else $XDG_RUNTIME_DIR/loble/admin.sock",
		.doc = "Path of the admin socket, which must be possible then.",
	},
	{.key = NULL},
};

const struct field logging_fields[] = {
	{
		.key = "level",
		.type = FIELD_CHOICE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, logging.level),
		.choices = log_levels,
		.fallback = CONFIG_LOG_INFO,
		.doc = "The least severe lines that are written.",
	},
	{
		.key = "format",
		.type = FIELD_CHOICE,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, logging.format),
		.choices = log_formats,
		.fallback = CONFIG_FORMAT_AUTO,
		.doc = "How lines are written: as key=value text, as JSON, or as text on a "
		       "terminal and else as JSON.",
	},
	{
		.key = "file",
		.type = FIELD_STRING,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, logging.file),
		.min = 1,
		.max = PATH_LENGTH_MAX,
		.fallback_doc = "standard error",
		.doc = "Path of the log.",
	},
	{.key = NULL},
};

const struct field access_log_fields[] = {
	{
		.key = "enabled",
		.type = FIELD_BOOL,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, access_log.enabled),
		.fallback = false,
		.doc = "Write one line per session.",
	},
	{
		.key = "file",
		.type = FIELD_STRING,
		.reload = RELOAD_RESTART,
		MEMBER(struct config, access_log.file),
		.min = 1,
		.max = PATH_LENGTH_MAX,
		.fallback_doc = "the log",
		.doc = "Path of the access log.",
	},
	{
		.key = "sample",
		.type = FIELD_RATIO,
		.reload = RELOAD_LIVE,
		MEMBER(struct config, access_log.sample),
		.min = 0,
		.max = 1,
		.fallback = 1,
		.doc = "The share of the sessions that is logged, 0 to 1.",
	},
	{.key = NULL},
};
