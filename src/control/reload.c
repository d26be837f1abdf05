#include "control/reload.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "base/sockaddr.h"
#include "config/config.h"
#include "control/control_internal.h"
#include "model/config_text.h"
#include "model/shm.h"
#include "os/clock.h"
#include "os/thread.h"

enum { LOGGED_PROBLEMS_MAX = 20 };

static const uint64_t MS_NS = 1000000;
static const uint64_t SOCKETS_POLL_NS = 5 * 1000000ULL;
/* An address whose queue does not get empty for so long is opened beside the old sockets. */
static const uint64_t SOCKETS_WAIT_NS = 2000 * 1000000ULL;

int reload_init(struct reload *reload, struct control *control)
{
	*reload = (struct reload){.stage = RELOAD_IDLE, .kept.until_ns = UINT64_MAX};
	reload->next_kept.until_ns = UINT64_MAX;
	reload->setup = control->setup;
	reload->done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (reload->done_fd < 0) {
		return -errno;
	}
	return control_watch(control, reload->done_fd, SOURCE_RELOAD);
}

static void drop_loaded(struct control_loaded *loaded)
{
	config_free(loaded->config);
	free(loaded->problems);
	free(loaded->problem_lines);
	free(loaded->text);
	*loaded = (struct control_loaded){.config = NULL};
}

void reload_done(struct reload *reload)
{
	if (reload->stage == RELOAD_LOADING) {
		(void)pthread_join(reload->thread, NULL);
	}
	if (reload->plan != NULL) {
		sockets_abandon(reload->plan);
	}
	lookup_done(&reload->lookup);
	drop_loaded(&reload->loaded);
	kept_done(&reload->kept);
	kept_done(&reload->next_kept);
	config_free(reload->before_owned);
	if (reload->done_fd >= 0) {
		(void)close(reload->done_fd);
	}
}

/* ------------------------------------------------------------------ the end of a reload */

static void note_result(struct control *control, bool applied)
{
	struct process_state *process = &control->setup.shm->header->process;

	counter_set(&process->config_generation, control->roster->registry.generation);
	counter_set(&process->reload_wall_ns, clock_wall_ns());
	atomic_store_explicit(&process->reload_successful, applied ? 1 : 0, memory_order_release);
}

static void record(struct control *control, enum event_kind kind, const char *detail)
{
	struct event event = {
		.kind = kind,
		.cause = control->reload.cause,
		.generation = control->roster->registry.generation,
	};
	const size_t length = strcspn(detail, "\n");

	(void)snprintf(event.detail, sizeof event.detail, "%.*s", (int)length, detail);
	event_record(&control->events, &event);
}

/* The text may be a part of what was loaded. */
static void finish(struct control *control, enum reload_outcome outcome, const char *text)
{
	struct reload *reload = &control->reload;
	reload_on_done *on_done = reload->on_done;

	note_result(control, outcome == RELOAD_APPLIED);
	if (on_done != NULL && !reload->again) {
		reload->on_done = NULL;
		on_done(reload->on_done_context, outcome, text);
	}
	lookup_done(&reload->lookup);
	drop_loaded(&reload->loaded);
	kept_done(&reload->next_kept);
	reload->stage = RELOAD_IDLE;
	if (reload->again) {
		reload->again = false;
		reload_request(control, reload->again_cause);
	}
}

void reload_log_problems(const char *lines)
{
	for (uint32_t i = 0; lines != NULL && *lines != '\0' && i < LOGGED_PROBLEMS_MAX; i++) {
		const size_t length = strcspn(lines, "\n");

		log_message(LOG_WARN, "config_problem", "%.*s", (int)length, lines);
		lines += length + (lines[length] == '\n' ? 1 : 0);
	}
}

static void accept_loaded(struct control *control)
{
	char text[EVENT_DETAIL_MAX];

	difference_text(&control->reload.difference, text, sizeof text);
	record(control, EVENT_CONFIG_LOADED, text);
	finish(control, RELOAD_APPLIED, text);
}

/* `brief` goes into the record of the event, which has no room for every text. */
static void refuse_briefly(struct control *control, const char *text, const char *brief)
{
	if (strlen(text) >= EVENT_DETAIL_MAX) {
		reload_log_problems(text); /* all of it */
		record(control, EVENT_CONFIG_REFUSED, brief);
	} else {
		record(control, EVENT_CONFIG_REFUSED, text);
	}
	finish(control, RELOAD_REFUSED, text);
}

static void refuse(struct control *control, const char *text)
{
	refuse_briefly(control, text, text);
}

static void refuse_restart(struct control *control)
{
	static const char format[] = "a change of %s takes a restart";
	const struct config_difference *difference = &control->reload.difference;
	const bool told = difference->changes[0] != '\0';
	char text[DIFFERENCE_CHANGES_MAX + sizeof format];
	char brief[DIFFERENCE_REFUSED_MAX + sizeof format];

	(void)snprintf(text, sizeof text, format, told ? difference->changes : difference->refused);
	(void)snprintf(brief, sizeof brief, format, difference->refused);
	refuse_briefly(control, text, brief);
}

static void refuse_problems(struct control *control)
{
	const struct control_loaded *loaded = &control->reload.loaded;
	const char *first = loaded->problem_lines != NULL ? loaded->problem_lines : "";
	const char *all = loaded->problems != NULL ? loaded->problems : "out of memory";

	reload_log_problems(loaded->problem_lines);
	record(control, EVENT_CONFIG_REFUSED, *first != '\0' ? first : all);
	finish(control, RELOAD_INVALID, all);
}

/* ------------------------------------------------------------------ LOADING */

/* On its own thread: a file may be large, and a file system slow. */
static void *load(void *argument)
{
	struct reload *reload = argument;

	reload->setup.load(reload->setup.context, &reload->loaded);
	if (reload->loaded.config != NULL) {
		config_compare(reload->running, reload->loaded.config, &reload->difference);
	}
	(void)eventfd_write(reload->done_fd, 1);
	return NULL;
}

static const char *refusal_at_once(const struct control *control)
{
	if (control->stop.state != STOP_RUNNING) {
		return "the process is stopping: it takes no other configuration";
	}
	if (control->setup.load == NULL) {
		return "there is no configuration file: the command line said what to run";
	}
	return NULL;
}

void reload_request(struct control *control, enum event_cause cause)
{
	struct reload *reload = &control->reload;
	const char *refusal = refusal_at_once(control);
	struct error err;

	if (reload->stage != RELOAD_IDLE) {
		reload->again = true;
		reload->again_cause = cause;
		return;
	}
	reload->cause = cause;
	if (refusal != NULL) {
		refuse(control, refusal);
		return;
	}
	reload->running = control->setup.config;
	if (thread_start(&reload->thread, "loble-loader", load, reload, &err) < 0) {
		refuse(control, err.text);
		return;
	}
	reload->stage = RELOAD_LOADING;
}

/* ------------------------------------------------------------------ NAMES */

static void enter_sockets(struct control *control, uint64_t now_ns)
{
	control->reload.stage = RELOAD_SOCKETS;
	control->reload.deadline_ns = now_ns + SOCKETS_WAIT_NS;
}

static void enter_names(struct control *control, uint64_t now_ns)
{
	struct reload *reload = &control->reload;
	struct error err;
	int r = lookup_create(reload->loaded.config, &reload->lookup, &err);

	if (r < 0) {
		refuse(control, err.text);
		return;
	}
	if (reload->lookup.resolver == NULL) {
		enter_sockets(control, now_ns);
		return;
	}
	r = control_watch(control, resolver_fd(reload->lookup.resolver), SOURCE_RESOLVER);
	if (r < 0) {
		refuse(control, "names cannot be looked up");
		return;
	}
	lookup_ask(&reload->lookup, NULL);
	reload->stage = RELOAD_NAMES;
	reload->deadline_ns = now_ns + LOOKUP_WAIT_MS * MS_NS;
}

static void step_names(struct control *control, uint64_t now_ns)
{
	struct reload *reload = &control->reload;
	struct error err;

	if (!lookup_collect(&reload->lookup) && now_ns < reload->deadline_ns) {
		return;
	}
	if (lookup_refuse_twins(&reload->lookup, &err) < 0) {
		refuse(control, err.text);
		return;
	}
	enter_sockets(control, now_ns);
}

static void step_loading(struct control *control, uint64_t now_ns)
{
	struct reload *reload = &control->reload;
	eventfd_t count;

	if (eventfd_read(reload->done_fd, &count) < 0) {
		return;
	}
	(void)pthread_join(reload->thread, NULL);
	if (reload->loaded.config == NULL) {
		refuse_problems(control);
		return;
	}
	if (reload->difference.refused[0] != '\0') {
		refuse_restart(control);
		return;
	}
	reload_log_problems(reload->loaded.problem_lines);
	if (!difference_is_any(&reload->difference) && !lookup_is_needed(reload->loaded.config) &&
		!sockets_are_lost(reload->loaded.config)) {
		accept_loaded(control);
		return;
	}
	if (!reload_keep(control, reload->loaded.config, now_ns, &reload->next_kept)) {
		refuse(control, "there is no memory for the configuration");
		return;
	}
	enter_names(control, now_ns);
}

/* ------------------------------------------------------------------ SOCKETS, and applying it */

static bool wants_review(const struct config_difference *difference)
{
	return difference->listeners.changed > 0;
}

/* What the names of listeners that came and went are, for the log and for /readyz. */
static void tell_listeners(
	struct control *control, const struct config *before, const struct config *after, bool open)
{
	struct shm *shm = control->setup.shm;

	for (uint32_t i = 0; i < after->listener_count - after->kept_listener_count; i++) {
		const struct config_listener *listener = &after->listeners[i];
		const int id = shm_listener_index(shm, listener->name);
		char text[ADDRESS_HOST_MAX + 8];
		struct event event = {
			.kind = open ? EVENT_LISTENER_OPENED : EVENT_LISTENER_CLOSED,
			.cause = CAUSE_CONFIGURATION,
			.subject = (uint32_t)id,
			.generation = control->roster->registry.generation,
		};

		if (id < 0 || reload_has_listener(before, listener->name)) {
			continue;
		}
		(void)snprintf(event.name, sizeof event.name, "%s", listener->name);
		(void)snprintf(event.detail, sizeof event.detail, "%s",
			address_text(&listener->address, text));
		(void)snprintf(
			event.pool, sizeof event.pool, "%s", after->pools[listener->pool].name);
		atomic_store_explicit(&shm->listeners[id].open, open ? 1 : 0, memory_order_release);
		event_record(&control->events, &event);
	}
}

/* The data plane has the new snapshot: no name of a listener is unknown to it. */
static void finish_sockets(struct control *control)
{
	static const struct command look = {.kind = COMMAND_LISTENERS};
	static const struct command review = {.kind = COMMAND_REVIEW};
	struct reload *reload = &control->reload;

	if (control->setup.commit != NULL) {
		control->setup.commit(control->setup.context, control->setup.config);
	}
	if (sockets_commit(reload->plan, &control->closing)) {
		outbox_post(&control->outbox, &look);
	}
	reload->plan = NULL;
	if (wants_review(&reload->difference)) {
		outbox_post(&control->outbox, &review);
	}
	tell_listeners(control, control->setup.config, reload->before, false);
	tell_listeners(control, reload->before, control->setup.config, true);
	config_free(reload->before_owned);
	reload->before = NULL;
	reload->before_owned = NULL;
	accept_loaded(control);
}

static void take_configuration(struct control *control)
{
	struct reload *reload = &control->reload;

	(void)config_text_store(
		control->setup.shm->config_text, reload->loaded.text, reload->loaded.text_length);
	reload->before = control->setup.config;
	reload->before_owned = control->owned_config;
	control->owned_config = reload->loaded.config;
	control->setup.config = reload->loaded.config;
	reload->loaded.config = NULL;
	kept_done(&reload->kept);
	reload->kept = reload->next_kept;
	reload->next_kept = (struct kept){.until_ns = UINT64_MAX};
	stop_set_times(&control->stop, control->setup.config->lame_duck_ms,
		control->setup.config->drain_ms);
}

/* From here on nothing fails. */
static void apply(struct control *control, struct roster *roster, uint64_t now_ns)
{
	struct reload *reload = &control->reload;
	struct roster *old = control->roster;

	if (difference_is_any(&reload->difference)) {
		roster->registry.generation++;
	}
	control->roster = roster;
	take_configuration(control);
	roster_take_over(roster, now_ns);
	lookup_apply(control, &reload->lookup, now_ns);
	roster_take_begun(roster, old, now_ns);
	roster_begin(roster, now_ns);
	roster_free(old);
	reload->stage = RELOAD_PUBLISHING;
	control->drain_next_ns = 0;
	control_publish(control, now_ns);
	if (!control->failed_snapshot) {
		finish_sockets(control);
	}
}

static void step_sockets(struct control *control, uint64_t now_ns)
{
	struct reload *reload = &control->reload;
	const struct config *next = reload->loaded.config;
	const enum plan_rule rule = now_ns < reload->deadline_ns ? PLAN_WAIT : PLAN_BESIDE;
	struct roster *roster = NULL;
	struct error err = {.code = 0};
	int r;

	if (control->stop.state != STOP_RUNNING || control->failed_snapshot) {
		refuse(control,
			control->failed_snapshot ? "there is no memory for a snapshot"
						 : refusal_at_once(control));
		return;
	}
	sockets_check_closing(control->setup.shm, &control->closing);
	r = sockets_plan(
		next, control->setup.config, control->setup.shm, rule, &reload->plan, &err);
	if (r < 0) {
		if (r != -EINPROGRESS) {
			refuse(control, err.text);
		}
		return;
	}
	if (control->setup.prepare != NULL) {
		r = control->setup.prepare(control->setup.context, next, &err);
	}
	if (r == 0) {
		r = control_make_roster(control, next, &roster, &err);
		if (r < 0 && control->setup.abandon != NULL) {
			control->setup.abandon(control->setup.context);
		}
	}
	if (r < 0) {
		sockets_abandon(reload->plan);
		reload->plan = NULL;
		refuse(control, err.text);
		return;
	}
	assert(roster != NULL);
	apply(control, roster, now_ns);
}

void reload_step(struct control *control, uint64_t now_ns)
{
	struct reload *reload = &control->reload;

	if (reload->stage == RELOAD_LOADING) {
		step_loading(control, now_ns);
	}
	if (reload->stage == RELOAD_NAMES) {
		step_names(control, now_ns);
	}
	if (reload->stage == RELOAD_SOCKETS) {
		step_sockets(control, now_ns);
	}
	if (reload->stage == RELOAD_PUBLISHING && !control->failed_snapshot) {
		finish_sockets(control);
	}
	if (reload->stage == RELOAD_IDLE && now_ns >= reload->kept.until_ns) {
		reload_drop_kept(control, now_ns);
	}
}

uint64_t reload_next_ns(const struct control *control, uint64_t now_ns)
{
	const struct reload *reload = &control->reload;

	switch (reload->stage) {
	case RELOAD_IDLE:
		return reload->kept.until_ns;
	case RELOAD_NAMES:
		return reload->deadline_ns;
	case RELOAD_SOCKETS:
		return now_ns + SOCKETS_POLL_NS;
	case RELOAD_PUBLISHING:
		/* There was no memory for a snapshot, and now there was: goes on at once. */
		return control->failed_snapshot ? UINT64_MAX : now_ns;
	case RELOAD_LOADING:
		break;
	}
	return UINT64_MAX;
}
