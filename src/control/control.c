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
#include "control/event_line.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "os/clock.h"

enum { EVENTS_PER_TURN = 64 };

static const uint64_t MS_NS = 1000000;
static const uint64_t DRAIN_LOOK_NS = 250 * 1000000ULL; /* in case a report is lost */
static const uint64_t MEMORY_RETRY_NS = 100 * 1000000ULL;
static const uint64_t OUTBOX_RETRY_NS = 10 * 1000000ULL;
/* A last backend that fails all the time, but answers probes, is not probed at each failure. */
static const uint64_t CONFIRM_GAP_NS = 100 * 1000000ULL;

static void cut_failed(struct control *control)
{
	for (uint32_t i = 0; i < control->registry.backend_count && control->cut_count > 0; i++) {
		const struct command command = {
			.kind = COMMAND_CUT_SLOT,
			.argument = control->registry.backends[i].slot,
			.reason = CLOSE_KILLED,
		};

		if (control->cut[i]) {
			control->cut[i] = false;
			control->cut_count--;
			outbox_post(&control->outbox, &command);
		}
	}
}

/* Returns false when there is no memory for a snapshot. */
static bool publish_changes(struct control *control)
{
	struct snapshot_store *store = control->setup.store;
	const struct snapshot *current = snapshot_current(store);
	struct snapshot *next = registry_build(&control->registry, control->version + 1);

	if (next == NULL) {
		return false;
	}
	control->registry.changed = false;
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
	while (control->registry.changed || control->registry.ungraced_count > 0) {
		if (control->registry.changed && !publish_changes(control)) {
			control->failed_snapshot = true;
			return;
		}
		control->failed_snapshot = false;
		registry_grace(&control->registry, now_ns);
	}
	cut_failed(control);
}

static void confirm(struct control *control, uint32_t backend, uint64_t now_ns)
{
	if (now_ns - control->confirmed_ns[backend] >= CONFIRM_GAP_NS) {
		control->confirmed_ns[backend] = now_ns;
		probe_at_once(&control->prober, &control->probes[backend], now_ns);
	}
}

static void on_step(void *context, uint32_t backend, const struct health_step *step)
{
	struct control *control = context;
	const struct registry_backend *entry = &control->registry.backends[backend];
	const struct config_pool *pool = control->registry.pools[entry->pool].config;
	struct probe *probe = &control->probes[backend];
	const uint64_t now_ns = clock_monotonic_ns();

	if ((step->actions & HEALTH_DO_REST) != 0) {
		probe_stop(&control->prober, probe);
	}
	if ((step->actions & HEALTH_DO_PROBE) != 0) {
		probe_start(&control->prober, probe, now_ns);
	}
	if ((step->actions & HEALTH_DO_CONFIRM) != 0) {
		confirm(control, backend, now_ns);
	}
	if (step->from == HEALTH_HEALTHY && step->to != HEALTH_HEALTHY &&
		pool->on_unhealthy == CONFIG_CLOSE && !control->cut[backend]) {
		control->cut[backend] = true;
		control->cut_count++;
	}
}

static void on_probed(void *context, uint32_t backend, const struct probe_outcome *outcome)
{
	struct control *control = context;
	struct slot *slot = &control->setup.shm->slots[control->registry.backends[backend].slot];
	const struct observation observation = {
		.signal = outcome->result == CHECK_SUCCESS ? SIGNAL_PROBE_SUCCESS
							   : SIGNAL_PROBE_FAILURE,
		.cause = CAUSE_PROBE,
		.reason = outcome->reason,
		.now_ns = outcome->now_ns,
		.started_ns = outcome->started_ns,
	};

	counter_add(&slot->checks[outcome->result], 1);
	if (outcome->result != CHECK_ERROR) {
		registry_feed(&control->registry, backend, &observation);
	}
}

static void run_timers(struct control *control, uint64_t now_ns)
{
	struct timer *timer;

	while ((timer = timers_take(&control->timers, now_ns)) != NULL) {
		switch ((enum control_timer)timer->kind) {
		case TIMER_PROBE:
			probe_on_timer(&control->prober, &control->probes[timer->index], now_ns);
			break;
		case TIMER_RESOLVE:
			control_on_resolve_timer(control, timer->index);
			break;
		}
	}
}

static void refuse_signal(const char *event, const char *what)
{
	log_message(
		LOG_WARN, event, "%s is not available in this version; nothing has changed", what);
}

static void on_signals(struct control *control)
{
	struct signalfd_siginfo info;

	while (read(control->setup.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		switch ((int)info.ssi_signo) {
		case SIGTERM:
		case SIGINT:
			control->stop_signals++;
			break;
		case SIGUSR1:
			control->setup.reopen_logs(control->setup.context);
			break;
		case SIGHUP:
			refuse_signal("reload_refused", "a reload");
			break;
		case SIGUSR2:
			refuse_signal("upgrade_refused", "an upgrade in place");
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

/* For how long there is nothing to do: -1, for ever, while all is well. */
static int sleep_ms(const struct control *control, uint64_t now_ns)
{
	uint64_t next = timers_next(&control->timers);

	next = earlier(next, stop_deadline(&control->stop, now_ns));
	next = earlier(next, intake_deadline(&control->intake));
	if (control->registry.draining > 0) {
		next = earlier(next, now_ns + DRAIN_LOOK_NS);
	}
	if (control->failed_snapshot) {
		next = earlier(next, now_ns + MEMORY_RETRY_NS);
	}
	if (control->outbox_waits) {
		next = earlier(next, now_ns + OUTBOX_RETRY_NS);
	}
	if (next == UINT64_MAX) {
		return -1;
	}
	return next <= now_ns ? 0 : (int)((next - now_ns + MS_NS - 1) / MS_NS);
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
	case SOURCE_PROBE:
		probe_on_ready(
			&control->prober, &control->probes[(uint32_t)event->data.u64], now_ns);
		break;
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
	intake_drain(&control->intake, now_ns);
	run_timers(control, now_ns);
	if (now_ns >= control->drain_look_ns && control->registry.draining > 0) {
		control->drain_look_ns = now_ns + DRAIN_LOOK_NS;
		registry_check_draining(&control->registry, now_ns);
	}
	/* This waits for all workers; at the end, not for one that hangs. */
	if (control->stop.state != STOP_EXITING) {
		control_publish(control, now_ns);
	}
	control->outbox_waits = outbox_flush(&control->outbox);
	return control_step_stop(control, now_ns);
}

uint64_t control_run(struct control *control)
{
	control_begin(control);
	while (!turn(control)) {
	}
	return control->cut_sessions;
}

static int watch(struct control *control, int fd, enum control_source source)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32};

	return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static bool has_names(const struct registry *registry)
{
	for (uint32_t i = 0; i < registry->backend_count; i++) {
		if (registry->backends[i].config->address.kind == ADDRESS_NAME) {
			return true;
		}
	}
	return false;
}

static int open_loop(struct control *control, struct error *err)
{
	int r;

	control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (control->epoll_fd < 0) {
		return error_set(err, errno, "control: cannot open an epoll");
	}
	r = watch(control, control->setup.wake_fd, SOURCE_WAKE);
	if (r == 0) {
		r = watch(control, control->setup.signal_fd, SOURCE_SIGNAL);
	}
	if (r == 0 && has_names(&control->registry)) {
		r = resolver_create(control->registry.backend_count, &control->resolver, err);
		if (r < 0) {
			return r;
		}
		r = watch(control, resolver_fd(control->resolver), SOURCE_RESOLVER);
	}
	return r < 0 ? error_set(err, -r, "control: cannot watch") : 0;
}

static void set_up_probes(struct control *control)
{
	const struct registry *registry = &control->registry;

	control->prober = (struct prober){
		.epoll_fd = control->epoll_fd,
		.epoll_tag = (uint64_t)SOURCE_PROBE << 32,
		.timers = &control->timers,
		.on_done = on_probed,
		.context = control,
	};
	rng_init(&control->prober.rng, control->setup.seed);
	for (uint32_t i = 0; i < registry->backend_count; i++) {
		const struct config_health *health =
			&registry->pools[registry->backends[i].pool].config->health;

		control->probes[i] = (struct probe){
			.timer = {.kind = TIMER_PROBE, .index = i},
			.fd = -1,
			.interval_ns = health->probe_interval_ms * MS_NS,
			.timeout_ns = health->probe_timeout_ms * MS_NS,
			.address = &registry->places[i].address,
		};
	}
}

static int allocate(struct control *control, struct error *err)
{
	const uint32_t count = control->registry.backend_count;

	control->resolve_timers = calloc(count, sizeof *control->resolve_timers);
	control->unresolved = calloc(count, sizeof *control->unresolved);
	control->probes = calloc(count, sizeof *control->probes);
	control->confirmed_ns = calloc(count, sizeof *control->confirmed_ns);
	control->cut = calloc(count, sizeof *control->cut);
	if (control->resolve_timers == NULL || control->unresolved == NULL ||
		control->probes == NULL || control->confirmed_ns == NULL || control->cut == NULL ||
		timers_init(&control->timers, 2 * count) < 0 ||
		intake_init(&control->intake, &control->registry) < 0 ||
		outbox_init(&control->outbox, control->setup.shm, control->setup.worker_fds,
			count) < 0) {
		return error_set(err, ENOMEM, "control: cannot start");
	}
	return 0;
}

/* What a load of the configuration leaves in the metrics. */
static void note_configuration(struct control *control)
{
	struct process_state *process = &control->setup.shm->header->process;
	struct event event = {
		.kind = EVENT_CONFIG_LOADED,
		.cause = CAUSE_CONFIGURATION,
		.generation = control->registry.generation,
	};

	if (counter_get(&process->config_generation) == control->registry.generation) {
		return; /* a predecessor has said so */
	}
	counter_set(&process->config_generation, control->registry.generation);
	counter_set(&process->reload_wall_ns, clock_wall_ns());
	atomic_store_explicit(&process->reload_successful, 1, memory_order_release);
	(void)snprintf(event.detail, sizeof event.detail, "%u listeners, %u pools, %u backends",
		control->registry.listener_count, control->registry.pool_count,
		control->registry.backend_count);
	event_record(&control->events, &event);
}

/* What goes on from a predecessor is not healthy for a reason: it proves itself. */
static void probe_the_sick(struct control *control, uint64_t now_ns)
{
	for (uint32_t i = 0; i < control->registry.backend_count; i++) {
		const struct backend_health *health = &control->registry.health[i];

		if (health->health.state != HEALTH_HEALTHY && health->resolved) {
			probe_start(&control->prober, &control->probes[i], now_ns);
		}
	}
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
	control->version = counter_get(&setup->shm->header->process.snapshot_version);
	control->events = (struct event_log){.ring = setup->shm->events, .listener = event_line};
	stop_init(&control->stop, setup->config->lame_duck_ms, setup->config->drain_ms);
	r = registry_init(&control->registry, setup->shm, setup->config, &control->events,
		clock_monotonic_ns(), err);
	if (r < 0) {
		free(control);
		return r;
	}
	r = allocate(control, err);
	r = r < 0 ? r : open_loop(control, err);
	if (r < 0) {
		control_free(control);
		return r;
	}
	set_up_probes(control);
	note_configuration(control);
	registry_set_on_step(&control->registry, on_step, control);
	r = control->resolver == NULL ? 0 : control_resolve_at_start(control, err);
	if (r < 0) {
		control_free(control);
		return r;
	}
	registry_begin(&control->registry, clock_monotonic_ns());
	probe_the_sick(control, clock_monotonic_ns());
	control_publish(control, clock_monotonic_ns());
	if (control->failed_snapshot) {
		control_free(control);
		return error_set(err, ENOMEM, "control: cannot build the first snapshot");
	}
	*ret_control = control;
	return 0;
}

void control_free(struct control *control)
{
	if (control == NULL) {
		return;
	}
	for (uint32_t i = 0; control->probes != NULL && i < control->registry.backend_count; i++) {
		if (control->prober.timers != NULL) {
			probe_abandon(&control->prober, &control->probes[i]);
		}
	}
	outbox_done(&control->outbox);
	intake_done(&control->intake);
	timers_done(&control->timers);
	resolver_free(control->resolver);
	registry_done(&control->registry);
	free(control->resolve_timers);
	free(control->unresolved);
	free(control->probes);
	free(control->confirmed_ns);
	free(control->cut);
	if (control->epoll_fd >= 0) {
		(void)close(control->epoll_fd);
	}
	free(control);
}
