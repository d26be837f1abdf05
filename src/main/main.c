/*
 * The program: reads the command line, does what it says, and tells how it went by the exit code.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"
#include "main/command_help.h"
#include "main/commands.h"
#include "main/exit_code.h"
#include "main/options.h"
#include "main/takeover.h"

/* What was printed must have arrived: a full disk or a closed pipe is a failure. */
static int finish_output(int code)
{
	const int failed = ferror(stdout);

	if ((fflush(stdout) != 0 || failed != 0) && code == EXIT_CODE_DONE) {
		(void)fputs("loble: the output could not be written\n", stderr);
		return EXIT_CODE_IO;
	}
	return code;
}

static int execute(const struct options *options)
{
	if (options->version) {
		version_print(stdout);
		return EXIT_CODE_DONE;
	}
	if (options->help) {
		help_print(options->command, stdout);
		return EXIT_CODE_DONE;
	}
	switch (options->command) {
	case COMMAND_RUN:
		return command_run(options);
	case COMMAND_CHECK:
		return command_check(options);
	case COMMAND_INIT:
		return command_init(options);
	case COMMAND_CONFIG:
		return command_config(options);
	case COMMAND_CTL:
		return command_ctl(options);
	case COMMAND_DEMO:
		return command_demo(options);
	case COMMAND_DOCTOR:
		return command_doctor(options);
	case COMMAND_HELP:
		return command_help(options);
	case COMMAND_COUNT:
		break;
	}
	return EXIT_CODE_USAGE;
}

/*
 * A socket that got one of the first three numbers would be written to by whoever means the
 * standard streams.
 */
static void open_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0) {
		(void)close(fd);
	}
}

/* The same words as before, and another image has read them: only memory can be lacking. */
static bool goes_on_with_sessions(void)
{
	const enum takeover_role role = takeover_get()->role;

	return role == TAKEOVER_NEW || role == TAKEOVER_BACK;
}

int main(int argc, char **argv)
{
	static struct options options;
	struct error err;
	int r;

	takeover_begin(argc, argv);
	open_standard_streams();
	(void)signal(SIGPIPE, SIG_IGN);
	r = options_parse(argc, argv, &options, &err);
	while (r < 0 && goes_on_with_sessions()) {
		takeover_wait();
		r = options_parse(argc, argv, &options, &err);
	}
	if (r < 0 && err.code == ENOMEM) {
		(void)fprintf(stderr, "loble: %s\n", err.text);
		return EXIT_CODE_LIMIT;
	}
	if (r < 0) {
		const char *command = command_table[options.command].name;

		(void)fprintf(stderr, "loble: %s\nTry 'loble %s%s--help'.\n", err.text, command,
			*command == '\0' ? "" : " ");
		return EXIT_CODE_USAGE;
	}
	return finish_output(execute(&options));
}
