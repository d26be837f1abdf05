#include "main/demo_balancer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config.h"
#include "config/diag.h"
#include "main/exit_code.h"
#include "main/lifecycle.h"

enum {
	CONFIG_MAX = 2048,
	LOOK_MS = 10, /* between two looks at a process that is about to end */
};

const char *const demo_backend_names[DEMO_BACKEND_COUNT] = {"alpha", "beta", "gamma"};

/*
 * A port that is free at this moment. Somebody may take it before the balancer does: then that
 * one refuses to start, and the demo tries others.
 */
static int free_port(uint16_t *ret_port, struct error *err)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t length = sizeof address;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = 0;

	if (fd < 0) {
		return error_set(err, errno, "cannot look for a free port");
	}
	if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
		getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
		r = error_set(err, errno, "cannot find a free port");
	}
	(void)close(fd);
	*ret_port = ntohs(address.sin_port);
	return r;
}

static size_t compose_config(const struct demo_balancer *balancer,
	const uint16_t ports[static DEMO_BACKEND_COUNT], char text[static CONFIG_MAX])
{
	int length = snprintf(text, CONFIG_MAX,
		"[listener]\naddress = \"127.0.0.1:%u\"\n"
		"[balancer]\nalgorithm = \"round_robin\"\n"
		"[health]\nfailure_threshold = 3\nsuccess_threshold = 2\n"
		"probe_interval = \"200ms\"\n"
		"[timeouts]\ndrain = \"5s\"\n"
		"[metrics]\nenabled = true\naddress = \"127.0.0.1:%u\"\n"
		"[logging]\nlevel = \"info\"\nformat = \"json\"\n",
		balancer->port, balancer->metrics_port);

	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		length += snprintf(text + length, CONFIG_MAX - (size_t)length,
			"[[backends]]\nname = \"%s\"\naddress = \"127.0.0.1:%u\"\n",
			demo_backend_names[i], ports[i]);
	}
	return (size_t)length;
}

static int run(
	const struct demo_balancer *balancer, const uint16_t ports[static DEMO_BACKEND_COUNT])
{
	char text[CONFIG_MAX];
	const size_t length = compose_config(balancer, ports, text);
	struct diag *diag = diag_create();
	struct config *config = config_load_text(text, length, "demo", diag);
	int code = EXIT_CODE_CONFIG;

	if (config == NULL) {
		diag_print(diag, stderr);
	} else {
		const struct lifecycle alone = {.config = config};

		config->admin.off = true; /* the default place is for balancers that are meant */
		code = lifecycle_run(&alone);
	}
	config_free(config);
	diag_free(diag);
	return code;
}

/*
 * In the new process: a group of its own, so that Ctrl-C reaches the demo alone, which then stops
 * us in good order; and no life after the demo's.
 */
static void become_balancer(pid_t demo, int log_fd)
{
	sigset_t none;

	(void)setpgid(0, 0);
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != demo) {
		_exit(EXIT_CODE_DEMO_FAILED);
	}
	(void)sigemptyset(&none);
	(void)pthread_sigmask(SIG_SETMASK, &none, NULL);
	(void)dup2(log_fd, STDERR_FILENO);
	(void)close(log_fd);
	/* systemd is told about the service, not about a demo. There is one thread here. */
	(void)unsetenv("NOTIFY_SOCKET");  // NOLINT(concurrency-mt-unsafe)
	(void)unsetenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe)
}

int demo_balancer_start(const uint16_t backend_ports[static DEMO_BACKEND_COUNT],
	void (*in_child)(void *context), void *context, struct demo_balancer *ret_balancer,
	struct error *err)
{
	struct demo_balancer balancer = {.log_fd = -1};
	const pid_t demo = getpid();
	int ends[2];
	int r = free_port(&balancer.port, err);

	if (r == 0) {
		r = free_port(&balancer.metrics_port, err);
	}
	if (r < 0) {
		return r;
	}
	if (pipe2(ends, O_CLOEXEC) < 0) {
		return error_set(err, errno, "cannot make a pipe");
	}
	(void)fflush(NULL); /* what is buffered is written once, and by the demo */
	balancer.pid = fork();
	if (balancer.pid < 0) {
		r = error_set(err, errno, "cannot start the balancer");
		(void)close(ends[0]);
		(void)close(ends[1]);
		return r;
	}
	if (balancer.pid == 0) {
		(void)close(ends[0]);
		become_balancer(demo, ends[1]);
		in_child(context);
		_exit(run(&balancer, backend_ports));
	}
	(void)close(ends[1]);
	(void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
	balancer.log_fd = ends[0];
	*ret_balancer = balancer;
	return 0;
}

static void end_log(struct demo_balancer *balancer)
{
	if (balancer->log_fd >= 0) {
		(void)close(balancer->log_fd);
		balancer->log_fd = -1;
	}
}

/* A byte at a time: it is a handful of lines in all, and none is read too far. */
const char *demo_balancer_line(struct demo_balancer *balancer)
{
	char byte;

	while (balancer->log_fd >= 0) {
		const ssize_t count = read(balancer->log_fd, &byte, 1);

		if (count < 0) {
			if (errno != EAGAIN && errno != EINTR) {
				end_log(balancer);
			}
			return NULL;
		}
		if (count == 0) {
			end_log(balancer);
			return NULL;
		}
		if (byte == '\n') {
			const bool whole = !balancer->too_long;

			balancer->line[balancer->length] = '\0';
			balancer->length = 0;
			balancer->too_long = false;
			if (whole) {
				return balancer->line;
			}
		} else if (balancer->length + 1 < DEMO_LINE_MAX) {
			balancer->line[balancer->length++] = byte;
		} else {
			balancer->too_long = true;
		}
	}
	return NULL;
}

void demo_balancer_stop(const struct demo_balancer *balancer)
{
	(void)kill(balancer->pid, SIGTERM);
}

int demo_balancer_join(struct demo_balancer *balancer, unsigned patience_ms)
{
	const struct timespec look = {.tv_nsec = LOOK_MS * 1000000L};
	unsigned waited_ms = 0;
	int status = 0;

	end_log(balancer);
	while (waitpid(balancer->pid, &status, WNOHANG) == 0) {
		if (waited_ms >= patience_ms) {
			(void)kill(balancer->pid, SIGKILL);
			(void)waitpid(balancer->pid, &status, 0);
			break;
		}
		(void)nanosleep(&look, NULL);
		waited_ms += LOOK_MS;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
