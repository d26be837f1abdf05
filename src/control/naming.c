#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config.h"
#include "control/control_internal.h"
#include "os/clock.h"

static const uint64_t RETRY_NS = 5 * 1000000000ULL;
static const uint64_t START_WAIT_MS = 5000;

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

/* Said once until there is an address: every 5 s would fill the log. */
static void on_missing(
	struct control *control, uint32_t backend, const char *problem, uint64_t now_ns)
{
	if (!control->unresolved[backend]) {
		control->unresolved[backend] = true;
		record(control, backend, EVENT_BACKEND_UNRESOLVED, problem);
	}
	set_retry(control, backend, now_ns);
}

/* One that is new here begins healthy; one that had no address until now proves itself first. */
static void on_found(struct control *control, const struct resolve_answer *answer, uint64_t now_ns,
	bool at_start)
{
	struct registry *registry = &control->registry;
	const uint32_t backend = answer->backend;
	char text[SOCKADDR_TEXT_MAX];
	char detail[EVENT_DETAIL_MAX];
	const uint32_t twin = registry_resolved(registry, backend, &answer->address,
		at_start && !registry->backends[backend].kept, now_ns);

	sockaddr_text(&answer->address, text);
	if (twin != REGISTRY_NONE) {
		(void)snprintf(
			detail, sizeof detail, "%.60s is the address of another backend", text);
		on_missing(control, backend, detail, now_ns);
		return;
	}
	(void)snprintf(detail, sizeof detail, "%.90s", text);
	record(control, backend, EVENT_BACKEND_RESOLVED, detail);
	if (registry_health(registry, backend)->state != HEALTH_HEALTHY) {
		probe_start(&control->prober, &control->probes[backend], now_ns);
	}
}

static void take(struct control *control, const struct resolve_answer *answer, uint64_t now_ns,
	bool at_start)
{
	if (answer->found) {
		on_found(control, answer, now_ns, at_start);
	} else {
		on_missing(control, answer->backend, answer->problem, now_ns);
	}
}

void control_on_answers(struct control *control, uint64_t now_ns)
{
	struct resolve_answer answer;

	while (resolver_answer(control->resolver, &answer)) {
		take(control, &answer, now_ns, false);
	}
}

void control_on_resolve_timer(struct control *control, uint32_t backend)
{
	resolver_ask(
		control->resolver, backend, &control->registry.backends[backend].config->address);
}

/* The same address twice in a pool is a mistake, also when a name hides it. */
static int refuse_twin(
	const struct control *control, const struct resolve_answer *answer, struct error *err)
{
	const struct registry *registry = &control->registry;
	const struct registry_backend *entry = &registry->backends[answer->backend];
	const uint32_t twin = answer->found
		? registry_twin(registry, answer->backend, &answer->address)
		: REGISTRY_NONE;
	char text[SOCKADDR_TEXT_MAX];

	if (twin == REGISTRY_NONE) {
		return 0;
	}
	return error_say(err, EINVAL, "pool \"%s\": backends \"%s\" and \"%s\" are both %s",
		registry->pools[entry->pool].config->name, registry->backends[twin].config->name,
		entry->config->name, sockaddr_text(&answer->address, text));
}

/*
 * In the order of the configuration, whatever the order of the answers. Two backends of a pool with
 * one address are an error here; a name that comes to it later is left without an address. What
 * goes on from a predecessor is not waited for.
 */
int control_resolve_at_start(struct control *control, struct error *err)
{
	const uint32_t count = control->registry.backend_count;
	struct resolve_answer *answers = calloc(count, sizeof *answers);
	bool *answered = calloc(count, sizeof *answered);
	struct resolve_answer answer;
	int r = 0;

	if (answers == NULL || answered == NULL) {
		free(answers);
		free(answered);
		return error_set(err, ENOMEM, "control: cannot look names up");
	}
	for (uint32_t i = 0; i < count; i++) {
		if (is_name(&control->registry, i) && !control->registry.backends[i].kept) {
			control_on_resolve_timer(control, i);
		}
	}
	resolver_wait(control->resolver, START_WAIT_MS);
	while (resolver_answer(control->resolver, &answer)) {
		answers[answer.backend] = answer;
		answered[answer.backend] = true;
	}
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		if (answered[i]) {
			r = refuse_twin(control, &answers[i], err);
		}
		if (answered[i] && r == 0) {
			take(control, &answers[i], clock_monotonic_ns(), true);
		}
	}
	for (uint32_t i = 0; r == 0 && i < count; i++) {
		if (control->registry.backends[i].kept && !control->registry.health[i].resolved) {
			control_on_resolve_timer(control, i);
		}
	}
	free(answers);
	free(answered);
	return r;
}
