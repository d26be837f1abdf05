#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "main/commands.h"
#include "main/demo_backend.h"
#include "main/demo_balancer.h"
#include "main/demo_client.h"
#include "main/demo_report.h"
#include "main/demo_tally.h"
#include "main/demo_verdict.h"
#include "main/exit_code.h"
#include "main/options.h"
#include "os/clock.h"

enum {
	LONG_COUNT = 9, /* a multiple of the backends: each has as many of them */
	SHORT_COUNT = 8,
	CLIENT_COUNT = LONG_COUNT + SHORT_COUNT,
	STARTS_MAX = 3,      /* somebody may take a port that was free a moment ago */
	STEP_MAX_MS = 10000, /* for anything that the balancer should do at once */
	TICK_MS = 1000,
	LOOK_MS = 50,       /* at what no descriptor tells */
	OUTAGE_MS = 4500,   /* what the failure takes, about */
	DRAINING_MS = 1200, /* for how long the victim keeps its sessions */
	DOWN_MS = 800,
	REST_MIN_MS = 2000, /* after the recovery, however long the rest took */
	GOODBYE_MS = 300,   /* of the long sessions, after the balancer was told to stop */
};

/* All that there is; used by the first thread, unless said otherwise. */
struct demo {
	struct demo_report report;
	struct demo_tally tally; /* shared with the clients' threads: it has a lock */
	struct demo_backend *backends[DEMO_BACKEND_COUNT]; /* owned */
	uint16_t ports[DEMO_BACKEND_COUNT];
	struct demo_balancer balancer;
	bool running;                             /* the balancer has to be waited for */
	struct demo_client clients[CLIENT_COUNT]; /* the long ones first */
	struct demo_outcome outcome;
	int signal_fd;
	uint64_t start_ns;
	uint64_t last_tick_ns; /* 0: no lines yet */
	bool started;          /* the balancer takes connections */
	bool interrupted;
};

static uint64_t since_start_ms(const struct demo *demo)
{
	return (clock_monotonic_ns() - demo->start_ns) / 1000000;
}

static void take_event(struct demo *demo, const char *line)
{
	struct demo_outcome *outcome = &demo->outcome;
	struct demo_event event;

	demo_event_read(line, &event);
	switch (event.kind) {
	case DEMO_EVENT_STARTED:
		demo->started = true;
		break;
	case DEMO_EVENT_HEALTH:
		if (outcome->transition_count < DEMO_TRANSITION_MAX) {
			outcome->transitions[outcome->transition_count] = event;
		}
		outcome->transition_count++;
		demo_report_transition(&demo->report, since_start_ms(demo), &event);
		break;
	case DEMO_EVENT_STOPPED:
		outcome->stopped = true;
		outcome->sessions_cut = event.sessions_cut;
		break;
	case DEMO_EVENT_NO_EVENT:
		(void)fprintf(stderr, "%s\n", line);
		break;
	case DEMO_EVENT_OTHER:
		break;
	}
}

static void tick(struct demo *demo, uint64_t now_ns)
{
	struct demo_interval interval;
	struct demo_numbers numbers;

	demo_tally_read(&demo->tally, &numbers, &interval);
	demo_report_tick(&demo->report, since_start_ms(demo), &interval,
		(now_ns - demo->last_tick_ns) / 1000000, numbers.errors);
	demo->last_tick_ns = now_ns;
}

static bool never(const struct demo *demo)
{
	(void)demo;
	return false;
}

static bool has_started(const struct demo *demo)
{
	return demo->started;
}

static bool log_ended(const struct demo *demo)
{
	return demo->balancer.log_fd < 0;
}

static bool all_long_answered(const struct demo *demo)
{
	for (size_t i = 0; i < LONG_COUNT; i++) {
		if (demo_client_answers(&demo->clients[i]) == 0) {
			return false;
		}
	}
	return true;
}

static bool victim_is(const struct demo *demo, const char *state)
{
	return strcmp(demo->report.states[DEMO_VICTIM], state) == 0;
}

static bool victim_draining(const struct demo *demo)
{
	return victim_is(demo, "draining");
}

static bool victim_unhealthy(const struct demo *demo)
{
	return victim_is(demo, "unhealthy");
}

static bool victim_healthy(const struct demo *demo)
{
	return victim_is(demo, "healthy");
}

/*
 * Shows what happens until `done` is true or the time is over; UINT64_MAX is no limit. Returns
 * what `done` says then, and at once false when the demo cannot go on: interrupted, or the
 * balancer has ended.
 */
static bool watch(struct demo *demo, bool (*done)(const struct demo *demo), uint64_t until_ns)
{
	while (!done(demo) && !demo->interrupted && !log_ended(demo)) {
		struct pollfd polled[] = {
			{.fd = demo->signal_fd, .events = POLLIN},
			{.fd = demo->balancer.log_fd, .events = POLLIN},
		};
		const uint64_t tick_ns = demo->last_tick_ns + TICK_MS * 1000000ULL;
		uint64_t now_ns = clock_monotonic_ns();
		uint64_t wake_ns = until_ns;
		struct signalfd_siginfo info;
		const char *line;

		if (now_ns >= until_ns) {
			break;
		}
		if (demo->last_tick_ns != 0 && tick_ns < wake_ns) {
			wake_ns = tick_ns;
		}
		if (wake_ns > now_ns) {
			const uint64_t wait_ms = (wake_ns - now_ns) / 1000000 + 1;

			(void)poll(polled, 2, wait_ms < LOOK_MS ? (int)wait_ms : LOOK_MS);
		}
		if (read(demo->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
			demo->interrupted = true;
		}
		while ((line = demo_balancer_line(&demo->balancer)) != NULL) {
			take_event(demo, line);
		}
		now_ns = clock_monotonic_ns();
		if (demo->last_tick_ns != 0 && now_ns >= tick_ns) {
			tick(demo, now_ns);
		}
	}
	return done(demo);
}

static bool watch_for(struct demo *demo, bool (*done)(const struct demo *demo), unsigned ms)
{
	return watch(demo, done, clock_monotonic_ns() + ms * 1000000ULL);
}

/* Lets time pass. False when the demo cannot go on. */
static bool pass(struct demo *demo, unsigned ms)
{
	(void)watch_for(demo, never, ms);
	return !demo->interrupted && !log_ended(demo);
}

/* Ctrl-C and its like are read in watch(), so that everything is stopped in order. */
static int open_signals(struct demo *demo, struct error *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	demo->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return demo->signal_fd < 0 ? error_set(err, errno, "cannot wait for signals") : 0;
}

static void free_backends(struct demo *demo)
{
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		demo_backend_free(demo->backends[i]);
		demo->backends[i] = NULL;
	}
}

/* In the balancer's process: with our copies of them, the backends could not stop listening. */
static void let_go(void *context)
{
	struct demo *demo = context;

	free_backends(demo);
	(void)close(demo->signal_fd);
}

/* Before there is any thread, since this forks. */
static int start_balancer(struct demo *demo, struct error *err)
{
	int code = EXIT_CODE_DONE;

	for (int i = 0; i < STARTS_MAX; i++) {
		int r = demo_balancer_start(demo->ports, let_go, demo, &demo->balancer, err);

		if (r < 0) {
			return r;
		}
		demo->running = true;
		if (watch_for(demo, has_started, STEP_MAX_MS)) {
			return 0;
		}
		if (demo->interrupted) {
			return error_say(err, EINTR, "interrupted");
		}
		demo->running = false;
		if (!log_ended(demo)) {
			(void)demo_balancer_join(&demo->balancer, 0);
			return error_say(err, ETIMEDOUT, "the balancer does not start");
		}
		code = demo_balancer_join(&demo->balancer, STEP_MAX_MS);
		if (code != EXIT_CODE_REFUSED) {
			break;
		}
	}
	return error_say(err, ECHILD, "the balancer did not start: exit code %d", code);
}

static int start_clients(struct demo *demo, size_t first, size_t end, struct error *err)
{
	for (size_t i = first; i < end; i++) {
		struct demo_client *client = &demo->clients[i];
		int r;

		client->kind = i < LONG_COUNT ? DEMO_LONG : DEMO_SHORT;
		client->port = demo->balancer.port;
		client->seed = i;
		client->tally = &demo->tally;
		r = demo_client_start(client, err);
		if (r < 0) {
			return r;
		}
	}
	return 0;
}

/* The long sessions come first and alone: taking turns gives each backend as many of them. */
static int start(struct demo *demo, struct error *err)
{
	int r = open_signals(demo, err);

	for (uint32_t i = 0; i < DEMO_BACKEND_COUNT && r == 0; i++) {
		r = demo_backend_create(i, &demo->backends[i], err);
		if (r == 0) {
			demo->ports[i] = demo_backend_port(demo->backends[i]);
		}
	}
	if (r == 0) {
		r = start_balancer(demo, err);
	}
	for (size_t i = 0; i < DEMO_BACKEND_COUNT && r == 0; i++) {
		r = demo_backend_start(demo->backends[i], err);
	}
	if (r < 0) {
		return r;
	}
	demo->outcome.clients = CLIENT_COUNT;
	demo_report_opening(&demo->report, &demo->balancer, demo->ports, CLIENT_COUNT);
	demo_report_head(&demo->report);
	demo->start_ns = clock_monotonic_ns();
	demo->last_tick_ns = demo->start_ns;
	r = start_clients(demo, 0, LONG_COUNT, err);
	if (r < 0) {
		return r;
	}
	(void)watch_for(demo, all_long_answered, STEP_MAX_MS);
	return start_clients(demo, LONG_COUNT, CLIENT_COUNT, err);
}

/* The victim stops listening, loses its sessions, listens again. False: it cannot go on. */
static bool play_failure(struct demo *demo)
{
	const char *victim = demo_backend_names[DEMO_VICTIM];
	struct error err;

	demo_report_say(&demo->report, since_start_ms(demo),
		"%s fails: nobody listens there any more", victim);
	demo_tally_enter(&demo->tally, DEMO_OUT);
	demo_backend_fail(demo->backends[DEMO_VICTIM]);
	if (!watch_for(demo, victim_draining, STEP_MAX_MS) || !pass(demo, DRAINING_MS)) {
		return false;
	}
	demo_report_say(&demo->report, since_start_ms(demo), "its last clients say goodbye");
	for (size_t i = 0; i < LONG_COUNT; i++) {
		demo_client_release(&demo->clients[i]);
	}
	if (!watch_for(demo, victim_unhealthy, STEP_MAX_MS) || !pass(demo, DOWN_MS)) {
		return false;
	}
	demo_report_say(&demo->report, since_start_ms(demo), "%s listens again", victim);
	if (demo_backend_recover(demo->backends[DEMO_VICTIM], &err) < 0) {
		(void)fprintf(stderr, "loble: demo: %s\n", err.text);
		return false;
	}
	if (!watch_for(demo, victim_healthy, STEP_MAX_MS)) {
		return false;
	}
	demo_tally_enter(&demo->tally, DEMO_AFTER);
	return true;
}

static bool play(struct demo *demo, const struct options *options)
{
	const unsigned total_ms = options->seconds * 1000;
	uint64_t end_ns = demo->start_ns + total_ms * 1000000ULL;
	uint64_t rest_ns;

	if (!pass(demo, (total_ms - OUTAGE_MS) / 2) || !play_failure(demo)) {
		return false;
	}
	rest_ns = clock_monotonic_ns() + REST_MIN_MS * 1000000ULL;
	end_ns = end_ns > rest_ns ? end_ns : rest_ns;
	(void)watch(demo, never, end_ns);
	if (demo->interrupted || log_ended(demo)) {
		return false;
	}
	if (options->keep) {
		demo_report_say(
			&demo->report, since_start_ms(demo), "all of it goes on until Ctrl-C");
		(void)watch(demo, never, UINT64_MAX);
		demo->interrupted = false; /* it was asked for */
	}
	return true;
}

static void stop_clients(struct demo *demo, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		demo_client_ask_to_stop(&demo->clients[i]);
	}
	for (size_t i = first; i < end; i++) {
		demo_client_join(&demo->clients[i]);
	}
}

/* The balancer is told to stop while the long sessions still run: it has to let them finish. */
static void stop(struct demo *demo)
{
	const bool interrupted = demo->interrupted;

	demo->interrupted = false; /* so that watch() goes on */
	stop_clients(demo, LONG_COUNT, CLIENT_COUNT);
	if (demo->running) {
		demo_balancer_stop(&demo->balancer);
		demo->last_tick_ns = 0;
		(void)watch_for(demo, log_ended, GOODBYE_MS);
	}
	stop_clients(demo, 0, LONG_COUNT);
	if (demo->running) {
		(void)watch_for(demo, log_ended, STEP_MAX_MS);
		demo->outcome.exit_code = demo_balancer_join(&demo->balancer, STEP_MAX_MS);
		demo->running = false;
	}
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		if (demo->backends[i] != NULL) {
			demo->outcome.damaged += demo_backend_damaged(demo->backends[i]);
		}
	}
	free_backends(demo);
	demo->interrupted = interrupted;
	demo_tally_read(&demo->tally, &demo->outcome.numbers, NULL);
}

static int conclude(struct demo *demo)
{
	struct demo_check checks[DEMO_CHECK_COUNT];
	const bool held = demo_judge(&demo->outcome, checks);

	if (demo->interrupted) {
		(void)fputs("loble: demo: interrupted before its checks were complete\n", stderr);
		return EXIT_CODE_DEMO_FAILED;
	}
	demo_report_closing(&demo->report, &demo->outcome.numbers, checks);
	for (size_t i = 0; i < DEMO_CHECK_COUNT; i++) {
		if (!checks[i].held) {
			(void)fprintf(stderr, "loble: demo: %s\n", checks[i].text);
		}
	}
	if (held) {
		(void)printf("\nAll of it held. The demo took %.1f s.\n",
			(double)since_start_ms(demo) / 1000);
	}
	return held ? EXIT_CODE_DONE : EXIT_CODE_DEMO_FAILED;
}

int command_demo(const struct options *options)
{
	static struct demo demo = {.signal_fd = -1, .balancer.log_fd = -1};
	struct error err = {.code = 0};
	bool started;

	demo_report_init(&demo.report, stdout,
		demo_report_wants_colour(
			STDOUT_FILENO, secure_getenv("NO_COLOR"), secure_getenv("TERM")));
	demo_tally_init(&demo.tally);
	demo.start_ns = clock_monotonic_ns();
	started = start(&demo, &err) == 0;
	if (started) {
		(void)play(&demo, options);
	}
	stop(&demo);
	if (demo.signal_fd >= 0) {
		(void)close(demo.signal_fd);
	}
	demo_tally_done(&demo.tally);
	if (!started) {
		(void)fprintf(stderr, "loble: demo: %s\n", err.text);
		return EXIT_CODE_DEMO_FAILED;
	}
	return conclude(&demo);
}
