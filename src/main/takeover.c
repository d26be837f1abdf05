#include "main/takeover.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "main/held_file.h"

enum {
	ENVIRONMENT_MAX = 1024,
	TEXT_MAX = 256,
	STACK_BYTES = 64 * 1024,
};

#define VARIABLE "LOBLE_TAKEOVER"

const char takeover_consent[] = "loble takes over\n";

static const char *const role_names[] = {
	[TAKEOVER_NONE] = "none",
	[TAKEOVER_CHECK] = "check",
	[TAKEOVER_NEW] = "new",
	[TAKEOVER_BACK] = "back",
};

static const int airbag_signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGALRM};

/* All of the process, prepared before it is needed: a handler may not ask for memory. */
static struct {
	char **arguments; /* NULL: it has not begun */
	char **environment_at_start;
	char program[PATH_MAX];
	struct takeover handed;
	struct held_file binary; /* that the airbag executes */
	struct held_file memory; /* and hands over */
	char text[sizeof VARIABLE + TEXT_MAX];
	char *environment[ENVIRONMENT_MAX + 2]; /* of the next image */
	uint8_t stack[STACK_BYTES];
	volatile pid_t worker; /* 0: none */
} self;

static void find_program(const char *name)
{
	char directory[PATH_MAX];
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread. */
	const char *path = getenv("PATH");

	if (name[0] == '/') {
		(void)snprintf(self.program, sizeof self.program, "%s", name);
		return;
	}
	if (strchr(name, '/') != NULL) {
		if (getcwd(directory, sizeof directory) != NULL &&
			snprintf(self.program, sizeof self.program, "%s/%s", directory, name) <
				(int)sizeof self.program) {
			return;
		}
		self.program[0] = '\0';
		return;
	}
	while (path != NULL && *path != '\0') {
		const size_t length = strcspn(path, ":");

		if (snprintf(self.program, sizeof self.program, "%.*s/%s", (int)length, path,
			    name) < (int)sizeof self.program &&
			self.program[0] == '/' && access(self.program, X_OK) == 0) {
			return;
		}
		path += length + (path[length] == ':' ? 1 : 0);
	}
	/* As the kernel knows it: a name that was made up by whoever started us. */
	{
		const ssize_t length =
			readlink("/proc/self/exe", self.program, sizeof self.program - 1);

		self.program[length < 0 ? 0 : length] = '\0';
	}
}

/* Anything that is not exactly what we write ourselves is no takeover. */
static void read_handed(const char *text)
{
	struct takeover *handed = &self.handed;
	char role[8];
	long pid;
	int used = 0;

	if (sscanf(text, "%7s %d %d %ld %d %lu %n", role, &handed->memory_fd, &handed->binary_fd,
		    &pid, &handed->oom_score, &handed->watchdog_ms, &used) < 6 ||
		used == 0) {
		return;
	}
	(void)snprintf(handed->reason, sizeof handed->reason, "%s", text + used);
	for (size_t i = TAKEOVER_CHECK; i < ARRAY_COUNT(role_names); i++) {
		/* A check is another process; the other two are this one. */
		if (strcmp(role, role_names[i]) == 0 &&
			(i == TAKEOVER_CHECK || pid == (long)getpid())) {
			handed->role = (enum takeover_role)i;
		}
	}
}

/* Composes the environment: ours with the variable in place of an old one. */
static void compose(const struct takeover *handed)
{
	extern char **environ;
	size_t count = 0;

	(void)snprintf(self.text, sizeof self.text, VARIABLE "=%s %d %d %ld %d %lu %s",
		role_names[handed->role], handed->memory_fd, handed->binary_fd, (long)getpid(),
		handed->oom_score, handed->watchdog_ms, handed->reason);
	for (char **one = environ != NULL ? environ : self.environment_at_start;
		*one != NULL && count < ENVIRONMENT_MAX; one++) {
		if (strncmp(*one, VARIABLE "=", sizeof VARIABLE) != 0) {
			self.environment[count] = *one;
			count++;
		}
	}
	self.environment[count] = self.text;
	self.environment[count + 1] = NULL;
}

int takeover_execute(const char *path, const struct takeover *handed)
{
	compose(handed);
	(void)execve(path, self.arguments, self.environment);
	return -errno;
}

int takeover_execute_open(int fd, const struct takeover *handed)
{
	compose(handed);
	(void)fexecve(fd, self.arguments, self.environment);
	return -errno;
}

/* Nothing that it has opened may be lost: it has to be gone before the table is copied. */
static void end_worker(void)
{
	const pid_t worker = self.worker;

	if (worker > 0 && kill(worker, SIGKILL) == 0) {
		while (waitpid(worker, NULL, 0) < 0 && errno == EINTR) {
		}
	}
}

/* The mask survives execve(), and so does a handler's: the next image must be able to crash. */
static void burst(int signal)
{
	struct takeover back = self.handed;
	const struct itimerval never = {.it_value = {.tv_sec = 0}};
	sigset_t set;

	(void)setitimer(ITIMER_REAL, &never, NULL);
	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_COUNT(airbag_signals); i++) {
		(void)sigaddset(&set, airbag_signals[i]);
	}
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	end_worker();
	if (!held_file_is_same(&self.binary) || !held_file_is_same(&self.memory)) {
		_exit(128 + signal); /* they are what the worker process has made of them */
	}
	back.role = TAKEOVER_BACK;
	back.binary_fd = -1;
	(void)snprintf(back.reason, sizeof back.reason, "%s",
		signal == SIGALRM ? "the new binary took too long" : "the new binary crashed");
	(void)takeover_execute_open(self.handed.binary_fd, &back);
	_exit(128 + signal);
}

void takeover_arm(uint32_t limit_ms)
{
	const struct itimerval limit = {
		.it_value = {.tv_sec = limit_ms / 1000, .tv_usec = limit_ms % 1000 * 1000}};
	const stack_t stack = {.ss_sp = self.stack, .ss_size = sizeof self.stack};
	struct sigaction action = {.sa_handler = burst, .sa_flags = SA_ONSTACK | SA_NODEFER};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigemptyset(&action.sa_mask);
	(void)sigaltstack(&stack, NULL);
	for (size_t i = 0; i < ARRAY_COUNT(airbag_signals); i++) {
		(void)sigaction(airbag_signals[i], &action, NULL);
		(void)sigaddset(&set, airbag_signals[i]);
	}
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	(void)setitimer(ITIMER_REAL, &limit, NULL);
}

void takeover_disarm(void)
{
	const struct itimerval never = {.it_value = {.tv_sec = 0}};
	const stack_t none = {.ss_flags = SS_DISABLE};

	(void)setitimer(ITIMER_REAL, &never, NULL);
	for (size_t i = 0; i < ARRAY_COUNT(airbag_signals); i++) {
		(void)signal(airbag_signals[i], SIG_DFL);
	}
	(void)sigaltstack(&none, NULL);
}

void takeover_set_worker(pid_t pid)
{
	self.worker = pid;
}

void takeover_wait(void)
{
	const struct timespec moment = {.tv_nsec = 10 * 1000000};

	if (self.handed.role == TAKEOVER_NEW) {
		abort(); /* the airbag bursts */
	}
	(void)nanosleep(&moment, NULL);
}

void takeover_set_memory(int memory_fd)
{
	self.handed.memory_fd = memory_fd;
	self.memory = held_file_note(memory_fd);
}

static void begin(char **argv, char **environment)
{
	self.arguments = argv;
	self.environment_at_start = environment;
	self.handed = (struct takeover){.memory_fd = -1, .binary_fd = -1};
	for (char **one = environment; *one != NULL; one++) {
		if (strncmp(*one, VARIABLE "=", sizeof VARIABLE) == 0) {
			read_handed(*one + sizeof VARIABLE);
		}
	}
	if (self.handed.role == TAKEOVER_NEW) {
		self.binary = held_file_note(self.handed.binary_fd);
		self.memory = held_file_note(self.handed.memory_fd);
		takeover_arm(TAKEOVER_LIMIT_MS);
	}
}

/*
 * Before the constructors of any library, which may crash or hang, too. Not where a sanitizer wants
 * to be first; and another C library may not call this at all.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
static void begin_early(int argc, char **argv, char **environment)
{
	if (argc > 0) {
		begin(argv, environment);
	}
}

typedef void early_function(int argc, char **argv, char **environment);

__attribute__((section(".preinit_array"), used)) static early_function *early = begin_early;
#endif

void takeover_begin(int argc, char **argv)
{
	extern char **environ;

	if (self.arguments == NULL) {
		begin(argv, environ);
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread. */
	(void)unsetenv(VARIABLE);
	find_program(argc > 0 && argv[0] != NULL ? argv[0] : "");
}

const struct takeover *takeover_get(void)
{
	return &self.handed;
}

const char *takeover_program(void)
{
	return self.program;
}
