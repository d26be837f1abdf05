#include "main/command_help.h"

#include <string.h>

#include "main/exit_code.h"

enum { LEFT_COLUMN = 26 };

static void print_row(FILE *file, const char *left, const char *help)
{
	(void)fprintf(file, "  %-*s %s\n", LEFT_COLUMN, left, help);
}

static void print_options(unsigned commands, FILE *file)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option_row *row = &option_table[i];
		const char letter[] = {'-', row->letter, ',', ' ', '\0'};
		char left[64];

		if ((row->commands & commands) == 0) {
			continue;
		}
		(void)snprintf(left, sizeof left, "%s--%s%s%s", row->letter != 0 ? letter : "    ",
			row->name, row->argument != NULL ? " " : "",
			row->argument != NULL ? row->argument : "");
		print_row(file, left, row->help);
	}
}

static void print_overview(FILE *file)
{
	(void)fputs("usage: loble -config FILE\n"
		    "       loble --listen ADDRESS --backend ADDRESS...\n"
		    "       loble COMMAND [OPTION]...\n"
		    "commands:\n",
		file);
	for (unsigned id = COMMAND_RUN + 1; id < COMMAND_COUNT; id++) {
		const struct command_row *row = &command_table[id];
		char left[64];

		(void)snprintf(left, sizeof left, "%s %s", row->name,
			row->operand != NULL ? row->operand : "");
		print_row(file, left, row->summary);
	}
	(void)fputs("options:\n", file);
	print_options(1U << COMMAND_RUN, file);
	(void)fputs("examples:\n", file);
	for (unsigned id = 0; id < COMMAND_COUNT; id++) {
		if (id == COMMAND_RUN || id == COMMAND_CHECK || id == COMMAND_DEMO) {
			(void)fprintf(file, "  %s\n", command_table[id].example);
		}
	}
}

void help_print(enum command_id command, FILE *file)
{
	const struct command_row *row = &command_table[command];

	if (command == COMMAND_RUN) {
		print_overview(file);
		return;
	}
	(void)fprintf(file, "usage: loble %s%s%s [OPTION]...\n\n%s: %s\n\n%s", row->name,
		row->operand != NULL ? " " : "", row->operand != NULL ? row->operand : "",
		row->name, row->summary, row->details);
	if (row->print_list != NULL) {
		row->print_list(file);
	}
	(void)fputs("options:\n", file);
	print_options(1U << command, file);
	(void)fprintf(file, "example:\n  %s\n", row->example);
}

void version_print(FILE *file)
{
	(void)fprintf(file, "loble %s\nfeatures: %s\n", LOBLE_VERSION, LOBLE_FEATURES);
}

int command_help(const struct options *options)
{
	enum command_id command = COMMAND_RUN;

	if (options->operand != NULL) {
		command = command_find(options->operand);
		if (command == COMMAND_COUNT || command == COMMAND_RUN) {
			(void)fprintf(stderr,
				"loble: no help about '%s': it is no command\n"
				"Try 'loble --help'.\n",
				options->operand);
			return EXIT_CODE_USAGE;
		}
	}
	help_print(command, stdout);
	return EXIT_CODE_DONE;
}
