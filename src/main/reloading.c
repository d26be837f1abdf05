#include "main/reloading.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "config/diag.h"
#include "config/print.h"
#include "control/control.h"
#include "main/load.h"

static char *print(const struct config *config, size_t *ret_length)
{
	char *text = NULL;
	FILE *file = open_memstream(&text, ret_length);

	if (file == NULL) {
		return NULL;
	}
	config_print(config, file);
	if (fclose(file) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

void reloading_load(const char *path, struct control_loaded *ret_loaded)
{
	struct diag *diag = diag_create();
	struct control_loaded loaded = {.config = config_load_file(path, diag)};

	loaded.failure = diag_failure(diag);
	loaded.problems = load_text_of(diag, diag_print);
	loaded.problem_lines = load_text_of(diag, diag_print_lines);
	if (loaded.config != NULL) {
		loaded.text = print(loaded.config, &loaded.text_length);
		if (loaded.text == NULL) {
			config_free(loaded.config);
			loaded.config = NULL;
			loaded.failure = DIAG_LIMIT;
		}
	}
	diag_free(diag);
	*ret_loaded = loaded;
}
