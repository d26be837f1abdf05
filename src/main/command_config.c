#include <stdio.h>
#include <string.h>

#include "config/print.h"
#include "main/commands.h"
#include "main/exit_code.h"
#include "main/options.h"

int command_config(const struct options *options)
{
	const char *what = options->operand == NULL ? "" : options->operand;

	if (strcmp(what, "reference") == 0) {
		config_reference(stdout);
		return EXIT_CODE_DONE;
	}
	if (strcmp(what, "schema") == 0) {
		config_schema(stdout);
		return EXIT_CODE_DONE;
	}
	(void)fprintf(stderr, "loble: config: 'reference' or 'schema' is expected%s%s%s\n",
		*what == '\0' ? "" : ", not '", what, *what == '\0' ? "" : "'");
	return EXIT_CODE_USAGE;
}
