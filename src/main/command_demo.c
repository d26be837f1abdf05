#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/array.h"
#include "base/error.h"
#include "main/commands.h"
#include "main/demo_backend.h"
#include "main/demo_client.h"
#include "main/demo_watch.h"
#include "main/exit_code.h"
#include "main/options.h"
#include "os/clock.h"

enum { SHORT_CLIENTS = 4, LONG_CLIENTS = 6, CLIENTS = SHORT_CLIENTS + LONG_CLIENTS, FAILING = 1 };
enum { START_WAIT_MS = 10000, STEP_WAIT_MS = 15000 };

struct demo {
	struct demo_backend backends[DEMO_BACKENDS];
	struct demo_client clients[CLIENTS];
	struct demo_watch watch;
	uint32_t backends_started;
	uint32_t clients_started;
	uint16_t port; /* of the balancer */
	uint16_t metrics_port;
	pid_t balancer;                        /* 0: none */
	uint64_t healthy_share[DEMO_BACKENDS]; /* sessions while all were healthy */
	uint64_t taken_before_recovery;
	unsigned failed_checks;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

static void nap_ms(unsigned ms)
{
	const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	(void)nanosleep(&pause, NULL);
}

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint16_t port = 0;

	if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, length) == 0 &&
		getsockname(fd, (struct sockaddr *)&address, &length) == 0) {
		port = ntohs(address.sin_port);
	}
	if (fd >= 0) {
		(void)close(fd);
	}
	return port;
}

/* The configuration as a file that only we and the balancer know. Returns a descriptor. */
static int write_config(const struct demo *demo)
{
	const int fd = memfd_create("demo.toml", MFD_CLOEXEC);
	int length;

	if (fd < 0) {
		return -1;
	}
	length = dprintf(fd,
		"[listener]\naddress = \"127.0.0.1:%u\"\n"
		"[health]\nprobe_interval = \"200ms\"\n"
		"[metrics]\naddress = \"127.0.0.1:%u\"\n"
		"[logging]\nformat = \"json\"\n"
		"[[backends]]\naddress = \"127.0.0.1:%u\"\n"
		"[[backends]]\naddress = \"127.0.0.1:%u\"\n"
		"[[backends]]\naddress = \"127.0.0.1:%u\"\n",
		demo->port, demo->metrics_port, demo->backends[0].port, demo->backends[1].port,
		demo->backends[2].port);
	if (length < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* In the child: only calls that are safe after a fork of several threads, then the program anew. */
static void become_balancer(int config_fd, int log_fd)
{
	static char program[] = "loble";
	static char option[] = "--config";
	static char path[] = "/proc/self/fd/3";
	char *const arguments[] = {program, option, path, NULL};

	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	(void)dup2(log_fd, STDERR_FILENO);
	if (config_fd == 3) {
		(void)fcntl(config_fd, F_SETFD, 0);
	} else {
		(void)dup2(config_fd, 3);
	}
	(void)close_range(4, ~0U, 0); /* the backends' listening sockets are not the balancer's */
	(void)execv("/proc/self/exe", arguments);
	_exit(EXIT_CODE_REFUSED);
}

/* The balancer is a process of its own, as in real life; its log comes through a pipe. */
static int start_balancer(struct demo *demo, int *ret_log_fd, struct error *err)
{
	int config_fd;
	int ends[2];

	demo->port = free_port();
	demo->metrics_port = free_port();
	config_fd = write_config(demo);
	if (config_fd < 0) {
		return error_set(err, errno, "demo: cannot write a configuration");
	}
	if (pipe2(ends, O_CLOEXEC) < 0) {
		(void)close(config_fd);
		return error_set(err, errno, "demo: cannot start the balancer");
	}
	(void)fflush(stdout);
	demo->balancer = fork();
	if (demo->balancer == 0) {
		become_balancer(config_fd, ends[1]);
	}
	(void)close(config_fd);
	(void)close(ends[1]);
	if (demo->balancer < 0) {
		(void)close(ends[0]);
		demo->balancer = 0;
		return error_set(err, errno, "demo: cannot start the balancer");
	}
	*ret_log_fd = ends[0];
	return 0;
}

static bool wait_started(const struct demo *demo)
{
	for (int i = 0; i < START_WAIT_MS && atomic_load(&demo->watch.ended) == 0; i += 10) {
		if (atomic_load(&demo->watch.started) != 0) {
			return true;
		}
		nap_ms(10);
	}
	return false;
}

/* The backends first, since the balancer's configuration names their ports. */
static int start(struct demo *demo, struct error *err)
{
	int log_fd = -1;
	int r;

	while (demo->backends_started < DEMO_BACKENDS) {
		r = demo_backend_start(&demo->backends[demo->backends_started],
			(uint8_t)demo->backends_started, err);
		if (r < 0) {
			return r;
		}
		demo->backends_started++;
	}
	r = start_balancer(demo, &log_fd, err);
	if (r < 0) {
		return r;
	}
	r = demo_watch_start(&demo->watch, log_fd, demo->backends[FAILING].port, err);
	if (r < 0) {
		(void)close(log_fd);
		return r;
	}
	if (!wait_started(demo)) {
		return error_say(err, ETIMEDOUT, "demo: the balancer does not start");
	}
	while (demo->clients_started < CLIENTS) {
		r = demo_client_start(&demo->clients[demo->clients_started], demo->port,
			demo->clients_started >= SHORT_CLIENTS, err);
		if (r < 0) {
			return r;
		}
		demo->clients_started++;
	}
	return 0;
}

static void say(const struct demo *demo, const char *text)
{
	(void)printf(
		"%6.1f s  %s\n", (double)(clock_monotonic_ns() - demo->watch.start_ns) / 1e9, text);
	(void)fflush(stdout);
}

static void count_sessions(const struct demo *demo, uint64_t sessions[static DEMO_BACKENDS])
{
	for (int backend = 0; backend < DEMO_BACKENDS; backend++) {
		sessions[backend] = 0;
		for (int client = 0; client < SHORT_CLIENTS; client++) {
			sessions[backend] += atomic_load(&demo->clients[client].served[backend]);
		}
	}
}

static bool wait_step(const struct demo *demo, enum demo_step step)
{
	for (int i = 0; i < STEP_WAIT_MS && interrupted == 0; i += 10) {
		if (atomic_load(&demo->watch.step) >= (int)step) {
			return true;
		}
		nap_ms(10);
	}
	return false;
}

static void check(struct demo *demo, bool holds, const char *what)
{
	if (!holds) {
		demo->failed_checks++;
		(void)printf("FAILED: %s\n", what);
	}
}

static void set_avoid(struct demo *demo, int backend)
{
	for (int client = SHORT_CLIENTS; client < CLIENTS; client++) {
		atomic_store(&demo->clients[client].avoid, backend);
	}
}

/* The story: all is well, one backend fails, its last sessions end, it comes back. */
static void play(struct demo *demo, unsigned seconds)
{
	const unsigned part_ms = seconds * 1000 / 4;
	struct error err;

	say(demo, "three backends, four clients with short sessions, six with long ones");
	nap_ms(part_ms);
	count_sessions(demo, demo->healthy_share);
	say(demo, "the second backend fails: it refuses connections; its sessions go on");
	demo_backend_fail(&demo->backends[FAILING]);
	check(demo, wait_step(demo, DEMO_STEP_DRAINING),
		"the failing backend should have gone from healthy to draining");
	nap_ms(part_ms / 2);
	say(demo, "its last sessions end");
	set_avoid(demo, FAILING);
	check(demo, wait_step(demo, DEMO_STEP_UNHEALTHY),
		"the failing backend should have gone from draining to unhealthy");
	set_avoid(demo, -1);
	nap_ms(part_ms / 2);
	demo->taken_before_recovery = atomic_load(&demo->backends[FAILING].taken);
	say(demo, "the second backend accepts connections again");
	if (demo_backend_recover(&demo->backends[FAILING], &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.text);
	}
	check(demo, wait_step(demo, DEMO_STEP_RECOVERED),
		"the backend that came back should have gone from unhealthy to healthy");
	nap_ms(part_ms);
}

static int by_size(const void *a, const void *b)
{
	const uint32_t one = *(const uint32_t *)a;
	const uint32_t other = *(const uint32_t *)b;

	return one < other ? -1 : (one > other ? 1 : 0);
}

static void print_latencies(const struct demo *demo)
{
	static const double quantiles[] = {0.5, 0.99};
	size_t count = 0;
	uint32_t *all;

	for (int client = 0; client < CLIENTS; client++) {
		count += demo->clients[client].latency_count;
	}
	all = calloc(count + 1, sizeof *all);
	if (all == NULL || count == 0) {
		free(all);
		return;
	}
	count = 0;
	for (int client = 0; client < CLIENTS; client++) {
		const struct demo_client *one = &demo->clients[client];

		memcpy(all + count, one->latencies_us, one->latency_count * sizeof *all);
		count += one->latency_count;
	}
	qsort(all, count, sizeof *all, by_size);
	(void)printf("requests: %zu", count);
	for (size_t i = 0; i < ARRAY_COUNT(quantiles); i++) {
		(void)printf(", p%g %.2f ms", quantiles[i] * 100,
			(double)all[(size_t)((double)(count - 1) * quantiles[i])] / 1000);
	}
	(void)printf("\n");
	free(all);
}

/* Round robin is exact; what the long sessions took of it leaves a little play. */
static void check_shares(struct demo *demo)
{
	uint64_t total = 0;

	for (int i = 0; i < DEMO_BACKENDS; i++) {
		total += demo->healthy_share[i];
	}
	for (int i = 0; i < DEMO_BACKENDS; i++) {
		const double share =
			total == 0 ? 0 : (double)demo->healthy_share[i] / (double)total;

		(void)printf(
			"backend %d (127.0.0.1:%u): %.1f %% of the sessions while all were well\n",
			i + 1, demo->backends[i].port, share * 100);
		check(demo, total > 0 && share > 0.30 && share < 0.37,
			"each backend should have had a third of the sessions");
	}
}

static void report(struct demo *demo, int balancer_status)
{
	uint64_t errors = 0;

	for (int client = 0; client < CLIENTS; client++) {
		const struct demo_client *one = &demo->clients[client];

		errors += atomic_load(&one->errors);
		if (one->first_error[0] != '\0') {
			(void)printf("client %d: %s\n", client + 1, one->first_error);
		}
	}
	check_shares(demo);
	print_latencies(demo);
	(void)printf("errors seen by clients: %llu\n", (unsigned long long)errors);
	check(demo, errors == 0, "no client should have seen an error");
	check(demo, atomic_load(&demo->backends[FAILING].taken) > demo->taken_before_recovery + 2,
		"the backend that came back should serve again");
	check(demo, atomic_load(&demo->watch.other_changes) == 0,
		"the other backends should have stayed healthy");
	check(demo, WIFEXITED(balancer_status) && WEXITSTATUS(balancer_status) == EXIT_CODE_DONE,
		"the balancer should have stopped in order");
}

/* Clients first, so that the balancer stops without a session to wait for. */
static int stop(struct demo *demo)
{
	int status = 0;

	for (uint32_t i = 0; i < demo->clients_started; i++) {
		demo_client_stop(&demo->clients[i]);
	}
	if (demo->balancer > 0) {
		(void)kill(demo->balancer, SIGTERM);
		while (waitpid(demo->balancer, &status, 0) < 0 && errno == EINTR) {
		}
		if (demo->watch.start_ns != 0) {
			demo_watch_join(&demo->watch);
		}
	}
	for (uint32_t i = 0; i < demo->backends_started; i++) {
		demo_backend_stop(&demo->backends[i]);
	}
	return status;
}

static void keep_running(const struct demo *demo)
{
	const struct sigaction action = {.sa_handler = on_interrupt};

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)printf("the balancer goes on at 127.0.0.1:%u until Ctrl-C\n", demo->port);
	(void)fflush(stdout);
	while (interrupted == 0) {
		nap_ms(100);
	}
}

int command_demo(const struct options *options)
{
	static struct demo demo;
	const unsigned seconds = options->seconds == 0 ? DEMO_SECONDS_DEFAULT : options->seconds;
	struct error err;
	int status;

	if (start(&demo, &err) < 0) {
		(void)fprintf(stderr, "loble: %s\n", err.text);
		(void)stop(&demo);
		return EXIT_CODE_REFUSED;
	}
	(void)printf("a balancer at 127.0.0.1:%u, metrics at http://127.0.0.1:%u/metrics\n",
		demo.port, demo.metrics_port);
	play(&demo, seconds);
	if (options->keep) {
		keep_running(&demo);
	}
	status = stop(&demo);
	report(&demo, status);
	for (uint32_t i = 0; i < demo.clients_started; i++) {
		demo_client_free(&demo.clients[i]);
	}
	(void)printf("%s\n",
		demo.failed_checks == 0 ? "the demonstration held: exit 0"
					: "the demonstration did NOT hold: exit 1");
	return demo.failed_checks == 0 ? EXIT_CODE_DONE : EXIT_CODE_DEMO_FAILED;
}
