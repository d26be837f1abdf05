#include "config/arguments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/diag.h"

/* As a literal string of TOML, where nothing is an escape; a basic one where that cannot be. */
static void write_string(FILE *file, const char *text)
{
	if (strpbrk(text, "'\n\r") == NULL) {
		(void)fprintf(file, "'%s'", text);
	} else {
		json_write_string(file, text, strlen(text));
	}
}

/*
 * The arguments are written as the file that they stand for, and read like any other: so there is
 * one set of rules, defaults and messages.
 */
struct config *config_from_arguments(
	const char *listen, const char *const *backends, size_t backend_count, struct diag *diag)
{
	char *text = NULL;
	size_t length = 0;
	FILE *file = open_memstream(&text, &length);
	struct config *config;

	if (file == NULL) {
		diag_out_of_memory(diag);
		return NULL;
	}
	(void)fputs("listener.address = ", file);
	write_string(file, listen);
	for (size_t i = 0; i < backend_count; i++) {
		(void)fputs("\n[[backends]]\naddress = ", file);
		write_string(file, backends[i]);
	}
	(void)fputc('\n', file);
	if (fclose(file) != 0) {
		free(text);
		diag_out_of_memory(diag);
		return NULL;
	}
	config = config_load_text(text, length, "command line", diag);
	free(text);
	return config;
}
