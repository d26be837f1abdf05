#include <stdio.h>

#include "base/sockaddr.h"
#include "config/config.h"
#include "control/control_internal.h"
#include "model/shm.h"
#include "os/clock.h"
#include "os/notify.h"

static void record_process(struct control *control, enum event_kind kind, const char *detail)
{
	struct event event = {
		.kind = kind,
		.cause = kind == EVENT_PROCESS_STOPPING ? CAUSE_SIGNAL : CAUSE_NONE,
		.generation = control->roster->registry.generation,
		.sessions = shm_sessions(control->setup.shm),
	};

	(void)snprintf(event.detail, sizeof event.detail, "%s", detail);
	event_record(&control->events, &event);
}

static void set_listener(
	struct control *control, const struct builder_listener *listener, bool open)
{
	const struct config_listener *config = listener->config;
	char text[ADDRESS_HOST_MAX + 8];
	struct event event = {
		.kind = open ? EVENT_LISTENER_OPENED : EVENT_LISTENER_CLOSED,
		.cause = open ? CAUSE_CONFIGURATION : CAUSE_SIGNAL,
		.subject = listener->id,
		.generation = control->roster->registry.generation,
	};

	(void)snprintf(event.name, sizeof event.name, "%s", config->name);
	(void)snprintf(
		event.detail, sizeof event.detail, "%s", address_text(&config->address, text));
	(void)snprintf(event.pool, sizeof event.pool, "%s",
		control->roster->registry.config->pools[config->pool].name);
	atomic_store_explicit(&control->setup.shm->listeners[listener->id].open, open ? 1 : 0,
		memory_order_release);
	event_record(&control->events, &event);
}

/* Those that a reload has taken out are closed already, and it has been said. */
static void set_listeners(struct control *control, bool open)
{
	for (uint32_t i = 0; i < control->roster->registry.listener_count; i++) {
		const struct builder_listener *listener = &control->roster->registry.listeners[i];

		if (!listener->leaving) {
			set_listener(control, listener, open);
		}
	}
}

static void set_phase(struct control *control, enum process_phase phase)
{
	atomic_store_explicit(
		&control->setup.shm->header->process.phase, (uint32_t)phase, memory_order_release);
}

static bool any_listens(const struct shm *shm)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		if (atomic_load_explicit(&shm->worker_states[worker].listeners_open,
			    memory_order_acquire) != 0) {
			return true;
		}
	}
	return false;
}

uint32_t control_workers_left(const struct control *control)
{
	const struct shm *shm = control->setup.shm;
	uint32_t count = 0;

	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		if (atomic_load_explicit(
			    &shm->worker_states[worker].stopped, memory_order_acquire) == 0) {
			count++;
		}
	}
	return count;
}

static void note_drain(struct control *control, uint64_t now_ns)
{
	counter_t *since_ns = &control->setup.shm->header->process.drain_since_ns;

	if (counter_get(since_ns) == 0) {
		counter_set(since_ns, now_ns);
	}
}

/* The commands that belong to the actions, in the order in which the workers must see them. */
static void command_stop(struct control *control, unsigned actions)
{
	static const struct command refuse = {.kind = COMMAND_STOP_ACCEPTING};
	static const struct command cut = {.kind = COMMAND_CUT_ALL, .reason = CLOSE_DRAIN};
	static const struct command leave = {.kind = COMMAND_EXIT, .reason = CLOSE_DRAIN};

	if ((actions & STOP_DO_DRAIN) != 0) {
		outbox_post(&control->outbox, &refuse);
	}
	if ((actions & STOP_DO_CUT) != 0) {
		control->cut_sessions = shm_sessions(control->setup.shm);
		outbox_post(&control->outbox, &cut);
	}
	if ((actions & STOP_DO_EXIT) != 0) {
		outbox_post(&control->outbox, &leave);
	}
}

/* Said once, when the last worker has closed its sockets, or with a worker that never will. */
static void note_listeners(struct control *control, bool listening)
{
	if (control->listening && !listening && control->stop.state >= STOP_DRAINING) {
		control->listening = false;
		set_listeners(control, false);
	}
}

bool control_step_stop(struct control *control, uint64_t now_ns)
{
	/* Listeners first: the last session that one accepted is counted before it is closed. */
	const bool listening = any_listens(control->setup.shm);
	const uint64_t sessions = shm_sessions(control->setup.shm);
	const struct stop_input input = {
		.now_ns = now_ns,
		.signals = control->stop_signals,
		.empty = !listening && sessions == 0,
		.workers_ended = control_workers_left(control) == 0,
		.sessions = sessions,
	};
	const unsigned actions = stop_feed(&control->stop, &input);

	control->stop_signals = 0;
	if ((actions & STOP_DO_LAME_DUCK) != 0) {
		notify_systemd("STOPPING=1\nSTATUS=stopping");
		record_process(control, EVENT_PROCESS_STOPPING, "");
		set_phase(control, PHASE_LAME_DUCK);
	}
	if ((actions & (STOP_DO_DRAIN | STOP_DO_EXIT)) != 0) {
		note_drain(control, now_ns);
		set_phase(control, PHASE_DRAINING);
	}
	command_stop(control, actions);
	note_listeners(control, listening && control->stop.state != STOP_DONE);
	if (control->stop.state != STOP_DONE) {
		return false;
	}
	set_phase(control, PHASE_STOPPED);
	record_process(control, EVENT_PROCESS_STOPPED, "");
	return true;
}

/* The limit of the drain is that of all worker processes together. */
static uint64_t drain_left_ns(const struct control *control)
{
	const uint64_t since_ns = counter_get(&control->setup.shm->header->process.drain_since_ns);
	const uint64_t passed_ns = clock_monotonic_ns() - since_ns;

	return passed_ns >= control->stop.drain_ns ? 0 : control->stop.drain_ns - passed_ns;
}

/* A predecessor that was stopping has said so: the order to stop holds. */
void control_begin(struct control *control)
{
	if (control->setup.story != NULL) {
		record_process(control, control->setup.story_kind, control->setup.story);
	}
	switch ((enum process_phase)atomic_load_explicit(
		&control->setup.shm->header->process.phase, memory_order_acquire)) {
	case PHASE_STARTING:
		control->listening = true;
		set_listeners(control, true);
		set_phase(control, PHASE_RUNNING);
		record_process(control, EVENT_PROCESS_STARTED, "");
		break;
	case PHASE_RUNNING:
		control->listening = true;
		break;
	case PHASE_DRAINING:
		control->stop.drain_ns = drain_left_ns(control);
		control->stop.lame_duck_ns = 0;
		control->stop_signals++;
		break;
	case PHASE_STOPPED:
		control->stop.lame_duck_ns = 0;
		control->stop_signals++;
		break;
	case PHASE_LAME_DUCK:
		control->listening = true;
		control->stop_signals++;
		break;
	}
}
