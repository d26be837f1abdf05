#include "observe/metrics.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "model/shm.h"
#include "observe/process_metrics.h"
#include "observe/shown.h"
#include "observe/totals.h"

/* Two names, of which each byte may become three, and the keys. */
enum { LABELS_MAX = 6 * IDENTITY_NAME_MAX + 32, BOUND_MAX = 32 };

/* What a metric has one series (or group of series) for. */
enum scope { SCOPE_PROCESS, SCOPE_LISTENER, SCOPE_POOL, SCOPE_BACKEND };

struct entity {
	uint32_t index;       /* in its table of shared memory */
	const void *counters; /* its block of struct totals */
	char labels[LABELS_MAX];
};

struct entities {
	uint32_t count;
	struct entity *list; /* owned */
};

/* How many backends of a pool are in each state. */
struct pool_states {
	uint64_t count[SHOWN_COUNT];
};

/* One scrape. */
struct scrape {
	struct page *page;
	const struct metrics_source *source;
	const struct shm *shm;
	struct totals totals;
	struct entities listeners;
	struct entities pools;
	struct entities backends;
	struct pool_states *pool_states; /* owned; by pool */
};

struct metric {
	const char *name;
	const char *type;
	const char *help;
	enum scope scope;
	void (*write)(const struct scrape *scrape, const struct metric *metric,
		const struct entity *entity);
	size_t offset; /* for the writers of plain counters: of the counter in its block */
};

static struct sample sample_of(const struct metric *metric, const struct entity *entity)
{
	return (struct sample){
		.name = metric->name,
		.suffix = "",
		.labels = entity == NULL ? "" : entity->labels,
	};
}

static void write_labelled(const struct scrape *scrape, const struct metric *metric,
	const struct entity *entity, const char *key, const char *value, uint64_t number)
{
	struct sample sample = sample_of(metric, entity);

	sample.key = key;
	sample.value = value;
	page_number(scrape->page, &sample, number);
}

static void write_plain(const struct scrape *scrape, const struct metric *metric,
	const struct entity *entity, uint64_t number)
{
	write_labelled(scrape, metric, entity, NULL, NULL, number);
}

/* The counter at `offset` of the entity's block. */
static uint64_t counter_at(const struct entity *entity, size_t offset)
{
	const char *block = entity->counters;

	return counter_get((const counter_t *)(const void *)(block + offset));
}

static void write_counter(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_plain(scrape, metric, entity, counter_at(entity, metric->offset));
}

/* A list of `count` counters at metric->offset, one series per word. */
static void write_words(const struct scrape *scrape, const struct metric *metric,
	const struct entity *entity, const char *key, const char *const *words, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		write_labelled(scrape, metric, entity, key, words[i],
			counter_at(entity, metric->offset + i * sizeof(counter_t)));
	}
}

static void write_listener_active(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_plain(scrape, metric, entity, totals_listener_active(entity->counters));
}

static void write_backend_active(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_plain(scrape, metric, entity, totals_slot_active(entity->counters));
}

static void write_rejected(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const char *words[REJECT_REASON_COUNT];

	for (int i = 0; i < REJECT_REASON_COUNT; i++) {
		words[i] = reject_reason_name((enum reject_reason)i);
	}
	write_words(scrape, metric, entity, "reason", words, ARRAY_COUNT(words));
}

static void write_accept_errors(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const char *words[ACCEPT_ERROR_COUNT];

	for (int i = 0; i < ACCEPT_ERROR_COUNT; i++) {
		words[i] = accept_error_name((enum accept_error)i);
	}
	write_words(scrape, metric, entity, "error", words, ARRAY_COUNT(words));
}

static void write_connect_failures(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const char *words[FAILURE_REASON_COUNT];

	for (int i = 0; i < FAILURE_REASON_COUNT; i++) {
		words[i] = failure_reason_name((enum failure_reason)i);
	}
	write_words(scrape, metric, entity, "reason", words, ARRAY_COUNT(words));
}

static void write_checks(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const struct slot *slot = &scrape->shm->slots[entity->index];

	for (int i = 0; i < CHECK_RESULT_COUNT; i++) {
		write_labelled(scrape, metric, entity, "result",
			check_result_name((enum check_result)i), counter_get(&slot->checks[i]));
	}
}

/*
 * What `le` says: seconds, without trailing zeros. Two kinds of histogram, so the texts are made
 * for each entity anew; it is the numbers that take the time.
 */
static void format_bound(uint64_t ns, char text[static BOUND_MAX])
{
	size_t length = page_format_seconds(ns, text);

	assert(length < BOUND_MAX);
	text[length] = '\0';
}

/*
 * The count is the sum of the buckets that were read, not a counter of its own: so the series of
 * one scrape agree whatever happens meanwhile.
 */
static void write_histogram(const struct scrape *scrape, const struct metric *metric,
	const struct entity *entity, const uint64_t *bounds_ns, size_t bound_count,
	size_t sum_offset)
{
	struct sample sample = sample_of(metric, entity);
	char bound[BOUND_MAX];
	uint64_t count = 0;

	sample.suffix = "_bucket";
	sample.key = "le";
	sample.value = bound;
	for (size_t i = 0; i < bound_count; i++) {
		count += counter_at(entity, metric->offset + i * sizeof(counter_t));
		format_bound(bounds_ns[i], bound);
		page_number(scrape->page, &sample, count);
	}
	count += counter_at(entity, metric->offset + bound_count * sizeof(counter_t));
	sample.value = "+Inf";
	page_number(scrape->page, &sample, count);
	sample.key = NULL;
	sample.suffix = "_sum";
	page_seconds(scrape->page, &sample, counter_at(entity, sum_offset));
	sample.suffix = "_count";
	page_number(scrape->page, &sample, count);
}

static void write_connect_duration(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_histogram(scrape, metric, entity, connect_bucket_ns, CONNECT_BUCKET_COUNT,
		offsetof(struct slot_counters, connect_sum_ns));
}

static void write_session_duration(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_histogram(scrape, metric, entity, session_bucket_ns, SESSION_BUCKET_COUNT,
		offsetof(struct pool_counters, duration_sum_ns));
}

static void write_state(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const enum shown_state state = shown_state_of(&scrape->shm->slots[entity->index]);

	for (int i = 0; i < SHOWN_COUNT; i++) {
		write_labelled(scrape, metric, entity, "state",
			shown_state_name((enum shown_state)i),
			(enum shown_state)i == state ? 1 : 0);
	}
}

static void write_admin_state(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const uint32_t state = atomic_load_explicit(
		&scrape->shm->slots[entity->index].admin, memory_order_acquire);

	for (uint32_t i = 0; i < ADMIN_STATE_COUNT; i++) {
		write_labelled(scrape, metric, entity, "state",
			admin_state_name((enum admin_state)i), i == state ? 1 : 0);
	}
}

static void write_transitions(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	static const struct edge {
		enum health_state from;
		enum health_state to;
		const char *value; /* closes the quotes of `from` and opens those of `to` */
	} edges[] = {
		{HEALTH_HEALTHY, HEALTH_DRAINING, "healthy\",to=\"draining"},
		{HEALTH_HEALTHY, HEALTH_UNHEALTHY, "healthy\",to=\"unhealthy"},
		{HEALTH_DRAINING, HEALTH_UNHEALTHY, "draining\",to=\"unhealthy"},
		{HEALTH_DRAINING, HEALTH_HEALTHY, "draining\",to=\"healthy"},
		{HEALTH_UNHEALTHY, HEALTH_HEALTHY, "unhealthy\",to=\"healthy"},
	};
	const struct slot *slot = &scrape->shm->slots[entity->index];

	for (size_t i = 0; i < ARRAY_COUNT(edges); i++) {
		write_labelled(scrape, metric, entity, "from", edges[i].value,
			counter_get(&slot->transitions[edges[i].from][edges[i].to]));
	}
}

static void write_weight(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_plain(scrape, metric, entity,
		atomic_load_explicit(
			&scrape->shm->slots[entity->index].weight, memory_order_relaxed));
}

static void write_pool_backends(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	for (int i = 0; i < SHOWN_COUNT; i++) {
		write_labelled(scrape, metric, entity, "state",
			shown_state_name((enum shown_state)i),
			scrape->pool_states[entity->index].count[i]);
	}
}

static void write_sessions_closed(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	char value[64];

	for (int by = 0; by < CLOSED_BY_COUNT; by++) {
		for (int reason = 0; reason < CLOSE_REASON_COUNT; reason++) {
			const size_t number = (size_t)by * CLOSE_REASON_COUNT + (size_t)reason;

			(void)snprintf(value, sizeof value, "%s\",reason=\"%s",
				closed_by_name((enum closed_by)by),
				close_reason_name((enum close_reason)reason));
			write_labelled(scrape, metric, entity, "by", value,
				counter_at(entity, metric->offset + number * sizeof(counter_t)));
		}
	}
}

/* metric->offset is that of a counter of struct process_state. */
static void write_process_state(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const char *state = (const char *)&scrape->shm->header->process;

	write_plain(scrape, metric, entity,
		counter_get((const counter_t *)(const void *)(state + metric->offset)));
}

/* Of all workers. `offset` is that of the first of `count` counters in struct worker_state. */
static void write_worker_sums(const struct scrape *scrape, const struct metric *metric,
	const struct entity *entity, const char *label, const char *const *words, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint64_t sum = 0;

		for (uint32_t worker = 0; worker < scrape->shm->workers; worker++) {
			const struct worker_state *state = &scrape->shm->worker_states[worker];
			const char *counters = (const char *)state + metric->offset;

			sum += counter_get((const counter_t *)(const void *)counters + i);
		}
		write_labelled(scrape, metric, entity, label, words[i], sum);
	}
}

static void write_continued(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const char *words[CONTINUED_COUNT];

	for (int i = 0; i < CONTINUED_COUNT; i++) {
		words[i] = continued_from_name((enum continued_from)i);
	}
	write_worker_sums(scrape, metric, entity, "from", words, ARRAY_COUNT(words));
}

static void write_lost(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const char *words[LOST_REASON_COUNT];

	for (int i = 0; i < LOST_REASON_COUNT; i++) {
		words[i] = lost_reason_name((enum lost_reason)i);
	}
	write_worker_sums(scrape, metric, entity, "reason", words, ARRAY_COUNT(words));
}

static void write_reload_successful(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_plain(scrape, metric, entity,
		atomic_load_explicit(
			&scrape->shm->header->process.reload_successful, memory_order_acquire));
}

static void write_reload_time(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	const struct sample sample = sample_of(metric, entity);

	page_seconds(
		scrape->page, &sample, counter_get(&scrape->shm->header->process.reload_wall_ns));
}

static void write_build_info(
	const struct scrape *scrape, const struct metric *metric, const struct entity *entity)
{
	write_labelled(scrape, metric, entity, "version", scrape->source->version, 1);
}

#define LISTENER(member) .offset = offsetof(struct listener_counters, member)
#define POOL(member)     .offset = offsetof(struct pool_counters, member)
#define BACKEND(member)  .offset = offsetof(struct slot_counters, member)
#define PROCESS(member)  .offset = offsetof(struct process_state, member)
#define WORKER(member)   .offset = offsetof(struct worker_state, member)

/* clang-format off */
static const struct metric metrics[] = {
	{"loble_build_info", "gauge", "Version of the running program; always 1.",
		SCOPE_PROCESS, write_build_info, 0},
	{"loble_snapshot_version", "gauge", "Version of the snapshot that the workers read.",
		SCOPE_PROCESS, write_process_state, PROCESS(snapshot_version)},
	{"loble_config_generation", "gauge", "Configurations loaded since the start.",
		SCOPE_PROCESS, write_process_state, PROCESS(config_generation)},
	{"loble_config_last_reload_successful", "gauge",
		"Whether the last load of the configuration succeeded.",
		SCOPE_PROCESS, write_reload_successful, 0},
	{"loble_config_last_reload_timestamp_seconds", "gauge",
		"When the configuration was last loaded, in seconds since 1970.",
		SCOPE_PROCESS, write_reload_time, 0},
	{"loble_worker_restarts_total", "counter", "Worker processes that were replaced.",
		SCOPE_PROCESS, write_process_state, PROCESS(worker_restarts)},
	{"loble_sessions_continued_total", "counter",
		"Sessions that a new worker process went on with, by where their bytes were.",
		SCOPE_PROCESS, write_continued, WORKER(continued)},
	{"loble_sessions_lost_total", "counter",
		"Sessions that a new worker process had to reset instead.",
		SCOPE_PROCESS, write_lost, WORKER(lost)},
	{"loble_upgrades_total", "counter",
		"Upgrades of the binary in place, also those taken back after they were done.",
		SCOPE_PROCESS, write_process_state, PROCESS(upgrades)},
	{"loble_log_lines_dropped_total", "counter", "Log lines lost because nobody took them.",
		SCOPE_PROCESS, write_process_state, PROCESS(log_lines_dropped)},

	{"loble_listener_connections_total", "counter", "Client connections accepted.",
		SCOPE_LISTENER, write_counter, LISTENER(connections)},
	{"loble_listener_connections_active", "gauge", "Client connections open now.",
		SCOPE_LISTENER, write_listener_active, 0},
	{"loble_listener_received_bytes_total", "counter", "Bytes read from clients and passed on.",
		SCOPE_LISTENER, write_counter, LISTENER(received_bytes)},
	{"loble_listener_sent_bytes_total", "counter", "Bytes written to clients.",
		SCOPE_LISTENER, write_counter, LISTENER(sent_bytes)},
	{"loble_listener_connections_rejected_total", "counter",
		"Client connections that were reset at once, by reason.",
		SCOPE_LISTENER, write_rejected, LISTENER(rejected)},
	{"loble_listener_accept_errors_total", "counter", "Failures of accept(), by error.",
		SCOPE_LISTENER, write_accept_errors, LISTENER(accept_errors)},

	{"loble_backend_connections_total", "counter", "Connections to the backend established.",
		SCOPE_BACKEND, write_counter, BACKEND(established)},
	{"loble_backend_connections_active", "gauge",
		"Connections to the backend now, connecting ones included.",
		SCOPE_BACKEND, write_backend_active, 0},
	{"loble_backend_connect_failures_total", "counter", "Connects that failed, by reason.",
		SCOPE_BACKEND, write_connect_failures, BACKEND(failures)},
	{"loble_backend_connect_duration_seconds", "histogram", "How long connects took.",
		SCOPE_BACKEND, write_connect_duration, BACKEND(connect)},
	{"loble_backend_received_bytes_total", "counter", "Bytes read from the backend.",
		SCOPE_BACKEND, write_counter, BACKEND(received_bytes)},
	{"loble_backend_sent_bytes_total", "counter", "Bytes written to the backend.",
		SCOPE_BACKEND, write_counter, BACKEND(sent_bytes)},
	{"loble_backend_state", "gauge", "State of the backend: exactly one is 1.",
		SCOPE_BACKEND, write_state, 0},
	{"loble_backend_admin_state", "gauge", "The operator's word: exactly one is 1.",
		SCOPE_BACKEND, write_admin_state, 0},
	{"loble_backend_transitions_total", "counter", "Changes of the backend's health.",
		SCOPE_BACKEND, write_transitions, 0},
	{"loble_backend_weight", "gauge", "Weight of the backend.",
		SCOPE_BACKEND, write_weight, 0},
	{"loble_backend_checks_total", "counter", "Probes of the backend, by result.",
		SCOPE_BACKEND, write_checks, 0},

	{"loble_pool_backends", "gauge", "Backends of the pool, by state.",
		SCOPE_POOL, write_pool_backends, 0},
	{"loble_pool_retries_total", "counter", "Tries after a failed connect.",
		SCOPE_POOL, write_counter, POOL(retries)},
	{"loble_pool_no_backend_total", "counter", "Sessions that found no backend to try.",
		SCOPE_POOL, write_counter, POOL(no_backend)},
	{"loble_session_duration_seconds", "histogram", "How long sessions lasted.",
		SCOPE_POOL, write_session_duration, POOL(duration)},
	{"loble_sessions_closed_total", "counter", "Sessions that ended, by whom and why.",
		SCOPE_POOL, write_sessions_closed, POOL(closed)},
};
/* clang-format on */

static const struct entities *entities_of(const struct scrape *scrape, enum scope scope)
{
	switch (scope) {
	case SCOPE_LISTENER:
		return &scrape->listeners;
	case SCOPE_POOL:
		return &scrape->pools;
	case SCOPE_BACKEND:
		return &scrape->backends;
	case SCOPE_PROCESS:
		break;
	}
	return NULL;
}

static void write_metric(const struct scrape *scrape, const struct metric *metric)
{
	const struct entities *entities = entities_of(scrape, metric->scope);

	page_metric(scrape->page, metric->name, metric->type, metric->help);
	if (entities == NULL) {
		metric->write(scrape, metric, NULL);
		return;
	}
	for (uint32_t i = 0; i < entities->count; i++) {
		metric->write(scrape, metric, &entities->list[i]);
	}
}

static struct entities make_entities(struct page *page, uint32_t count)
{
	struct entities entities = {.list = calloc(count + 1U, sizeof *entities.list)};

	if (entities.list == NULL) {
		page->failed = true;
	}
	return entities;
}

static void list_listeners(struct scrape *scrape)
{
	const uint32_t count = scrape->totals.listener_count;

	scrape->listeners = make_entities(scrape->page, count);
	for (uint32_t i = 0; i < count && scrape->listeners.list != NULL; i++) {
		struct entity *entity = &scrape->listeners.list[scrape->listeners.count];

		if (!shown_listener(&scrape->shm->listeners[i], &scrape->totals.listeners[i])) {
			continue;
		}
		scrape->listeners.count++;
		entity->index = i;
		entity->counters = &scrape->totals.listeners[i];
		page_labels(entity->labels, sizeof entity->labels, "listener",
			scrape->shm->listeners[i].identity.name);
	}
}

static void list_pools(struct scrape *scrape)
{
	const uint32_t count = scrape->totals.pool_count;

	scrape->pools = make_entities(scrape->page, count);
	for (uint32_t i = 0; i < count && scrape->pools.list != NULL; i++) {
		struct entity *entity = &scrape->pools.list[scrape->pools.count];

		if (!shown_pool(scrape->shm, &scrape->totals, i)) {
			continue;
		}
		scrape->pools.count++;
		entity->index = i;
		entity->counters = &scrape->totals.pools[i];
		page_labels(entity->labels, sizeof entity->labels, "pool",
			scrape->shm->pools[i].identity.name);
	}
}

static void list_backends(struct scrape *scrape)
{
	const uint32_t count = scrape->totals.slot_count;

	scrape->backends = make_entities(scrape->page, count);
	scrape->pool_states = calloc(scrape->totals.pool_count + 1U, sizeof *scrape->pool_states);
	if (scrape->pool_states == NULL) {
		scrape->page->failed = true;
		return;
	}
	for (uint32_t i = 0; i < count && scrape->backends.list != NULL; i++) {
		const struct slot *slot = &scrape->shm->slots[i];
		const uint32_t pool = slot->identity.parent;
		struct entity *entity = &scrape->backends.list[scrape->backends.count];
		size_t length;

		if (pool >= scrape->totals.pool_count ||
			!shown_at_all(slot, &scrape->totals.slots[i])) {
			continue;
		}
		scrape->backends.count++;
		scrape->pool_states[pool].count[shown_state_of(slot)]++;
		entity->index = i;
		entity->counters = &scrape->totals.slots[i];
		length = page_labels(entity->labels, sizeof entity->labels, "pool",
			scrape->shm->pools[pool].identity.name);
		entity->labels[length++] = ',';
		page_labels(entity->labels + length, sizeof entity->labels - length, "backend",
			slot->identity.name);
	}
}

static void write_all(struct scrape *scrape)
{
	list_listeners(scrape);
	list_pools(scrape);
	list_backends(scrape);
	for (size_t i = 0; i < ARRAY_COUNT(metrics) && !scrape->page->failed; i++) {
		write_metric(scrape, &metrics[i]);
	}
	process_metrics_write(scrape->page, counter_get(&scrape->shm->header->process.past_cpu_ns));
	free(scrape->listeners.list);
	free(scrape->pools.list);
	free(scrape->backends.list);
	free(scrape->pool_states);
}

void metrics_write(struct page *page, const struct metrics_source *source)
{
	struct scrape scrape = {.page = page, .source = source, .shm = source->shm};

	if (totals_read(source->shm, &scrape.totals) < 0) {
		page->failed = true;
		return;
	}
	write_all(&scrape);
	totals_done(&scrape.totals);
}
