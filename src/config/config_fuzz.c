/*
 * Any bytes as a configuration: loaded or refused with a message, never a crash; and what is loaded
 * survives being printed and loaded again.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "config/config.h"
#include "config/diag.h"
#include "config/print.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void demand(bool truth)
{
	if (!truth) {
		abort();
	}
}

static void show(const struct diag *diag)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);

	demand(file != NULL);
	diag_print(diag, file);
	diag_print_json(diag, file);
	demand(fclose(file) == 0);
	free(text);
}

static void print_and_load(const struct config *config)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);
	struct diag *diag = diag_create();
	struct config *again;

	demand(file != NULL);
	config_print(config, file);
	demand(fclose(file) == 0);
	again = config_load_text(text, length, "printed", diag);
	if (again == NULL) {
		diag_print(diag, stderr);
	}
	demand(again != NULL);
	demand(again->listener_count == config->listener_count);
	demand(again->pool_count == config->pool_count);
	config_free(again);
	diag_free(diag);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_text((const char *)data, size, "fuzz", diag);

	demand((config == NULL) == (diag_errors(diag) > 0));
	show(diag);
	if (config != NULL) {
		print_and_load(config);
	}
	config_free(config);
	diag_free(diag);
	return 0;
}
