#include "control/control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "control/control_internal.h"
#include "control/drain.h"
#include "control/event_line.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "os/clock.h"
#include "os/process.h"

enum { EVENTS_PER_TURN = 64 };

static const uint64_t DRAIN_LOOK_NS = 250 * 1000000ULL; /* in case a report is lost */
static const uint64_t MEMORY_RETRY_NS = 100 * 1000000ULL;
static const uint64_t OUTBOX_RETRY_NS = 10 * 1000000ULL;

/* Returns false when there is no memory for a snapshot. */
static bool publish_changes(struct control *control)
{
	struct snapshot_store *store = control->setup.store;
	const struct snapshot *current = snapshot_current(store);
	struct snapshot *next = registry_build(&control->roster->registry, control->version + 1);

	if (next == NULL) {
		return false;
	}
	control->roster->registry.changed = false;
	if (current != NULL && builder_same(current, next)) {
		snapshot_free(next);
		return true;
	}
	control->version++;
	snapshot_publish(store, next);
	counter_set(&control->setup.shm->header->process.snapshot_version, control->version);
	snapshot_reclaim(store);
	return true;
}

/*
 * The sessions of a failed backend are cut after the grace period, when no worker starts another
 * one on it.
 */
void control_publish(struct control *control, uint64_t now_ns)
{
	while (control->roster->registry.changed || control->roster->registry.ungraced_count > 0) {
		if (control->roster->registry.changed && !publish_changes(control)) {
			control->failed_snapshot = true;
			return;
		}
		control->failed_snapshot = false;
		registry_grace(&control->roster->registry, now_ns);
	}
	roster_cut_failed(control->roster, &control->outbox);
}

static void run_timers(struct control *control, uint64_t now_ns)
{
	struct timer *timer;

	while ((timer = timers_take(&control->roster->timers, now_ns)) != NULL) {
		switch ((enum control_timer)timer->kind) {
		case TIMER_PROBE:
			probe_on_timer(&control->roster->prober,
				&control->roster->probes[timer->index], now_ns);
			break;
		case TIMER_RESOLVE:
			control_on_resolve_timer(control, timer->index);
			break;
		}
	}
}

/*
 * Only the supervisor gives orders to stop. Whoever else sends such a signal means one process, or
 * by its name ("pkill loble") both: it ends this one like any other signal, and the next one goes
 * on, or hears of the order from the supervisor, once.
 */
static void die_of(int signal)
{
	static const struct sigaction by_default = {.sa_handler = SIG_DFL};
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, signal);
	(void)sigaction(signal, &by_default, NULL); /* who starts us in the background ignores it */
	(void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	(void)raise(signal);
}

static void on_signals(struct control *control)
{
	struct signalfd_siginfo info;

	while (read(control->setup.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		const bool direct =
			process_main() != getpid() && info.ssi_pid != (uint32_t)process_main();

		switch ((int)info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			if (direct) {
				die_of((int)info.ssi_signo);
			}
			control->stop_signals++;
			break;
		case SIGUSR1:
			control->setup.reopen_logs(control->setup.context);
			break;
		case SIGHUP:
			reload_request(control, CAUSE_SIGNAL);
			break;
		case SIGUSR2:
			if (!direct) {
				control_on_upgrade(control);
			}
			break;
		default:
			break;
		}
	}
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return a_ns < b_ns ? a_ns : b_ns;
}

/* For how long there is nothing to do; for ever, while all is well. */
static int sleep_ms(const struct control *control, uint64_t now_ns)
{
	uint64_t next = timers_next(&control->roster->timers);

	next = earlier(next, stop_deadline(&control->stop, now_ns));
	next = earlier(next, reload_next_ns(control, now_ns));
	next = earlier(next, control->drain_next_ns);
	next = earlier(next, intake_deadline(&control->roster->intake));
	if (control->roster->registry.draining > 0) {
		next = earlier(next, now_ns + DRAIN_LOOK_NS);
	}
	if (control->failed_snapshot) {
		next = earlier(next, now_ns + MEMORY_RETRY_NS);
	}
	if (control->outbox_waits) {
		next = earlier(next, now_ns + OUTBOX_RETRY_NS);
	}
	return clock_sleep_ms(next, now_ns);
}

static void dispatch(struct control *control, const struct epoll_event *event, uint64_t now_ns)
{
	eventfd_t count;

	switch ((enum control_source)(event->data.u64 >> 32)) {
	case SOURCE_WAKE:
		(void)eventfd_read(control->setup.wake_fd, &count);
		break;
	case SOURCE_SIGNAL:
		on_signals(control);
		break;
	case SOURCE_RESOLVER:
		control_on_answers(control, now_ns);
		break;
	case SOURCE_REQUEST:
		control_on_requests(control);
		break;
	case SOURCE_RELOAD: /* reload_step() looks at it, in each turn */
		break;
	case SOURCE_PROBE:
		probe_on_ready(&control->roster->prober,
			&control->roster->probes[(uint32_t)event->data.u64], now_ns);
		break;
	}
}

static void run_drains(struct control *control, uint64_t now_ns)
{
	if (control->closing.count > 0) {
		sockets_check_closing(control->setup.shm, &control->closing);
	}
	if (control->roster->registry.changed || now_ns >= control->drain_next_ns) {
		control->drain_next_ns = drain_run(control->setup.shm, &control->outbox, now_ns);
	}
}

static bool turn(struct control *control)
{
	struct epoll_event events[EVENTS_PER_TURN];
	const int count = epoll_wait(control->epoll_fd, events, EVENTS_PER_TURN,
		sleep_ms(control, clock_monotonic_ns()));
	const uint64_t now_ns = clock_monotonic_ns();

	for (int i = 0; i < count; i++) {
		dispatch(control, &events[i], now_ns);
	}
	intake_drain(&control->roster->intake, now_ns);
	run_timers(control, now_ns);
	if (now_ns >= control->drain_look_ns && control->roster->registry.draining > 0) {
		control->drain_look_ns = now_ns + DRAIN_LOOK_NS;
		registry_check_draining(&control->roster->registry, now_ns);
	}
	/* This waits for all workers; at the end, not for one that hangs. */
	if (control->stop.state != STOP_EXITING) {
		reload_step(control, now_ns);
		run_drains(control, now_ns);
		control_publish(control, now_ns);
	}
	control->outbox_waits = outbox_flush(&control->outbox);
	return control_step_stop(control, now_ns);
}

uint64_t control_run(struct control *control)
{
	control_begin(control);
	while (!turn(control) && !control_parked(control)) {
	}
	return control->cut_sessions;
}

int control_watch(struct control *control, int fd, enum control_source source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32};

	return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static int open_loop(struct control *control, struct error *err)
{
	int r;

	control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (control->epoll_fd < 0) {
		return error_set(err, errno, "control: cannot open an epoll");
	}
	r = control_watch(control, control->setup.wake_fd, SOURCE_WAKE);
	if (r == 0) {
		r = control_watch(control, control->setup.signal_fd, SOURCE_SIGNAL);
	}
	if (r == 0 && control->setup.requests != NULL) {
		r = control_watch(
			control, request_box_control_fd(control->setup.requests), SOURCE_REQUEST);
	}
	if (r == 0) {
		r = reload_init(&control->reload, control);
	}
	return r < 0 ? error_set(err, -r, "control: cannot watch") : 0;
}

/* What a load of the configuration leaves in the metrics. */
static void note_configuration(struct control *control)
{
	struct process_state *process = &control->setup.shm->header->process;
	struct event event = {
		.kind = EVENT_CONFIG_LOADED,
		.cause = CAUSE_CONFIGURATION,
		.generation = control->roster->registry.generation,
	};

	if (counter_get(&process->config_generation) == control->roster->registry.generation) {
		return; /* a predecessor has said so */
	}
	counter_set(&process->config_generation, control->roster->registry.generation);
	counter_set(&process->reload_wall_ns, clock_wall_ns());
	atomic_store_explicit(&process->reload_successful, 1, memory_order_release);
	(void)snprintf(event.detail, sizeof event.detail, "%u listeners, %u pools, %u backends",
		control->roster->registry.listener_count, control->roster->registry.pool_count,
		control->roster->registry.backend_count);
	event_record(&control->events, &event);
}

int control_make_roster(struct control *control, const struct config *config,
	struct roster **ret_roster, struct error *err)
{
	const struct roster_setup setup = {
		.shm = control->setup.shm,
		.config = config,
		.events = &control->events,
		.epoll_fd = control->epoll_fd,
		.probe_tag = (uint64_t)SOURCE_PROBE << 32,
		.seed = control->setup.seed,
	};

	return roster_create(&setup, clock_monotonic_ns(), ret_roster, err);
}

static int set_up(struct control *control, struct error *err)
{
	int r = open_loop(control, err);

	r = r < 0 ? r : control_make_roster(control, control->setup.config, &control->roster, err);
	if (r < 0) {
		return r;
	}
	if (control->roster->registry.generation == 0) {
		control->roster->registry.generation = 1; /* no predecessor has left another one */
	}
	sockets_find_closing(control->setup.shm, &control->closing);
	if (outbox_init(&control->outbox, control->setup.shm, control->setup.worker_fds) < 0) {
		return error_set(err, ENOMEM, "control: cannot start");
	}
	roster_take_over(control->roster, clock_monotonic_ns());
	note_configuration(control);
	r = control_resolve_at_start(control, err);
	if (r < 0) {
		return r;
	}
	roster_begin(control->roster, clock_monotonic_ns());
	roster_cut_inherited(control->roster);
	control_publish(control, clock_monotonic_ns());
	return control->failed_snapshot
		? error_set(err, ENOMEM, "control: cannot build the first snapshot")
		: 0;
}

int control_create(
	const struct control_setup *setup, struct control **ret_control, struct error *err)
{
	struct control *control = calloc(1, sizeof *control);
	int r;

	if (control == NULL) {
		return error_set(err, ENOMEM, "control: cannot start");
	}
	control->setup = *setup;
	control->epoll_fd = -1;
	control->reload.done_fd = -1;
	control->version = counter_get(&setup->shm->header->process.snapshot_version);
	control->events = (struct event_log){.ring = setup->shm->events, .listener = event_line};
	stop_init(&control->stop, setup->config->lame_duck_ms, setup->config->drain_ms);
	r = set_up(control, err);
	if (r < 0) {
		control_free(control);
		return r;
	}
	*ret_control = control;
	return 0;
}

struct config *control_take_config(struct control *control)
{
	struct config *config = control->owned_config;

	control->owned_config = NULL;
	return config;
}

void control_free(struct control *control)
{
	if (control == NULL) {
		return;
	}
	reload_done(&control->reload);
	sockets_check_closing(control->setup.shm, &control->closing);
	sockets_closing_done(&control->closing);
	roster_free(control->roster);
	config_free(control->owned_config);
	outbox_done(&control->outbox);
	if (control->epoll_fd >= 0) {
		(void)close(control->epoll_fd);
	}
	free(control);
}
