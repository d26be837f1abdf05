#include "main/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bare.h"
#include "base/error.h"
#include "config/config.h"
#include "config/diag.h"
#include "main/exit_code.h"
#include "main/running_config.h"
#include "model/shm.h"

enum { TRIAL_MEMORY_FD = 3 };

static const char replaced_in_trial[] = "it was replaced during its trial";
static const uint64_t TRIAL_LIMIT_NS = 2 * 1000000000ULL;

/* Not close-on-exec: the next image goes back to it. */
static struct held_file hold_own_binary(void)
{
	return held_file_note(open("/proc/self/exe", O_PATH));
}

void upgrade_init(struct upgrade *upgrade, int memory_fd)
{
	*upgrade = (struct upgrade){
		.binary = hold_own_binary(),
		.memory = held_file_note(memory_fd),
		.output_fd = -1,
	};
}

/* In the child: a copy of our descriptors, of which it keeps four. */
static _Noreturn void run_trial(int memory_fd, int output_fd)
{
	const struct takeover handed = {
		.role = TAKEOVER_CHECK, .memory_fd = TRIAL_MEMORY_FD, .binary_fd = -1};
	sigset_t none;
	int r;

	(void)setpgid(0, 0); /* so that what it starts can be ended with it */
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
	/* First out of the way: the two may lie in each other's place. */
	output_fd = fcntl(output_fd, F_DUPFD, TRIAL_MEMORY_FD + 1);
	if (output_fd < 0 || dup2(memory_fd, TRIAL_MEMORY_FD) < 0 ||
		dup2(output_fd, STDOUT_FILENO) < 0 || dup2(output_fd, STDERR_FILENO) < 0) {
		_exit(EXIT_CODE_LIMIT);
	}
	(void)close_range(TRIAL_MEMORY_FD + 1, ~0U, 0);
	r = takeover_execute(takeover_program(), &handed);
	(void)dprintf(STDERR_FILENO, "cannot be executed: %s\n", strerrordesc_np(-r));
	_exit(EXIT_CODE_REFUSED);
}

/* Whether the program on disk is still the one on trial: any other one has shown nothing. */
static bool is_tried(const struct upgrade *upgrade)
{
	const struct stat *tried = &upgrade->tried;
	struct stat now;

	return stat(takeover_program(), &now) == 0 && now.st_dev == tried->st_dev &&
		now.st_ino == tried->st_ino && now.st_size == tried->st_size &&
		now.st_mtim.tv_sec == tried->st_mtim.tv_sec &&
		now.st_mtim.tv_nsec == tried->st_mtim.tv_nsec;
}

bool upgrade_try(struct upgrade *upgrade, uint64_t now_ns, char reason[TAKEOVER_REASON_MAX])
{
	if (upgrade->binary.fd < 0) {
		upgrade->binary = hold_own_binary(); /* there was no descriptor for it */
	}
	upgrade->output_fd = memfd_create("loble-trial", MFD_CLOEXEC);
	if (upgrade->output_fd < 0) {
		(void)snprintf(reason, TAKEOVER_REASON_MAX, "no trial: %s", strerrordesc_np(errno));
		return false;
	}
	upgrade->began_ns = now_ns;
	if (stat(takeover_program(), &upgrade->tried) < 0) {
		upgrade->tried = (struct stat){.st_size = 0}; /* the trial says why */
	}
	upgrade->trial = fork();
	if (upgrade->trial == 0) {
		run_trial(upgrade->memory.fd, upgrade->output_fd);
	}
	if (upgrade->trial < 0) {
		(void)snprintf(reason, TAKEOVER_REASON_MAX, "no trial: %s", strerrordesc_np(errno));
		upgrade->trial = 0;
		(void)close(upgrade->output_fd);
		upgrade->output_fd = -1;
		return false;
	}
	return true;
}

/* And what it has started. */
static void end_trial(const struct upgrade *upgrade)
{
	(void)kill(-upgrade->trial, SIGKILL);
	(void)kill(upgrade->trial, SIGKILL);
	while (waitpid(upgrade->trial, NULL, 0) < 0 && errno == EINTR) {
	}
}

void upgrade_abandon(struct upgrade *upgrade)
{
	if (upgrade->trial != 0) {
		end_trial(upgrade);
		upgrade->trial = 0;
	}
}

/* The first line of what it said, if it said anything. */
static bool read_line(int fd, char line[TAKEOVER_REASON_MAX])
{
	const ssize_t length = pread(fd, line, TAKEOVER_REASON_MAX - 1, 0);

	line[length < 0 ? 0 : length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return line[0] != '\0';
}

static bool has_consented(int fd)
{
	char text[64];
	const size_t wanted = strlen(takeover_consent);

	return pread(fd, text, wanted, 0) == (ssize_t)wanted &&
		memcmp(text, takeover_consent, wanted) == 0;
}

static void say_how_it_ended(int status, char reason[TAKEOVER_REASON_MAX])
{
	if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));

		(void)snprintf(reason, TAKEOVER_REASON_MAX, "the trial was killed by SIG%s",
			name == NULL ? "?" : name);
	} else {
		(void)snprintf(reason, TAKEOVER_REASON_MAX, "the trial ended with %d",
			WEXITSTATUS(status));
	}
}

enum upgrade_trial upgrade_look(
	struct upgrade *upgrade, uint64_t now_ns, char reason[TAKEOVER_REASON_MAX])
{
	enum upgrade_trial trial = UPGRADE_TRIAL_REFUSED;
	int status;
	const pid_t ended = waitpid(upgrade->trial, &status, WNOHANG);

	if (ended == 0 && now_ns < upgrade->began_ns + TRIAL_LIMIT_NS) {
		return UPGRADE_TRIAL_RUNS;
	}
	if (ended == 0) {
		end_trial(upgrade);
		(void)snprintf(reason, TAKEOVER_REASON_MAX, "the trial took too long");
	} else if (ended == upgrade->trial && WIFEXITED(status) &&
		WEXITSTATUS(status) == EXIT_CODE_DONE && has_consented(upgrade->output_fd)) {
		trial = is_tried(upgrade) ? UPGRADE_TRIAL_CONSENT : UPGRADE_TRIAL_REFUSED;
		(void)snprintf(reason, TAKEOVER_REASON_MAX, "%s", replaced_in_trial);
	} else if (ended < 0 || WIFSIGNALED(status) || !read_line(upgrade->output_fd, reason)) {
		say_how_it_ended(ended < 0 ? 0 : status, reason);
	}
	upgrade->trial = 0;
	(void)close(upgrade->output_fd);
	upgrade->output_fd = -1;
	return trial;
}

void upgrade_execute(const struct upgrade *upgrade, const struct takeover *handed,
	char reason[TAKEOVER_REASON_MAX])
{
	int r;

	if (!held_file_is_same(&upgrade->binary) || !held_file_is_same(&upgrade->memory)) {
		(void)snprintf(reason, TAKEOVER_REASON_MAX, "there is no way back to this binary");
		return;
	}
	if (!is_tried(upgrade)) {
		(void)snprintf(reason, TAKEOVER_REASON_MAX, "%s", replaced_in_trial);
		return;
	}
	r = takeover_execute(takeover_program(), handed);
	(void)snprintf(reason, TAKEOVER_REASON_MAX, "cannot be executed: %s", strerrordesc_np(-r));
}

static bool understands_configuration(struct shm *shm)
{
	struct diag *diag = diag_create();
	struct config *config = running_config_load(shm, diag);
	const bool understood = config != NULL;

	if (!understood) {
		(void)fputs("the running configuration is not understood\n", stderr);
		diag_print(diag, stderr);
	}
	config_free(config);
	diag_free(diag);
	return understood;
}

int upgrade_check(const struct takeover *handed)
{
	struct shm shm;
	struct error err = {.code = 0};
	int code = EXIT_CODE_REFUSED;

	if (BARE) {
		(void)fprintf(stderr, "this build is for measuring\n");
		return EXIT_CODE_REFUSED;
	}
	/* Both only read it: a copy is made where the layouts differ. */
	if (shm_attach(handed->memory_fd, &shm, &err) < 0 &&
		shm_convert(handed->memory_fd, &shm, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
		return EXIT_CODE_REFUSED;
	}
	if (understands_configuration(&shm)) {
		code = fputs(takeover_consent, stdout) >= 0 && fflush(stdout) == 0 ? EXIT_CODE_DONE
										   : EXIT_CODE_IO;
	}
	shm_destroy(&shm);
	return code;
}
