#include "control/event_line.h"

#include "base/log.h"

/* What is worth waking somebody for, what shows that we coped, and what is ordinary. */
static enum log_level level_of(const struct event *event)
{
	switch (event->kind) {
	case EVENT_BACKEND_HEALTH:
		return event->to == HEALTH_HEALTHY || event->from == HEALTH_DRAINING ? LOG_INFO
										     : LOG_WARN;
	case EVENT_POOL_FALLBACK:
		return event->to != 0 ? LOG_ERROR : LOG_INFO;
	case EVENT_CONFIG_REFUSED:
	case EVENT_BACKEND_HELD:
	case EVENT_BACKEND_UNRESOLVED:
	case EVENT_WORKER_RESTARTED:
	case EVENT_UPGRADE_REFUSED:
		return LOG_WARN;
	case EVENT_PROCESS_STARTED:
	case EVENT_UPGRADED:
	case EVENT_PROCESS_STOPPING:
	case EVENT_PROCESS_STOPPED:
	case EVENT_LISTENER_OPENED:
	case EVENT_LISTENER_CLOSED:
	case EVENT_CONFIG_LOADED:
	case EVENT_BACKEND_ADMIN:
	case EVENT_BACKEND_RESOLVED:
	case EVENT_KIND_COUNT:
		return LOG_INFO;
	}
	return LOG_INFO;
}

static void add_states(struct log_line *line, const struct event *event)
{
	if (event->kind == EVENT_BACKEND_HEALTH || event->kind == EVENT_BACKEND_HELD) {
		log_text(line, "from", health_state_name((enum health_state)event->from));
		log_text(line, "to", health_state_name((enum health_state)event->to));
	} else if (event->kind == EVENT_BACKEND_ADMIN) {
		log_text(line, "from", admin_state_name((enum admin_state)event->from));
		log_text(line, "to", admin_state_name((enum admin_state)event->to));
	} else if (event->kind == EVENT_POOL_FALLBACK) {
		log_flag(line, "failed", event->to != 0);
	}
}

static void add_numbers(struct log_line *line, const struct event *event)
{
	if (event->kind == EVENT_WORKER_RESTARTED || event->kind == EVENT_UPGRADED) {
		log_number(line, "sessions", event->sessions);
	}
	if (event->kind != EVENT_BACKEND_HEALTH && event->kind != EVENT_BACKEND_HELD) {
		return;
	}
	log_number(line, "failures", event->failures);
	log_number(line, "successes", event->successes);
	log_number(line, "threshold", event->threshold);
	log_number(line, "sessions", event->sessions);
	if (event->hold_down_ms > 0) {
		log_number(line, "hold_down_ms", event->hold_down_ms);
	}
}

/* Which thing it is about, by the words that the metrics use. */
static void add_names(struct log_line *line, const struct event *event)
{
	if (event->pool[0] != '\0') {
		log_text(line, "pool", event->pool);
	}
	if (event->name[0] == '\0') {
		return;
	}
	if (event->kind == EVENT_LISTENER_OPENED || event->kind == EVENT_LISTENER_CLOSED) {
		log_text(line, "listener", event->name);
	} else {
		log_text(line, "backend", event->name);
	}
}

void event_line(const struct event *event, void *context)
{
	struct log_line line;

	(void)context;
	if (event->kind == EVENT_PROCESS_STARTED || event->kind == EVENT_PROCESS_STOPPED) {
		return; /* main says so, with the numbers that only it knows */
	}
	log_begin(&line, level_of(event), event_kind_name(event->kind));
	add_names(&line, event);
	add_states(&line, event);
	if (event->reason[0] != '\0') {
		log_text(&line, "reason", event->reason);
	}
	if (event->cause != CAUSE_NONE) {
		log_text(&line, "cause", event_cause_name(event->cause));
	}
	add_numbers(&line, event);
	log_number(&line, "generation", event->generation);
	if (event->detail[0] != '\0') {
		log_text(&line, "detail", event->detail);
	}
	log_end(&line);
}
