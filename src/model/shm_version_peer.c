/*
 * The other half of shm_version_test: the same sources, compiled with the other arrangement of
 * the records. Takes the memory behind a descriptor over, says what it found in words of its own
 * program, and executes the test again, which takes its memory over in turn.
 *
 * Usage: shm_version_peer PROGRAM DESCRIPTOR
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "model/shm.h"

static int fail(const char *what, const struct error *err)
{
	(void)fprintf(stderr, "shm_version_peer: %s: %s\n", what, err->text);
	return 1;
}

/* A record that this program can prove, by its own arrangement. */
static uint32_t count_valid(const struct shm *shm)
{
	uint32_t valid = 0;

	for (uint32_t i = 0; i < shm->sessions_per_worker; i++) {
		const struct session_record *record = shm_record(shm, 1, i);

		valid += record->check == session_record_check(record, i);
	}
	return valid;
}

int main(int argc, char **argv)
{
	struct error err = {0};
	struct shm shm;
	char numbers[4][16];
	int fd;

	if (argc != 3) {
		return 64;
	}
	fd = (int)strtol(argv[2], NULL, 10);
	if (shm_attach(fd, &shm, &err) == 0) {
		return fail("the two programs have one arrangement", &err);
	}
	if (!shm_understands(fd, &err)) {
		return fail("not understood", &err);
	}
	if (shm_convert(fd, &shm, &err) < 0) {
		return fail("not converted", &err);
	}
	(void)snprintf(numbers[0], sizeof numbers[0], "%d", fd);
	(void)snprintf(numbers[1], sizeof numbers[1], "%d", shm.fd);
	(void)snprintf(numbers[2], sizeof numbers[2], "%u", count_valid(&shm));
	(void)snprintf(numbers[3], sizeof numbers[3], "%u", shm.header->layout.version);
	(void)execl(argv[1], argv[1], numbers[0], numbers[1], numbers[2], numbers[3], NULL);
	return fail("cannot execute the test again", &err);
}
