#include "main/load.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/arguments.h"
#include "config/config.h"
#include "config/diag.h"
#include "main/exit_code.h"

const char *load_path(const char *given)
{
	return given != NULL ? given : LOAD_DEFAULT_PATH;
}

/* What kept the configuration from being used. */
static int code_of(const struct diag *diag)
{
	static const int codes[] = {
		[DIAG_CONTENT] = EXIT_CODE_CONFIG,
		[DIAG_NO_FILE] = EXIT_CODE_NO_FILE,
		[DIAG_NOT_PERMITTED] = EXIT_CODE_PERMISSION,
		[DIAG_IO] = EXIT_CODE_IO,
		[DIAG_LIMIT] = EXIT_CODE_LIMIT,
	};

	return codes[diag_failure(diag)];
}

static int report(const struct diag *diag, const struct config *config, enum message_format format)
{
	if (format == MESSAGE_JSON) {
		diag_print_json(diag, stdout);
	} else {
		diag_print(diag, stderr);
	}
	return config != NULL ? EXIT_CODE_DONE : code_of(diag);
}

struct config *load_file(const char *path, enum message_format format, int *ret_code)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_file(path, diag);

	*ret_code = report(diag, config, format);
	diag_free(diag);
	return config;
}

char *load_text_of(const struct diag *diag, void (*print)(const struct diag *, FILE *))
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	print(diag, file);
	if (fclose(file) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

struct config *load_to_run(const struct options *options, char **ret_warnings, int *ret_code)
{
	struct diag *diag = diag_create();
	struct config *config = options->listen == NULL
		? config_load_file(load_path(options->config_path), diag)
		: config_from_arguments(
			  options->listen, options->backends, options->backend_count, diag);

	if (config != NULL) {
		*ret_code = EXIT_CODE_DONE;
		*ret_warnings = load_text_of(diag, diag_print_lines);
	} else {
		*ret_code = report(diag, config, MESSAGE_TEXT);
	}
	/* What is wrong with an argument is wrong with the command line. */
	if (options->listen != NULL && *ret_code == EXIT_CODE_CONFIG) {
		*ret_code = EXIT_CODE_USAGE;
	}
	diag_free(diag);
	return config;
}
