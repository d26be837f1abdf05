/*
 * The torture of a proxy: clients and backends whose every byte says whose it is, checked at both
 * ends. It proves, or not, that nothing is dropped. Prints JSON lines; exits with 0 when it has
 * found nothing wrong, with 1 when it has, with 2 when it could not be run.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backend.h"
#include "base/array.h"
#include "base/error.h"
#include "client.h"
#include "os/socket.h"

enum { EXIT_FOUND = 1, EXIT_UNABLE = 2, BACKLOG = 4096, BACKEND_ROOM = 9000 };

struct setup {
	struct client_setup client;
	struct sockaddr_any backends[ADDRESSES_MAX];
	uint32_t backend_count;
	int listeners[ADDRESSES_MAX];
};

static const struct client_setup defaults = {
	.sessions = 200,
	.probes = 10,
	.rate = 100,
	.ramp = 2000,
	.weights =
		{
			[CLASS_PING] = 330,
			[CLASS_BULK_UP] = 20,
			[CLASS_BULK_DOWN] = 20,
			[CLASS_BULK_BOTH] = 20,
			[CLASS_SLOW_CLIENT] = 40,
			[CLASS_SLOW_BACKEND] = 40,
			[CLASS_HALF_UP] = 60,
			[CLASS_HALF_DOWN] = 60,
			[CLASS_IDLE] = 300,
			[CLASS_SILENT] = 50,
			[CLASS_ABORT] = 30,
			[CLASS_ABORTED] = 30,
		},
	.life_ms = 20000,
	.think_ms = 250,
	.probe_ms = 2,
	.burst = 256 * 1024,
	.every_ms = 250,
	.hold_ms = 5000,
	.stall_ms = 10000,
	.grace_ms = 20000,
	.seed = 1,
};

static const char USAGE[] =
	"usage: torture --client ADDRESS ... --backend ADDRESS ... [OPTIONS]\n"
	"\n"
	"Listens at the backend addresses and connects to the client addresses; between them is\n"
	"what is tortured. Ends on SIGTERM or SIGINT, reports on SIGUSR1.\n"
	"\n"
	"  --sessions N   kept up (200)           --probes N    whose gaps count (10)\n"
	"  --rate N       new a second (100)      --ramp N      opened a second, at most (2000)\n"
	"  --mix C=N,...  weights of the classes  --life MS     of a session (20000)\n"
	"  --think MS     between requests (250)  --burst BYTES of bulk (262144)\n"
	"  --every MS     between bursts (250)    --hold MS     half-closed, at most (5000)\n"
	"  --stall MS     is too long (10000)     --grace MS    to end (20000)\n"
	"  --pause MS     of the probes (2)       --seconds S   to run\n"
	"  --seed N                               --proxy v2    headers come to backends\n";

struct number_option {
	const char *name;
	size_t offset; /* of a uint32_t in struct client_setup */
};

static const struct number_option numbers[] = {
	{"sessions", offsetof(struct client_setup, sessions)},
	{"probes", offsetof(struct client_setup, probes)},
	{"rate", offsetof(struct client_setup, rate)},
	{"ramp", offsetof(struct client_setup, ramp)},
	{"life", offsetof(struct client_setup, life_ms)},
	{"think", offsetof(struct client_setup, think_ms)},
	{"pause", offsetof(struct client_setup, probe_ms)},
	{"burst", offsetof(struct client_setup, burst)},
	{"every", offsetof(struct client_setup, every_ms)},
	{"hold", offsetof(struct client_setup, hold_ms)},
	{"stall", offsetof(struct client_setup, stall_ms)},
	{"grace", offsetof(struct client_setup, grace_ms)},
};

static bool parse_number(const char *text, uint32_t *ret)
{
	char *end;
	const unsigned long value = strtoul(text, &end, 10);

	*ret = (uint32_t)value;
	return *text != '\0' && *end == '\0' && value <= INT32_MAX;
}

static bool parse_address(const char *text, struct sockaddr_any *list, uint32_t *count)
{
	struct address address;
	const char *wrong = address_parse(text, strlen(text), &address);

	if (wrong != NULL || *count == ADDRESSES_MAX ||
		(address.kind != ADDRESS_NUMERIC && address.kind != ADDRESS_LOCAL)) {
		(void)fprintf(stderr, "torture: %s: %s\n", text,
			wrong != NULL                     ? wrong
				: *count == ADDRESSES_MAX ? "one too many"
							  : "a numeric address is needed");
		return false;
	}
	list[(*count)++] = address.numeric;
	return true;
}

static bool any_local(const struct sockaddr_any *list, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (list[i].generic.sa_family == AF_UNIX) {
			return true;
		}
	}
	return false;
}

/* "ping=300,idle=200": these classes, and no others. */
static bool parse_mix(const char *text, uint32_t weights[static CLASS_COUNT])
{
	char copy[512];
	char *rest = copy;
	char *item;

	memset(weights, 0, CLASS_COUNT * sizeof weights[0]);
	(void)snprintf(copy, sizeof copy, "%s", text);
	while ((item = strsep(&rest, ",")) != NULL) {
		char *value = strchr(item, '=');
		int class = 0;

		if (value != NULL) {
			*value++ = '\0';
		}
		while (class < CLASS_COUNT &&
			strcmp(item, wire_class_name((enum session_class) class)) != 0) {
			class ++;
		}
		if (value == NULL || class == CLASS_COUNT || class == CLASS_PROBE ||
			class == CLASS_SHORT || !parse_number(value, &weights[class])) {
			(void)fprintf(stderr, "torture: --mix: \"%s\" is no class=weight\n", item);
			return false;
		}
	}
	return true;
}

static bool apply(struct setup *setup, const char *name, const char *value)
{
	struct client_setup *client = &setup->client;
	char *end;

	if (strcmp(name, "client") == 0) {
		return parse_address(value, client->addresses, &client->address_count);
	}
	if (strcmp(name, "backend") == 0) {
		return parse_address(value, setup->backends, &setup->backend_count);
	}
	if (strcmp(name, "mix") == 0) {
		return parse_mix(value, client->weights);
	}
	if (strcmp(name, "proxy") == 0) {
		client->proxy = strcmp(value, "v2") == 0;
		return client->proxy;
	}
	if (strcmp(name, "seconds") == 0) {
		client->seconds = strtod(value, &end);
		return end != value && *end == '\0' && client->seconds > 0;
	}
	if (strcmp(name, "seed") == 0) {
		client->seed = strtoull(value, &end, 10);
		return end != value && *end == '\0';
	}
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		if (strcmp(name, numbers[i].name) == 0) {
			return parse_number(
				value, (uint32_t *)(void *)((char *)client + numbers[i].offset));
		}
	}
	return false;
}

static bool parse(int argc, char **argv, struct setup *setup)
{
	struct option options[ARRAY_COUNT(numbers) + 7] = {
		{.name = "client", .has_arg = required_argument},
		{.name = "backend", .has_arg = required_argument},
		{.name = "mix", .has_arg = required_argument},
		{.name = "seconds", .has_arg = required_argument},
		{.name = "seed", .has_arg = required_argument},
		{.name = "proxy", .has_arg = required_argument},
	};
	int index;
	int found;

	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		options[6 + i] =
			(struct option){.name = numbers[i].name, .has_arg = required_argument};
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
	while ((found = getopt_long(argc, argv, "", options, &index)) == 0) {
		if (!apply(setup, options[index].name, optarg)) {
			(void)fprintf(stderr, "torture: --%s: \"%s\" will not do\n",
				options[index].name, optarg);
			return false;
		}
	}
	if (found != -1 || optind != argc || setup->backend_count == 0 ||
		setup->client.address_count == 0 || setup->client.ramp == 0) {
		(void)fputs(USAGE, stderr);
		return false;
	}
	return true;
}

static bool open_listeners(struct setup *setup)
{
	for (uint32_t i = 0; i < setup->backend_count; i++) {
		const struct listen_spec spec = {
			.address = setup->backends[i], .backlog = BACKLOG, .mode = 0666};
		struct error error;

		if (socket_listen(&spec, &setup->listeners[i], &error) < 0) {
			(void)fprintf(stderr, "torture: %s\n", error.text);
			return false;
		}
	}
	return true;
}

static pid_t start_backend(const struct setup *setup)
{
	const struct backend_setup backend = {
		.listeners = setup->listeners,
		.listener_count = setup->backend_count,
		.capacity = setup->client.sessions + setup->client.probes + BACKEND_ROOM,
		.seed = setup->client.seed + 1,
		.stall_ms = setup->client.stall_ms,
		.local = setup->client.local,
		.proxy = setup->client.proxy,
		.tally = setup->client.tally,
	};
	const pid_t parent = getpid();
	const pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent) {
			_exit(backend_run(&backend));
		}
		_exit(EXIT_FAILURE);
	}
	return pid;
}

static void close_listeners(const struct setup *setup)
{
	for (uint32_t i = 0; i < setup->backend_count; i++) {
		(void)close(setup->listeners[i]);
	}
}

int main(int argc, char **argv)
{
	struct setup setup = {.client = defaults};
	struct rlimit limit;

	if (!parse(argc, argv, &setup)) {
		return EXIT_UNABLE;
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	setup.client.local = any_local(setup.client.addresses, setup.client.address_count) ||
		any_local(setup.backends, setup.backend_count);
	setup.client.tally = tally_create();
	if (setup.client.tally == NULL || !open_listeners(&setup)) {
		return EXIT_UNABLE;
	}
	setup.client.backend = start_backend(&setup);
	if (setup.client.backend < 0) {
		(void)fprintf(stderr, "torture: fork: %s\n", strerrordesc_np(errno));
		return EXIT_UNABLE;
	}
	close_listeners(&setup);
	if (!client_run(&setup.client)) {
		return EXIT_UNABLE;
	}
	return tally_errors(setup.client.tally) == 0 ? EXIT_SUCCESS : EXIT_FOUND;
}
