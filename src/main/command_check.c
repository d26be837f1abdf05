#include <stdio.h>

#include "config/config.h"
#include "main/commands.h"
#include "main/exit_code.h"
#include "main/load.h"

int command_check(const struct options *options)
{
	const char *path =
		load_path(options->operand != NULL ? options->operand : options->config_path);
	int code = EXIT_CODE_CONFIG;
	struct config *config = load_file(path, options->format, &code);

	if (config != NULL && options->format == MESSAGE_TEXT) {
		(void)printf("%s: the configuration is valid\n", path);
	}
	config_free(config);
	return code;
}
