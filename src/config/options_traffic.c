/* Options of what carries traffic: one row each, in the order of the manual. */
#include <stddef.h>

#include "config/sections.h"

enum {
	BUFFERED_MAX = 1 << 30,
	MODE_MAX = 0777,
	MODE_DEFAULT = 0660,
	SECOND_MS = 1000,
	MINUTE_MS = 60 * SECOND_MS,
};

/* In the order of the enums of config.h. */
static const char *const algorithms[] = {"round_robin", "random", NULL};
static const char *const later_algorithms[] = {
	"least_connections", "two_choices", "peak_ewma", "maglev", "source_hash", NULL};
static const char *const when_all_unhealthy[] = {"use_all", "refuse", NULL};
static const char *const on_unhealthy[] = {"keep", "close", NULL};
static const char *const proxy_protocols[] = {"off", "v1", "v2", NULL};

const struct field listener_fields[] = {
	{
		.key = "address",
		.type = FIELD_ADDRESS,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.address),
		.required = true,
		.kinds = ADDRESS_USE_ANY | ADDRESS_USE_LOCAL,
		.doc = "Where to listen: \"0.0.0.0:9000\", \"[::1]:9000\", \":9000\" for all "
		       "of IPv4 and IPv6, \"unix:/run/x.sock\" or \"unix:@abstract\".",
	},
	{
		.key = "name",
		.type = FIELD_STRING,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.name),
		.min = 1,
		.max = CONFIG_NAME_MAX,
		.fallback_doc = "the address; \"default\" in the simple form",
		.doc = "Its name in metrics, logs and commands.",
	},
	{
		.key = "pool",
		.type = FIELD_STRING,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, pool_name),
		.min = 1,
		.max = CONFIG_NAME_MAX,
		.fallback_doc = "the only pool there is",
		.doc = "The pool that serves it.",
	},
	{
		.key = "backlog",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.backlog),
		.min = 1,
		.max = 65535,
		.fallback = 4096,
		.doc = "Connections that may wait to be accepted. The kernel cuts it at "
		       "net.core.somaxconn.",
	},
	{
		.key = "max_connections",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.max_connections),
		.max = CONFIG_SESSIONS_MAX,
		.fallback = 0,
		.fallback_doc = "no limit",
		.doc = "Connections at one time; further ones are reset. 0 is no limit.",
	},
	{
		.key = "max_buffered",
		.type = FIELD_SIZE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.max_buffered),
		.max = BUFFERED_MAX,
		.fallback = 0,
		.fallback_doc = "the choice of the kernel",
		.doc = "Bytes that the kernel may hold for each socket of a session, in each "
		       "direction; bulk may have as much once more in a pipe. The kernel cuts it "
		       "at net.core.rmem_max and net.core.wmem_max. A size that is set no longer "
		       "grows by itself: a small one slows a long path. 0 is the choice of the "
		       "kernel.",
	},
	{
		.key = "freebind",
		.type = FIELD_BOOL,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.freebind),
		.fallback = false,
		.doc = "Allow an address that this machine does not have yet.",
	},
	{
		.key = "mode",
		.type = FIELD_MODE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.mode),
		.max = MODE_MAX,
		.fallback = MODE_DEFAULT,
		.doc = "Permissions of a UNIX socket.",
	},
	{
		.key = "idle",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.idle_ms),
		.min = 1,
		.inherits = "timeouts.idle",
		.off = true,
		.doc = "End a session when neither side has sent anything for this time.",
	},
	{
		.key = "half_close",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_listener_draft, listener.half_close_ms),
		.min = 1,
		.inherits = "timeouts.half_close",
		.off = true,
		.doc = "The same once one side has said that it will send no more.",
	},
	{.key = NULL},
};

const struct field pool_fields[] = {
	{
		.key = "algorithm",
		.type = FIELD_CHOICE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, algorithm),
		.choices = algorithms,
		.later = later_algorithms,
		.fallback = CONFIG_ROUND_ROBIN,
		.doc = "How a backend is chosen: in turns by weight, or at random by weight.",
	},
	{
		.key = "retries",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, retries),
		.max = 10,
		.fallback = 2,
		.doc = "How many further backends a session tries when the connect to one fails. "
		       "When it has tried all of the pool it tries them again, a second later each "
		       "time, until connect_total has passed: also a backend that is alone. "
		       "0 is one attempt and no other.",
	},
	{
		.key = "when_all_unhealthy",
		.type = FIELD_CHOICE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, when_all_unhealthy),
		.choices = when_all_unhealthy,
		.fallback = CONFIG_USE_ALL,
		.doc = "Without a healthy backend, try all whose weight is not 0, or reset new "
		       "connections at once. That begins when the last one is found to be "
		       "unhealthy: until failure_threshold sessions have failed, clients of a "
		       "backend that is alone and dead wait for up to connect_total.",
	},
	{
		.key = "on_unhealthy",
		.type = FIELD_CHOICE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, on_unhealthy),
		.choices = on_unhealthy,
		.fallback = CONFIG_KEEP,
		.doc = "Keep the established sessions of a backend that fails, or reset them "
		       "at once: for a database that has failed over.",
	},
	{
		.key = "proxy_protocol",
		.type = FIELD_CHOICE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, proxy_protocol),
		.choices = proxy_protocols,
		.fallback = CONFIG_PROXY_OFF,
		.doc = "Send a PROXY protocol header of this version to the backends.",
	},
	{
		.key = "max_buffered",
		.type = FIELD_SIZE,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, max_buffered),
		.max = BUFFERED_MAX,
		.fallback = 0,
		.fallback_doc = "that of the listener",
		.doc = "Bytes that the kernel may hold for each socket to a backend, in each "
		       "direction; what is said of the listener's goes for this one, too. 0 is the "
		       "value of the listener.",
	},
	{
		.key = "connect",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, connect_ms),
		.min = 1,
		.inherits = "timeouts.connect",
		.doc = "How long one attempt to connect may take.",
	},
	{
		.key = "connect_total",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, connect_total_ms),
		.min = 1,
		.inherits = "timeouts.connect_total",
		.doc = "How long all attempts of a session may take together, and so how long a "
		       "client waits when every backend of the pool fails: see retries.",
	},
	{
		.key = "backend_drain",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_pool, backend_drain_ms),
		.min = 1,
		.inherits = "timeouts.backend_drain",
		.off = true,
		.doc = "How long the sessions of a backend that a reload has taken out may go on. "
		       "A failed one keeps them: see on_unhealthy.",
	},
	{.key = NULL},
};

const struct field backend_fields[] = {
	{
		.key = "address",
		.type = FIELD_ADDRESS,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_backend, address),
		.required = true,
		.kinds = ADDRESS_USE_NAME | ADDRESS_USE_LOCAL,
		.doc = "Where it listens: \"10.0.0.1:8080\", \"[::1]:8080\", \"name:8080\", "
		       "\"unix:/run/x.sock\" or \"unix:@abstract\". Of a name the first "
		       "address is taken.",
	},
	{
		.key = "name",
		.type = FIELD_STRING,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_backend, name),
		.min = 1,
		.max = CONFIG_NAME_MAX,
		.fallback_doc = "the address",
		.doc = "Its name in metrics, logs and commands.",
	},
	{
		.key = "weight",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_backend, weight),
		.max = 65535,
		.fallback = 1,
		.doc = "Its share of the new sessions. 0 takes none.",
	},
	{
		.key = "max_connections",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_backend, max_connections),
		.max = CONFIG_SESSIONS_MAX,
		.fallback = 0,
		.fallback_doc = "no limit",
		.doc = "Connections to it at one time. 0 is no limit.",
	},
	{.key = NULL},
};

const struct field health_fields[] = {
	{
		.key = "failure_threshold",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_health, failure_threshold),
		.min = 1,
		.max = 1000,
		.fallback = 3,
		.doc = "Consecutive failures that take a backend out. A session counts as one, "
		       "however often it tries: with few clients, a backend that is alone and "
		       "dead is taken for healthy for long.",
	},
	{
		.key = "success_threshold",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_health, success_threshold),
		.min = 1,
		.max = 1000,
		.fallback = 2,
		.doc = "Consecutive successful probes that bring it back.",
	},
	{
		.key = "probe_interval",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_health, probe_interval_ms),
		.min = 100,
		.fallback = SECOND_MS,
		.doc = "Time between two probes of a backend that is not healthy, give or "
		       "take a tenth. It grows to 10 seconds while the backend stays down.",
	},
	{
		.key = "probe_timeout",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_health, probe_timeout_ms),
		.min = 1,
		.fallback = SECOND_MS,
		.doc = "How long a probe may take.",
	},
	{
		.key = "flap_window",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_health, flap_window_ms),
		.min = 1,
		.fallback = MINUTE_MS,
		.doc = "A backend that fails again within this time of its recovery is held "
		       "down, each time twice as long.",
	},
	{
		.key = "hold_down_max",
		.type = FIELD_DURATION,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_health, hold_down_max_ms),
		.min = 1,
		.fallback = 5 * MINUTE_MS,
		.doc = "The longest hold-down.",
	},
	{
		.key = "max_ejected",
		.type = FIELD_UINT,
		.reload = RELOAD_LIVE,
		MEMBER(struct config_health, max_ejected),
		.max = 100,
		.unit = "percent",
		.fallback = 50,
		.doc = "The share of a pool, in percent, that failures of traffic alone may "
		       "take out; of several backends one always may be.",
	},
	{.key = NULL},
};
