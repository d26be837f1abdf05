#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/print.h"
#include "main/commands.h"
#include "main/exit_code.h"
#include "main/options.h"

enum { SAMPLE_MODE = 0644 };

static int fail(const char *path, int error)
{
	if (error == EEXIST) {
		(void)fprintf(stderr, "loble: %s exists already and was not touched\n", path);
		return EXIT_CODE_REFUSED;
	}
	(void)fprintf(stderr, "loble: %s: cannot be written: %s\n", path, strerrordesc_np(error));
	return error == EACCES || error == EPERM ? EXIT_CODE_PERMISSION : EXIT_CODE_IO;
}

/* The file is made here or not at all, so that nothing is ever overwritten. */
static int write_file(const char *path)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, SAMPLE_MODE);
	FILE *file;

	if (fd < 0) {
		return fail(path, errno);
	}
	file = fdopen(fd, "w");
	if (file == NULL) {
		(void)close(fd);
		return fail(path, ENOMEM);
	}
	config_sample(file);
	if (fclose(file) != 0) {
		return fail(path, errno);
	}
	(void)printf("%s was written; `loble check %s` and `loble -config %s` take it\n", path,
		path, path);
	return EXIT_CODE_DONE;
}

int command_init(const struct options *options)
{
	if (options->operand != NULL) {
		return write_file(options->operand);
	}
	config_sample(stdout);
	return EXIT_CODE_DONE;
}
