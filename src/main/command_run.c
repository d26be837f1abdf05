#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bare.h"
#include "config/config.h"
#include "config/print.h"
#include "main/commands.h"
#include "main/exit_code.h"
#include "main/lifecycle.h"
#include "main/load.h"
#include "main/options.h"
#include "main/supervisor.h"
#include "main/takeover.h"
#include "main/upgrade.h"

static int usage(const char *problem)
{
	(void)fprintf(stderr, "loble: %s\nTry 'loble --help'.\n", problem);
	return EXIT_CODE_USAGE;
}

/* The parser has seen to it that --listen and --backend come together, and without a file. */
static bool has_arguments(const struct options *options)
{
	return options->listen != NULL;
}

static int run(const struct config *config, const char *path, const char *warnings)
{
	const struct lifecycle alone = {.config = config, .path = path, .warnings = warnings};

	if (BARE && config->server.supervise) {
		(void)fprintf(stderr,
			"error: this build is for measuring and cannot supervise: set "
			"server.supervise = false\n");
		return EXIT_CODE_CONFIG;
	}
	return config->server.supervise ? supervisor_run(config, path, warnings)
					: lifecycle_run(&alone);
}

/* The warnings go to standard error here: there is no log. */
static void print_config(const struct config *config, const char *warnings)
{
	(void)fputs(warnings != NULL ? warnings : "", stderr);
	config_print(config, stdout);
}

int command_run(const struct options *options)
{
	struct config *config;
	char *warnings = NULL;
	int code = EXIT_CODE_USAGE;

	switch (takeover_get()->role) {
	case TAKEOVER_CHECK:
		return upgrade_check(takeover_get());
	case TAKEOVER_NEW:
	case TAKEOVER_BACK:
		return supervisor_resume(
			has_arguments(options) ? NULL : load_path(options->config_path));
	case TAKEOVER_NONE:
		break;
	}
	if (!has_arguments(options) && options->config_path == NULL &&
		access(LOAD_DEFAULT_PATH, F_OK) < 0) {
		return usage(
			"there is no configuration: give -config FILE, or --listen and --backend");
	}
	config = load_to_run(options, &warnings, &code);
	if (config == NULL) {
		return code;
	}
	if (options->print_config) {
		print_config(config, warnings);
		code = EXIT_CODE_DONE;
	} else {
		code = run(config, has_arguments(options) ? NULL : load_path(options->config_path),
			warnings);
	}
	free(warnings);
	config_free(config);
	return code;
}
