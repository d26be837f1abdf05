#include "main/running_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "config/config.h"
#include "config/print.h"
#include "model/shm.h"

int running_config_store(struct shm *shm, const struct config *config, struct error *err)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);
	int r;

	if (file == NULL) {
		return error_set(err, ENOMEM, "cannot keep the configuration");
	}
	config_print(config, file);
	if (fclose(file) != 0) {
		free(text);
		return error_set(err, ENOMEM, "cannot keep the configuration");
	}
	r = config_text_store(shm->config_text, text, length);
	free(text);
	return r < 0 ? error_set(err, -r, "cannot keep the configuration") : 0;
}

struct config *running_config_load(const struct shm *shm, struct diag *diag)
{
	size_t length;
	const char *text = config_text_load(shm->config_text, &length);

	return text == NULL ? NULL : config_load_printed(text, length, diag);
}
