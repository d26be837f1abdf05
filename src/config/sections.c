#include "config/sections.h"

#include <stddef.h>

const struct section config_sections[] = {
	{
		.path = "listener",
		.kind = SECTION_TABLE,
		.form = FORM_SIMPLE,
		.fields = listener_fields,
		.doc = "The only listener, called \"default\" unless it has a name.",
	},
	{
		.path = "balancer",
		.kind = SECTION_TABLE,
		.form = FORM_SIMPLE,
		.fields = pool_fields,
		.doc = "The only pool, called \"default\".",
	},
	{
		.path = "backends",
		.kind = SECTION_LIST,
		.form = FORM_SIMPLE,
		.fields = backend_fields,
		.doc = "A backend of the only pool; at least one.",
	},
	{
		.path = "listeners",
		.kind = SECTION_LIST,
		.form = FORM_FULL,
		.fields = listener_fields,
		.doc = "A listener; at least one.",
	},
	{
		.path = "pools.NAME",
		.kind = SECTION_NAMED,
		.form = FORM_FULL,
		.fields = pool_fields,
		.doc = "A pool of backends; at least one.",
	},
	{
		.path = "pools.NAME.health",
		.kind = SECTION_TABLE,
		.form = FORM_FULL,
		.fields = health_fields,
		.inherits = "health",
		.doc = "How the health of its backends is judged.",
	},
	{
		.path = "pools.NAME.backends",
		.kind = SECTION_LIST,
		.form = FORM_FULL,
		.fields = backend_fields,
		.doc = "A backend of the pool; at least one.",
	},
	{
		.path = "health",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = health_fields,
		.target = offsetof(struct config_root, health),
		.doc = "How the health of backends is judged: in all pools that do not say "
		       "otherwise.",
	},
	{
		.path = "timeouts",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = timeouts_fields,
		.doc = "How long things may take: for all listeners and pools that do not say "
		       "otherwise, and for the process.",
	},
	{
		.path = "tcp",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = tcp_fields,
		.doc = "TCP connections of both sides.",
	},
	{
		.path = "server",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = server_fields,
		.doc = "The process.",
	},
	{
		.path = "metrics",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = metrics_fields,
		.doc = "Metrics for Prometheus. Off when the table is missing.",
	},
	{
		.path = "admin",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = admin_fields,
		.doc = "The socket for commands.",
	},
	{
		.path = "logging",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = logging_fields,
		.doc = "The log.",
	},
	{
		.path = "access_log",
		.kind = SECTION_TABLE,
		.form = FORM_BOTH,
		.fields = access_log_fields,
		.doc = "One line per session.",
	},
	{.path = NULL},
};
