#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "main/command_help.h"

static const char overview[] =
	"usage: loble -config FILE\n"
	"       loble --listen ADDRESS --backend ADDRESS...\n"
	"       loble COMMAND [OPTION]...\n"
	"commands:\n"
	"  check [FILE]               find every mistake in a configuration file\n"
	"  init [FILE]                write a sample configuration with comments\n"
	"  config reference|schema    print all keys of the file, or a JSON Schema of it\n"
	"  ctl COMMAND                talk to a running balancer\n"
	"  demo                       real traffic through a balancer; a backend fails\n"
	"  doctor                     what of this machine stands in the way, and what mends it\n"
	"  help [COMMAND]             this text, or that of a command\n"
	"options:\n"
	"  -c, --config FILE          the configuration file; -config FILE is the same\n"
	"      --listen ADDRESS       run without a file: where clients connect\n"
	"      --backend ADDRESS      and where they are sent; may be repeated\n"
	"      --print-config         print the configuration and do not run\n"
	"  -t, --check                the same as the command check\n"
	"      --format text|json     how check shows what it found\n"
	"  -h, --help                 this text, or that of the command before it\n"
	"  -V, --version              name, version and features\n"
	"examples:\n"
	"  loble --listen :9000 --backend 10.0.0.1:80 --backend 10.0.0.2:80\n"
	"  loble check --format json loble.toml\n"
	"  loble demo --seconds 30\n";

static const char demo[] =
	"usage: loble demo [OPTION]...\n"
	"\n"
	"demo: real traffic through a balancer; a backend fails\n"
	"\n"
	"Three backends, a balancer and clients on loopback, at free ports. In the middle\n"
	"one backend fails, and comes back. Exit status: 0 only if no client saw an error\n"
	"and the balancer did what it should; else 1, and a sentence says what did not hold.\n"
	"options:\n"
	"      --keep                 go on until Ctrl-C\n"
	"      --seconds N            how long it takes, from 8 to 3600 (12)\n"
	"  -h, --help                 this text, or that of the command before it\n"
	"  -V, --version              name, version and features\n"
	"example:\n"
	"  loble demo --seconds 30\n";

/* To be freed by the caller. */
static char *help_of(enum command_id command)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	assert_non_null(file);
	help_print(command, file);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void the_overview_is_as_agreed(void **state)
{
	char *text = help_of(COMMAND_RUN);

	(void)state;
	assert_string_equal(text, overview);
	free(text);
}

static void the_help_of_a_command_is_as_agreed(void **state)
{
	char *text = help_of(COMMAND_DEMO);

	(void)state;
	assert_string_equal(text, demo);
	free(text);
}

static void every_help_fits_a_small_terminal(void **state)
{
	(void)state;
	for (unsigned id = 0; id < COMMAND_COUNT; id++) {
		char *text = help_of(id);
		size_t lines = 0;

		for (const char *line = text; *line != '\0'; lines++) {
			const size_t length = strcspn(line, "\n");

			assert_true(length < 100);
			line += length + 1;
		}
		assert_true(lines <= 24);
		free(text);
	}
}

static void every_command_and_option_is_mentioned(void **state)
{
	char *all = help_of(COMMAND_RUN);

	(void)state;
	for (unsigned id = 0; id < COMMAND_COUNT; id++) {
		char *text = help_of(id);

		assert_non_null(strstr(all, command_table[id].name));
		for (size_t i = 0; i < OPTION_COUNT; i++) {
			if ((option_table[i].commands & 1U << id) != 0) {
				assert_non_null(strstr(text, option_table[i].name));
			}
		}
		free(text);
	}
	free(all);
}

static void the_version_names_the_program(void **state)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	(void)state;
	assert_non_null(file);
	version_print(file);
	assert_int_equal(fclose(file), 0);
	assert_memory_equal(text, "loble ", 6);
	assert_non_null(strstr(text, "\nfeatures: "));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_overview_is_as_agreed),
		cmocka_unit_test(the_help_of_a_command_is_as_agreed),
		cmocka_unit_test(every_help_fits_a_small_terminal),
		cmocka_unit_test(every_command_and_option_is_mentioned),
		cmocka_unit_test(the_version_names_the_program),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
