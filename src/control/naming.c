#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "control/control_internal.h"
#include "os/clock.h"

static const uint64_t RETRY_NS = 5 * 1000000000ULL;
static const uint64_t START_WAIT_NS = 5 * 1000000000ULL;

static bool is_name(const struct registry *registry, uint32_t backend)
{
	return registry->backends[backend].config->address.kind == ADDRESS_NAME;
}

static void set_retry(struct control *control, uint32_t backend, uint64_t now_ns)
{
	struct timer *timer = &control->resolve_timers[backend];

	timer->kind = TIMER_RESOLVE;
	timer->index = backend;
	timers_set(&control->timers, timer, now_ns + RETRY_NS);
}

static void record(
	struct control *control, uint32_t backend, enum event_kind kind, const char *detail)
{
	const struct registry *registry = &control->registry;
	const struct registry_backend *entry = &registry->backends[backend];
	struct event event = {
		.kind = kind,
		.cause = CAUSE_RESOLVER,
		.subject = entry->slot,
		.generation = registry->generation,
	};

	(void)snprintf(
		event.pool, sizeof event.pool, "%s", registry->pools[entry->pool].config->name);
	(void)snprintf(event.name, sizeof event.name, "%s", entry->config->name);
	(void)snprintf(event.detail, sizeof event.detail, "%s", detail);
	event_record(&control->events, &event);
}

static void on_found(struct control *control, const struct resolve_answer *answer, uint64_t now_ns,
	bool at_start)
{
	struct registry *registry = &control->registry;
	char text[SOCKADDR_TEXT_MAX];
	char detail[EVENT_DETAIL_MAX];
	const uint32_t twin =
		registry_resolved(registry, answer->backend, &answer->address, at_start, now_ns);

	sockaddr_text(&answer->address, text);
	if (twin != REGISTRY_NONE) {
		(void)snprintf(
			detail, sizeof detail, "%.48s is the address of another backend", text);
		record(control, answer->backend, EVENT_BACKEND_UNRESOLVED, detail);
		set_retry(control, answer->backend, now_ns);
		return;
	}
	(void)snprintf(detail, sizeof detail, "%.90s", text);
	record(control, answer->backend, EVENT_BACKEND_RESOLVED, detail);
	if (registry->health[answer->backend].health.state != HEALTH_HEALTHY) {
		probe_start(&control->prober, answer->backend, now_ns);
	}
}

void control_on_answers(struct control *control, uint64_t now_ns, bool at_start)
{
	struct resolve_answer answer;

	while (resolver_answer(control->resolver, &answer)) {
		if (answer.found) {
			on_found(control, &answer, now_ns, at_start);
			continue;
		}
		/* Said once: every 5 s would fill the log. */
		if (control->resolve_timers[answer.backend].kind != TIMER_RESOLVE) {
			record(control, answer.backend, EVENT_BACKEND_UNRESOLVED, answer.problem);
		}
		set_retry(control, answer.backend, now_ns);
	}
}

void control_on_resolve_timer(struct control *control, uint32_t backend)
{
	resolver_ask(
		control->resolver, backend, &control->registry.backends[backend].config->address);
}

static uint32_t count_pending(const struct control *control)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < control->registry.backend_count; i++) {
		if (is_name(&control->registry, i) && !control->registry.health[i].resolved &&
			control->resolve_timers[i].kind != TIMER_RESOLVE) {
			count++;
		}
	}
	return count;
}

void control_resolve_at_start(struct control *control)
{
	struct pollfd answers = {.fd = resolver_fd(control->resolver), .events = POLLIN};
	const uint64_t end_ns = clock_monotonic_ns() + START_WAIT_NS;

	for (uint32_t i = 0; i < control->registry.backend_count; i++) {
		if (is_name(&control->registry, i)) {
			control_on_resolve_timer(control, i);
		}
	}
	while (count_pending(control) > 0) {
		const uint64_t now_ns = clock_monotonic_ns();

		if (now_ns >= end_ns) {
			break; /* the answers that are late count as any later one */
		}
		(void)poll(&answers, 1, (int)((end_ns - now_ns) / 1000000) + 1);
		control_on_answers(control, clock_monotonic_ns(), true);
	}
}
