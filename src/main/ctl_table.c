#include <string.h>

#include "base/array.h"
#include "main/ctl.h"

enum { READ_TIMEOUT_MS = 10000, RELOAD_TIMEOUT_MS = 150000, LEFT_COLUMN = 60 };

const struct ctl_row ctl_table[] = {
	{
		.name = "status",
		.usage = "",
		.summary = "what runs, and how it is",
		.method = "GET",
		.path = "/v1/status",
		.timeout_ms = READ_TIMEOUT_MS,
		.print = ctl_print_status,
	},
	{
		.name = "backends",
		.usage = " [--pool NAME] [--backend NAME]",
		.summary = "states and counts",
		.options = CTL_POOL | CTL_BACKEND,
		.method = "GET",
		.path = "/v1/backends",
		.timeout_ms = READ_TIMEOUT_MS,
		.print = ctl_print_backends,
	},
	{
		.name = "sessions",
		.usage = " [--pool|--backend|--listener NAME] [--limit N]",
		.summary = "who is connected to whom",
		.options = CTL_POOL | CTL_BACKEND | CTL_LISTENER | CTL_LIMIT,
		.method = "GET",
		.path = "/v1/sessions",
		.timeout_ms = READ_TIMEOUT_MS,
		.print = ctl_print_sessions,
	},
	{
		.name = "reload",
		.usage = " [--wait]",
		.summary = "take the file as it is now",
		.options = CTL_WAIT,
		.method = "POST",
		.path = "/v1/reload",
		.timeout_ms = READ_TIMEOUT_MS,
		.wait_timeout_ms = RELOAD_TIMEOUT_MS,
		.print = ctl_print_accepted,
	},
	{
		.name = "upgrade",
		.usage = " [--wait]",
		.summary = "go over to the binary on disk",
		.options = CTL_WAIT,
		.method = "POST",
		.path = "/v1/upgrade",
		.timeout_ms = READ_TIMEOUT_MS,
		.wait_timeout_ms = READ_TIMEOUT_MS,
		.print = ctl_print_accepted,
		.follow = ctl_follow_upgrade,
	},
};

const size_t ctl_row_count = ARRAY_COUNT(ctl_table);

const struct ctl_row *ctl_find(const char *name)
{
	for (size_t i = 0; i < ctl_row_count; i++) {
		if (strcmp(ctl_table[i].name, name) == 0) {
			return &ctl_table[i];
		}
	}
	return NULL;
}

void ctl_print_commands(FILE *file)
{
	for (size_t i = 0; i < ctl_row_count; i++) {
		const struct ctl_row *row = &ctl_table[i];

		(void)fprintf(file, "  %s%-*s %s\n", row->name,
			LEFT_COLUMN - (int)strlen(row->name), row->usage, row->summary);
	}
}
