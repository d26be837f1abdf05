#include "control/naming.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "config/config.h"
#include "control/control_internal.h"
#include "os/clock.h"

static const uint64_t RETRY_NS = 5 * 1000000000ULL;

static bool is_name(const struct config_backend *backend)
{
	return backend->address.kind == ADDRESS_NAME;
}

static void set_retry(struct control *control, uint32_t backend, uint64_t now_ns)
{
	struct timer *timer = &control->roster->resolve_timers[backend];

	timer->kind = TIMER_RESOLVE;
	timer->index = backend;
	timers_set(&control->roster->timers, timer, now_ns + RETRY_NS);
}

static void record(
	struct control *control, uint32_t backend, enum event_kind kind, const char *detail)
{
	const struct registry *registry = &control->roster->registry;
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

/*
 * Said once until there is an address, or another reason: every 5 s would fill the log. Where there
 * is an address, it stays: a name that cannot be looked up at a reload is no reason to leave a
 * backend that works.
 */
static void on_missing(struct control *control, uint32_t backend, enum no_address why,
	const char *problem, uint64_t now_ns)
{
	struct roster *roster = control->roster;

	if (roster->unresolved[backend] != why) {
		roster->unresolved[backend] = why;
		record(control, backend, EVENT_BACKEND_UNRESOLVED, problem);
	}
	if (!roster->registry.health[backend].resolved) {
		set_retry(control, backend, now_ns);
	}
}

/*
 * New backends begin healthy, and so does one that is somewhere else now. One that had no address
 * until now proves itself first.
 */
static bool begins_healthy(const struct registry *registry, uint32_t backend, enum lookup_time when)
{
	return when == LOOKUP_BEFORE &&
		(!registry->backends[backend].kept || registry->health[backend].resolved);
}

static void on_found(struct control *control, const struct resolve_answer *answer, uint64_t now_ns,
	enum lookup_time when)
{
	struct registry *registry = &control->roster->registry;
	const uint32_t backend = answer->backend;
	char text[SOCKADDR_TEXT_MAX];
	char detail[EVENT_DETAIL_MAX];
	uint32_t twin;

	if (registry->health[backend].resolved &&
		sockaddr_equal(&registry->places[backend].address, &answer->address)) {
		return;
	}
	twin = registry_resolved(registry, backend, &answer->address,
		begins_healthy(registry, backend, when), now_ns);
	sockaddr_text(&answer->address, text);
	if (twin != REGISTRY_NONE) {
		(void)snprintf(
			detail, sizeof detail, "%.60s is the address of another backend", text);
		on_missing(control, backend, NO_ADDRESS_TWIN, detail, now_ns);
		return;
	}
	roster_note_place(control->roster, backend);
	(void)snprintf(detail, sizeof detail, "%.90s", text);
	record(control, backend, EVENT_BACKEND_RESOLVED, detail);
	if (registry_health(registry, backend)->state != HEALTH_HEALTHY) {
		probe_start(&control->roster->prober, &control->roster->probes[backend], now_ns);
	}
}

static void take(struct control *control, const struct resolve_answer *answer, uint64_t now_ns,
	enum lookup_time when)
{
	if (answer->found) {
		on_found(control, answer, now_ns, when);
	} else {
		on_missing(control, answer->backend, NO_ADDRESS_UNKNOWN, answer->problem, now_ns);
	}
}

void control_on_answers(struct control *control, uint64_t now_ns)
{
	struct resolve_answer answer;

	/* A reload that waits for its sockets does not look: a late answer would keep us awake. */
	if (control->reload.lookup.resolver != NULL) {
		(void)lookup_collect(&control->reload.lookup);
	}
	while (control->roster->resolver != NULL &&
		resolver_answer(control->roster->resolver, &answer)) {
		/* One that a reload had kept for a while may be gone. */
		if (answer.backend < control->roster->registry.backend_count) {
			take(control, &answer, now_ns, LOOKUP_LATER);
		}
	}
}

void control_on_resolve_timer(struct control *control, uint32_t backend)
{
	resolver_ask(control->roster->resolver, backend,
		&control->roster->registry.backends[backend].config->address);
}

static uint32_t count_backends(const struct config *config)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < config->pool_count; i++) {
		count += config->pools[i].backend_count;
	}
	return count;
}

bool lookup_is_needed(const struct config *config)
{
	for (uint32_t i = 0; i < config->pool_count; i++) {
		for (uint32_t k = 0; k < config->pools[i].backend_count; k++) {
			if (is_name(&config->pools[i].backends[k])) {
				return true;
			}
		}
	}
	return false;
}

int lookup_create(const struct config *config, struct lookup *ret_lookup, struct error *err)
{
	struct lookup lookup = {.config = config, .count = count_backends(config)};
	int r = -ENOMEM;

	if (!lookup_is_needed(config)) {
		*ret_lookup = lookup;
		return 0;
	}
	lookup.answers = calloc(lookup.count, sizeof *lookup.answers);
	lookup.answered = calloc(lookup.count, sizeof *lookup.answered);
	if (lookup.answers != NULL && lookup.answered != NULL) {
		r = resolver_create(lookup.count, &lookup.resolver, err);
	} else {
		error_set(err, ENOMEM, "cannot look names up");
	}
	if (r < 0) {
		lookup_done(&lookup);
		return r;
	}
	*ret_lookup = lookup;
	return 0;
}

void lookup_done(struct lookup *lookup)
{
	resolver_free(lookup->resolver);
	free(lookup->answers);
	free(lookup->answered);
	*lookup = (struct lookup){.config = NULL};
}

void lookup_ask(struct lookup *lookup, const struct registry *registry)
{
	uint32_t backend = 0;

	for (uint32_t i = 0; i < lookup->config->pool_count; i++) {
		const struct config_pool *pool = &lookup->config->pools[i];

		for (uint32_t k = 0; k < pool->backend_count; k++, backend++) {
			if (is_name(&pool->backends[k]) &&
				(registry == NULL || !registry->backends[backend].kept)) {
				resolver_ask(lookup->resolver, backend, &pool->backends[k].address);
				lookup->open++;
			}
		}
	}
}

bool lookup_collect(struct lookup *lookup)
{
	struct resolve_answer answer;

	while (lookup->open > 0 && resolver_answer(lookup->resolver, &answer)) {
		lookup->answers[answer.backend] = answer;
		lookup->answered[answer.backend] = true;
		lookup->open--;
	}
	return lookup->open == 0;
}

/* Where the backend is, as far as it is known without looking anywhere else. NULL: nowhere. */
static const struct sockaddr_any *place_of(
	const struct lookup *lookup, const struct config_backend *backend, uint32_t index)
{
	if (!is_name(backend)) {
		return &backend->address.numeric;
	}
	return lookup->answered[index] && lookup->answers[index].found
		? &lookup->answers[index].address
		: NULL;
}

/* The same address twice in a pool is a mistake, also when a name hides it. */
static int refuse_twin(const struct lookup *lookup, const struct config_pool *pool, uint32_t first,
	uint32_t k, struct error *err)
{
	const struct config_backend *backend = &pool->backends[k];
	const struct sockaddr_any *address = place_of(lookup, backend, first + k);
	char text[SOCKADDR_TEXT_MAX];

	for (uint32_t i = 0; i < pool->backend_count; i++) {
		const struct config_backend *other = &pool->backends[i];
		const struct sockaddr_any *place = place_of(lookup, other, first + i);

		if (i == k || (i > k && is_name(other)) || place == NULL ||
			!sockaddr_equal(place, address)) {
			continue;
		}
		return error_say(err, EINVAL, "pool \"%s\": backends \"%s\" and \"%s\" are both %s",
			pool->name, other->name, backend->name, sockaddr_text(address, text));
	}
	return 0;
}

int lookup_refuse_twins(const struct lookup *lookup, struct error *err)
{
	uint32_t first = 0;

	for (uint32_t i = 0; lookup->resolver != NULL && i < lookup->config->pool_count; i++) {
		const struct config_pool *pool = &lookup->config->pools[i];

		for (uint32_t k = 0; k < pool->backend_count; k++) {
			const struct config_backend *backend = &pool->backends[k];
			int r;

			if (!is_name(backend) || place_of(lookup, backend, first + k) == NULL) {
				continue;
			}
			r = refuse_twin(lookup, pool, first, k, err);
			if (r < 0) {
				return r;
			}
		}
		first += pool->backend_count;
	}
	return 0;
}

void lookup_apply(struct control *control, struct lookup *lookup, uint64_t now_ns)
{
	control->roster->resolver = lookup->resolver;
	lookup->resolver = NULL;
	for (uint32_t i = 0; lookup->answered != NULL && i < lookup->count; i++) {
		if (lookup->answered[i]) {
			take(control, &lookup->answers[i], now_ns, LOOKUP_BEFORE);
		}
	}
}

/* What goes on from a predecessor without an address is asked for again, and not waited for. */
static void ask_the_lost(struct control *control)
{
	const struct registry *registry = &control->roster->registry;

	for (uint32_t i = 0; i < registry->backend_count; i++) {
		if (registry->backends[i].kept && !registry->health[i].resolved &&
			is_name(registry->backends[i].config)) {
			control_on_resolve_timer(control, i);
		}
	}
}

int control_resolve_at_start(struct control *control, struct error *err)
{
	const struct registry *registry = &control->roster->registry;
	struct lookup lookup;
	int r = lookup_create(registry->config, &lookup, err);

	if (r < 0) {
		return r;
	}
	if (lookup.resolver != NULL) {
		lookup_ask(&lookup, registry);
		resolver_wait(lookup.resolver, LOOKUP_WAIT_MS);
		(void)lookup_collect(&lookup);
		r = lookup_refuse_twins(&lookup, err);
		if (r == 0) {
			r = control_watch(control, resolver_fd(lookup.resolver), SOURCE_RESOLVER);
			r = r < 0 ? error_set(err, -r, "control: cannot watch") : 0;
		}
	}
	if (r == 0) {
		lookup_apply(control, &lookup, clock_monotonic_ns());
		ask_the_lost(control);
	}
	lookup_done(&lookup);
	return r;
}
