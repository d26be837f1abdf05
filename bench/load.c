#include "bench/load.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/net.h"
#include "bench/pattern.h"

enum { EVENTS_MAX = 256, OPENING_AT_ONCE = 64, SOURCE_FIRST = 0x7f400001 /* 127.64.0.1 */ };

static const uint64_t ms = 1000000;

/* Kept out of the stack for its size. */
static struct load load_state;

bool load_goes_on(const struct load *load, uint64_t now)
{
	return now < load->stop_ns &&
		(load->options.count == 0 || load->begun < load->options.count);
}

void load_fail(struct load *load, struct client *client, enum client_failure failure)
{
	load->failures[failure]++;
	client_close(client);
}

void load_finish(struct load *load, struct client *client)
{
	load->sent += client->sent;
	load->received += client->received;
	client_close(client);
}

bool load_open(struct load *load, struct client *client)
{
	const struct load_options *options = &load->options;
	const uint32_t stream = load->next_stream++;
	const uint32_t source =
		options->sources > 0 ? SOURCE_FIRST + stream % (uint32_t)options->sources : 0;
	const struct hello hello = {
		.stream = stream,
		.kind = load->mode->kind,
		.request = options->request,
		.response = options->response,
	};

	if (client_open(client, &options->address, source, &hello)) {
		client->end = load->mode->end;
		client->half_close = load->mode->half_close;
		client->holding = load->mode->holding;
		client->due_ns = net_now();
		if (client_send(client, load->epoll_fd) != CLIENT_FAILED) {
			return true;
		}
	}
	load_fail(load, client, client->failure);
	return false;
}

bool load_ask(struct load *load, struct client *client)
{
	client->send_until += load->options.request;
	client->receive_until += load->options.response;
	if (client_send(client, load->epoll_fd) == CLIENT_FAILED) {
		load_fail(load, client, client->failure);
		return false;
	}
	return true;
}

/* Before "ready": opens what is still closed, a few at a time. */
static void open_more(struct load *load)
{
	while (load->opened < load->options.connections && load->active < OPENING_AT_ONCE) {
		struct client *client = &load->clients[load->opened++];
		if (!load_open(load, client)) {
			continue;
		}
		if (load->mode->kind == HELLO_EXCHANGE) {
			load->active++;
		} else {
			load->prepared++;
		}
	}
}

static void on_opening_event(struct load *load, struct client *client, enum client_event event)
{
	const bool counted = load->mode->kind == HELLO_EXCHANGE;

	load->active -= counted;
	load->prepared += counted;
	if (event != CLIENT_EXCHANGED) {
		load->prepared--;
		load_fail(load, client,
			client->failure != FAILURE_NONE ? client->failure : FAILURE_TRUNCATED);
	}
	open_more(load);
}

static void dispatch(struct load *load, const struct epoll_event *epoll_event)
{
	struct client *client = epoll_event->data.ptr;
	enum client_event event;

	if (client->fd < 0) {
		return;
	}
	event = client_on_ready(client, load->epoll_fd, epoll_event->events);
	if (event == CLIENT_PROGRESS) {
		return;
	}
	if (load->opening) {
		on_opening_event(load, client, event);
	} else {
		load->mode->on_event(load, client, event);
	}
}

/* One turn of the loop; sleeps until `wake_ns` at most. */
static void turn(struct load *load, uint64_t wake_ns)
{
	struct epoll_event events[EVENTS_MAX];
	const uint64_t now = net_now();
	const uint64_t wait_ns = wake_ns > now ? wake_ns - now : 0;
	const struct timespec wait = {
		.tv_sec = (time_t)(wait_ns / 1000000000U),
		.tv_nsec = (long)(wait_ns % 1000000000U),
	};
	const int count = epoll_pwait2(load->epoll_fd, events, EVENTS_MAX, &wait, NULL);

	for (int i = 0; i < count; i++) {
		dispatch(load, &events[i]);
	}
}

static void prepare(struct load *load)
{
	const uint64_t settled_ns = net_now() + load->options.settle_ms * ms;
	const uint64_t limit_ns = net_now() + load->options.timeout_ms * ms;

	load->opening = true;
	load->stop_ns = UINT64_MAX;
	if (load->mode->opens_first && load->options.fresh == 0) {
		open_more(load);
	}
	while ((load->active > 0 || net_now() < settled_ns) && net_now() < limit_ns) {
		turn(load, load->active > 0 ? limit_ns : settled_ns);
	}
	load->failures[FAILURE_LATE] += load->active;
	load->active = 0;
	load->opening = false;
}

static void run(struct load *load)
{
	load->begin_ns = net_now();
	load->end_ns = load->begin_ns;
	load->stop_ns = load->begin_ns + load->options.duration_ms * ms;
	load->limit_ns = load->begin_ns + load->options.timeout_ms * ms;
	load->mode->begin(load);

	for (;;) {
		const uint64_t now = net_now();
		uint64_t wake_ns = UINT64_MAX;
		if (load->mode->turn != NULL) {
			wake_ns = load->mode->turn(load, now);
		}
		if (now >= load->limit_ns || (load->active == 0 && wake_ns == UINT64_MAX)) {
			break;
		}
		turn(load, wake_ns < load->limit_ns ? wake_ns : load->limit_ns);
	}
	load->failures[FAILURE_LATE] += load->active;
}

static double microseconds(uint64_t ns)
{
	return (double)ns * 1e-3;
}

static void print_results(const struct load *load)
{
	static const char *const names[FAILURE_COUNT] = {
		[FAILURE_CONNECT] = "connect",
		[FAILURE_RESET] = "reset",
		[FAILURE_TRUNCATED] = "truncated",
		[FAILURE_CORRUPT] = "corrupt",
		[FAILURE_EXTRA] = "extra",
		[FAILURE_LATE] = "late",
	};
	const struct histogram *latency = &load->latency;

	printf("{\"mode\": \"%s\", \"prepared\": %" PRIu32 ", \"done\": %" PRIu64
	       ", \"complete\": %" PRIu64 ", \"offered\": %" PRIu64 ", \"seconds\": %.6f"
	       ", \"sent\": %" PRIu64 ", \"received\": %" PRIu64 ", \"failures\": {",
		load->mode->name, load->prepared, load->done, load->complete, load->offered,
		(double)(load->end_ns - load->begin_ns) * 1e-9, load->sent, load->received);
	for (size_t i = FAILURE_NONE + 1; i < FAILURE_COUNT; i++) {
		printf("%s\"%s\": %" PRIu64, i == FAILURE_NONE + 1 ? "" : ", ", names[i],
			load->failures[i]);
	}
	printf("}, \"slow\": %" PRIu64 ", \"latency_us\": {\"mean\": %.3f, \"p50\": %.3f"
	       ", \"p90\": %.3f, \"p99\": %.3f, \"p999\": %.3f, \"max\": %.3f}}\n",
		histogram_above(latency, 100 * ms), microseconds(histogram_mean(latency)),
		microseconds(histogram_quantile(latency, 500000)),
		microseconds(histogram_quantile(latency, 900000)),
		microseconds(histogram_quantile(latency, 990000)),
		microseconds(histogram_quantile(latency, 999000)), microseconds(latency->max_ns));
	(void)fflush(stdout);
}

/* Reads a line; false at the end of the input. */
static bool wait_for_line(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1) {
		if (byte == '\n') {
			return true;
		}
	}
	return false;
}

static const struct option long_options[] = {
	{"address", required_argument, NULL, 'a'},
	{"connections", required_argument, NULL, 'c'},
	{"count", required_argument, NULL, 'n'},
	{"duration-ms", required_argument, NULL, 'd'},
	{"timeout-ms", required_argument, NULL, 't'},
	{"settle-ms", required_argument, NULL, 'w'},
	{"request", required_argument, NULL, 'q'},
	{"response", required_argument, NULL, 'p'},
	{"rate", required_argument, NULL, 'r'},
	{"seed", required_argument, NULL, 's'},
	{"sources", required_argument, NULL, 'i'},
	{"fresh", required_argument, NULL, 'f'},
	{NULL, 0, NULL, 0},
};

struct number_option {
	int letter;
	uint64_t max;
	uint64_t *value;
};

static bool set_number(struct load_options *options, int letter, const char *text)
{
	const struct number_option numbers[] = {
		{'c', LOAD_CLIENTS_MAX, &options->connections},
		{'n', UINT32_MAX, &options->count},
		{'d', 3600000, &options->duration_ms},
		{'t', 3600000, &options->timeout_ms},
		{'w', 60000, &options->settle_ms},
		{'q', UINT64_MAX, &options->request},
		{'p', UINT64_MAX, &options->response},
		{'r', 1000000, &options->rate},
		{'s', UINT64_MAX, &options->seed},
		{'i', 250, &options->sources},
		{'f', 1, &options->fresh},
	};

	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
		if (numbers[i].letter == letter) {
			return net_parse_number(text, numbers[i].max, numbers[i].value);
		}
	}
	return false;
}

static const struct load_mode *find_mode(const char *name)
{
	for (size_t i = 0; i < load_mode_count; i++) {
		if (strcmp(load_modes[i].name, name) == 0) {
			return &load_modes[i];
		}
	}
	return NULL;
}

static int usage(void)
{
	(void)fputs(
		"usage: load MODE --address IPV4:PORT [--connections N] [--count N]\n"
		"            [--duration-ms N] [--timeout-ms N] [--settle-ms N] [--request BYTES]\n"
		"            [--response BYTES] [--rate N] [--seed N] [--sources N] [--fresh 0|1]\n"
		"modes:\n",
		stderr);
	for (size_t i = 0; i < load_mode_count; i++) {
		(void)fprintf(stderr, "  %-12s %s\n", load_modes[i].name, load_modes[i].summary);
	}
	return 64;
}

static bool parse_options(int argc, char **argv, struct load_options *options)
{
	int letter;

	/* The only thread there is. NOLINTNEXTLINE(concurrency-mt-unsafe) */
	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'a') {
			if (!net_parse(optarg, &options->address)) {
				(void)fprintf(stderr, "load: not an address: %s\n", optarg);
				return false;
			}
		} else if (letter == '?') {
			return false;
		} else if (!set_number(options, letter, optarg)) {
			(void)fprintf(stderr, "load: not a number in range: %s\n", optarg);
			return false;
		}
	}
	return options->address.sin_port != 0 && options->connections > 0 &&
		options->request >= HELLO_SIZE && options->rate > 0;
}

int main(int argc, char **argv)
{
	struct load *load = &load_state;
	struct load_options *options = &load->options;

	*options = (struct load_options){
		.connections = 1,
		.duration_ms = 1000,
		.timeout_ms = 30000,
		.request = 64,
		.response = 64,
		.rate = 1000,
	};
	load->mode = argc > 1 ? find_mode(argv[1]) : NULL;
	if (load->mode == NULL || !parse_options(argc - 1, argv + 1, options)) {
		return usage();
	}
	pattern_init();
	net_raise_limit();
	(void)signal(SIGPIPE, SIG_IGN);
	/* The open loop must wake up when a request is due, not 50 us later. */
	(void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);

	load->clients = calloc(options->connections, sizeof *load->clients);
	load->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (load->clients == NULL || load->epoll_fd < 0) {
		perror("load");
		return 71;
	}
	for (uint64_t i = 0; i < options->connections; i++) {
		load->clients[i].fd = -1;
	}

	prepare(load);
	(void)puts("ready");
	(void)fflush(stdout);
	if (wait_for_line()) {
		run(load);
		print_results(load);
		(void)wait_for_line();
	}
	free(load->clients);
	return 0;
}
