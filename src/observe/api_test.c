#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/suggest.h"
#include "model/event.h"
#include "model/request.h"
#include "model/snapshot.h"
#include "observe/api.h"
#include "observe/json.h"
#include "observe/testing.h"
#include "os/clock.h"

enum { TEXT_MAX = 256 * 1024, SESSIONS = 10 };

/* A process with two pools, of which a snapshot tells the addresses. */
struct scene {
	void *shm;
	struct snapshot_store store;
	struct snapshot snapshot;
	struct snapshot_pool pools[2];
	const struct snapshot_pool *pool_list[2];
	struct snapshot_listener listener;
	const struct snapshot_listener *listener_list[1];
	struct snapshot_member members[3];
	struct api api;
	struct site site;
};

static int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof *scene);

	assert_non_null(scene);
	assert_int_equal(testing_make_shm(&scene->shm), 0);
	testing_fill(scene->shm);
	scene->members[0] = (struct snapshot_member){.slot = 0, .address = "10.0.0.1:8080"};
	scene->members[1] = (struct snapshot_member){.slot = 1, .address = "two:80"};
	scene->members[2] = (struct snapshot_member){
		.slot = 3, .max_connections = 9, .address = "unix:/run/mail.sock"};
	scene->pools[0] = (struct snapshot_pool){.id = 0,
		.name = "web",
		.algorithm_name = "random",
		.member_count = 2,
		.members = scene->members};
	scene->pools[1] = (struct snapshot_pool){.id = 1,
		.name = "mail",
		.algorithm_name = "round_robin",
		.fallback = true,
		.member_count = 1,
		.members = scene->members + 2};
	scene->pool_list[0] = &scene->pools[0];
	scene->pool_list[1] = &scene->pools[1];
	scene->listener = (struct snapshot_listener){
		.id = 0, .pool = 1, .name = "web", .address = ":80", .max_connections = 5};
	scene->listener_list[0] = &scene->listener;
	scene->snapshot = (struct snapshot){.version = 7,
		.pool_limit = 2,
		.pools = scene->pool_list,
		.listener_limit = 1,
		.listeners = scene->listener_list};
	scene->store.current = &scene->snapshot;
	scene->api = (struct api){.shm = scene->shm, .store = &scene->store, .version = "1.2.3"};
	assert_int_equal(request_box_create(&scene->api.requests, NULL), 0);
	scene->site =
		(struct site){.table_count = 1, .tables = {api_routes(&scene->api)}, .json = true};
	*state = scene;
	return 0;
}

static int tear_down(void **state)
{
	struct scene *scene = *state;

	request_box_free(scene->api.requests);
	(void)testing_drop_shm(&scene->shm);
	free(scene);
	return 0;
}

/* All of a stream, read in pieces of `size` bytes. To be freed. */
static char *drain(const struct answer_stream *stream, size_t size)
{
	char *text = malloc(TEXT_MAX);
	size_t length = 0;
	ssize_t n;

	assert_non_null(text);
	while ((n = stream->read(stream->context, text + length, size)) > 0) {
		assert_true((size_t)n <= size);
		length += (size_t)n;
		assert_true(length + size < TEXT_MAX);
	}
	assert_int_equal(n, 0);
	text[length] = '\0';
	return text;
}

/* The answer to GET of a path with at most one parameter. To be let go of. */
static json_t *ask(const struct scene *scene, const char *path, const char *name, const char *value)
{
	struct http_call call = {.method = "GET", .path = path};
	struct answer answer;
	json_error_t mistake;
	json_t *json;
	char *text = NULL;
	bool large;

	if (name != NULL) {
		call.query_count = 1;
		call.query[0] = (struct query){name, value};
	}
	answer = route_call(&scene->site, &call, &large);
	assert_int_equal(answer.status, HTTP_OK);
	if (answer.stream.read != NULL) {
		text = drain(&answer.stream, 37);
	}
	json = text == NULL ? json_loadb(answer.text, answer.length, 0, &mistake)
			    : json_loads(text, 0, &mistake);
	free(text);
	answer_done(&answer);
	assert_non_null(json);
	return json;
}

static json_t *at(json_t *json, const char *list, size_t index)
{
	json_t *value = json_array_get(json_object_get(json, list), index);

	assert_non_null(value);
	return value;
}

static void expect_text(const json_t *object, const char *key, const char *text)
{
	const json_t *value = json_object_get(object, key);

	assert_true(json_is_string(value));
	assert_string_equal(json_string_value(value), text);
}

static void expect_number(const json_t *object, const char *key, long long number)
{
	const json_t *value = json_object_get(object, key);

	assert_true(json_is_integer(value));
	assert_int_equal(json_integer_value(value), number);
}

static void status_is_that_of_the_whole_process(void **state)
{
	json_t *status = ask(*state, "/v1/status", NULL, NULL);

	expect_text(status, "version", "1.2.3");
	expect_text(status, "phase", "running");
	expect_text(status, "not_ready_because", "a listener is not open");
	assert_true(json_is_null(json_object_get(status, "uptime_seconds")));
	expect_number(status, "workers", TEST_WORKERS);
	expect_number(json_object_get(status, "config"), "generation", 2);
	expect_text(json_object_get(status, "config"), "last_reload", "2023-07-01T00:00:00Z");
	expect_number(json_object_get(status, "worker"), "restarts", 1);
	expect_number(json_object_get(status, "upgrade"), "attempts", 0);
	expect_text(json_object_get(status, "upgrade"), "state", "none");
	assert_int_equal(json_array_size(json_object_get(status, "listeners")), 1);
	expect_text(at(status, "listeners", 0), "address", ":80");
	expect_text(at(status, "listeners", 0), "pool", "mail");
	expect_number(at(status, "listeners", 0), "active", 10);
	expect_number(at(status, "listeners", 0), "connections", 1234);
	expect_number(at(status, "pools", 0), "healthy", 1);
	expect_number(at(status, "pools", 0), "draining", 1);
	expect_number(at(status, "pools", 0), "sessions", 2);
	expect_text(at(status, "pools", 1), "algorithm", "round_robin");
	expect_number(at(status, "pools", 1), "maintenance", 1);
	assert_true(json_is_true(json_object_get(at(status, "pools", 1), "fallback")));
	json_decref(status);
}

static void before_the_first_snapshot_there_is_less_to_tell(void **state)
{
	struct scene *scene = *state;
	json_t *status;

	scene->store.current = NULL;
	status = ask(scene, "/v1/status", NULL, NULL);
	expect_text(status, "not_ready_because", "starting");
	assert_int_equal(json_array_size(json_object_get(status, "pools")), 0);
	json_decref(status);
}

static void backends_come_in_the_order_of_the_configuration(void **state)
{
	json_t *answer = ask(*state, "/v1/backends", NULL, NULL);
	json_t *first = at(answer, "backends", 0);

	assert_int_equal(json_array_size(json_object_get(answer, "backends")), 3);
	expect_text(first, "pool", "web");
	expect_text(first, "backend", "10.0.0.1:8080");
	expect_text(first, "address", "10.0.0.1:8080");
	expect_text(first, "state", "healthy");
	expect_number(first, "weight", 10);
	expect_number(first, "sessions", 2);
	expect_number(first, "connections", 140);
	expect_number(first, "connect_failures", 10);
	expect_number(json_object_get(first, "connect_failures_by_reason"), "refused", 8);
	assert_true(json_is_null(json_object_get(first, "since")));
	expect_text(at(answer, "backends", 1), "backend", "b\\ackend\n2");
	expect_text(at(answer, "backends", 1), "state", "draining");
	expect_text(at(answer, "backends", 2), "state", "maintenance");
	expect_text(at(answer, "backends", 2), "admin", "maintenance");
	expect_number(at(answer, "backends", 2), "max_connections", 9);
	json_decref(answer);
	answer = ask(*state, "/v1/backends", "pool", "mail");
	assert_int_equal(json_array_size(json_object_get(answer, "backends")), 1);
	json_decref(answer);
	answer = ask(*state, "/v1/backends", "backend", "mail/10.0.0.1:8080");
	assert_int_equal(json_array_size(json_object_get(answer, "backends")), 1);
	json_decref(answer);
	answer = ask(*state, "/v1/backends", "backend", "10.0.0.1:8080");
	assert_int_equal(json_array_size(json_object_get(answer, "backends")), 2);
	json_decref(answer);
}

static void a_removed_backend_is_shown_while_it_has_sessions(void **state)
{
	struct scene *scene = *state;
	struct shm *shm = scene->shm;
	json_t *answer;

	COUNT(shm, slot, 1, 2, started, 3);
	answer = ask(scene, "/v1/backends", NULL, NULL);
	assert_int_equal(json_array_size(json_object_get(answer, "backends")), 4);
	expect_text(at(answer, "backends", 3), "backend", "10.0.0.3:8080");
	expect_text(at(answer, "backends", 3), "state", "removed");
	expect_number(at(answer, "backends", 3), "sessions", 3);
	json_decref(answer);
}

static void the_last_change_says_since_when_and_why(void **state)
{
	struct scene *scene = *state;
	struct shm *shm = scene->shm;
	struct event_log log = {.ring = shm->events};
	struct event event = {.kind = EVENT_BACKEND_HEALTH, .cause = CAUSE_TRAFFIC, .subject = 1};
	json_t *answer;
	json_t *since;

	(void)snprintf(event.reason, sizeof event.reason, "timeout");
	event_record(&log, &event);
	event.cause = CAUSE_PROBE;
	event.failures = 3;
	(void)snprintf(event.reason, sizeof event.reason, "refused");
	event_record(&log, &event);
	event.subject = SLOTS_MAX; /* of no slot that is in use */
	event_record(&log, &event);
	event.subject = 1;
	event.kind = EVENT_BACKEND_RESOLVED; /* no change of state */
	event_record(&log, &event);
	answer = ask(scene, "/v1/backends", NULL, NULL);
	since = json_object_get(at(answer, "backends", 1), "since");
	expect_text(since, "cause", "probe");
	expect_text(since, "reason", "refused");
	expect_number(since, "failures", 3);
	assert_true(json_number_value(json_object_get(since, "seconds")) < 100);
	json_decref(answer);
}

/* A record of slot 0 or 1 in turn, as a worker would leave it. */
static struct session_record *add_session(struct shm *shm, uint32_t worker, uint32_t index)
{
	struct session_record *record = shm_record(shm, worker, index);

	record->generation = index + 1;
	record->fd[SIDE_CLIENT] = -1;
	record->fd[SIDE_BACKEND] = -1;
	record->slot = index % 2;
	record->started_ns = clock_monotonic_ns() - 1000000000;
	record->moved[SIDE_CLIENT] = index;
	record->moved[SIDE_BACKEND] = 1000;
	record->client_address[10] = 0xff;
	record->client_address[11] = 0xff;
	record->client_address[12] = 10;
	record->client_address[17] = 80;
	record->flags = session_record_flags(record->flags);
	record->check = session_record_check(record, index);
	atomic_store_explicit(&record->state, RECORD_OPEN, memory_order_release);
	atomic_store_explicit(
		&shm->worker_states[worker].records_used, index + 1, memory_order_release);
	return record;
}

static void sessions_are_listed_over_all_workers(void **state)
{
	struct scene *scene = *state;
	json_t *answer;
	json_t *one;

	for (uint32_t i = 0; i < SESSIONS; i++) {
		(void)add_session(scene->shm, i % TEST_WORKERS, i / TEST_WORKERS);
	}
	answer = ask(scene, "/v1/sessions", NULL, NULL);
	expect_number(answer, "shown", SESSIONS);
	assert_int_equal(json_array_size(json_object_get(answer, "sessions")), SESSIONS);
	one = at(answer, "sessions", 1);
	expect_text(one, "id", "0.1.2");
	expect_text(one, "state", "open");
	expect_text(one, "client", "10.0.0.0:80");
	expect_text(one, "listener", "web");
	expect_text(one, "pool", "web");
	expect_text(one, "backend", "b\\ackend\n2");
	expect_number(one, "received_bytes", 1);
	expect_number(one, "sent_bytes", 1000);
	assert_true(json_is_null(json_object_get(one, "idle_seconds")));
	assert_true(json_number_value(json_object_get(one, "age_seconds")) >= 1);
	json_decref(answer);
	answer = ask(scene, "/v1/sessions", "limit", "4");
	expect_number(answer, "shown", 4);
	json_decref(answer);
	answer = ask(scene, "/v1/sessions", "backend", "10.0.0.1:8080");
	expect_number(answer, "shown", 6);
	json_decref(answer);
	answer = ask(scene, "/v1/sessions", "pool", "mail");
	expect_number(answer, "shown", 0);
	json_decref(answer);
}

static void what_is_not_live_or_not_whole_is_not_listed(void **state)
{
	struct scene *scene = *state;
	struct session_record *record = add_session(scene->shm, 0, 0);
	json_t *answer;

	record->started_ns++; /* as in the middle of being filled in */
	answer = ask(scene, "/v1/sessions", NULL, NULL);
	expect_number(answer, "shown", 0);
	json_decref(answer);
	record->check = session_record_check(record, 0);
	atomic_store_explicit(&record->state, RECORD_CLOSING, memory_order_release);
	answer = ask(scene, "/v1/sessions", NULL, NULL);
	expect_number(answer, "shown", 0);
	json_decref(answer);
	record->slot = RECORD_NONE;
	record->pool = UINT32_MAX; /* damaged: must not be looked up */
	record->check = session_record_check_client(record, 0);
	atomic_store_explicit(&record->state, RECORD_CONNECTING, memory_order_release);
	answer = ask(scene, "/v1/sessions", NULL, NULL);
	expect_number(answer, "shown", 1);
	expect_text(at(answer, "sessions", 0), "state", "connecting");
	assert_true(json_is_null(json_object_get(at(answer, "sessions", 0), "backend")));
	json_decref(answer);
}

static void a_limit_is_a_number(void **state)
{
	static const char *const wrong[] = {"", "0", "-1", "1 ", "x", "18446744073709551616"};
	struct scene *scene = *state;

	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
		struct http_call call = {.method = "GET", .path = "/v1/sessions"};
		struct answer answer;
		bool large;

		call.query_count = 1;
		call.query[0] = (struct query){"limit", wrong[i]};
		answer = route_call(&scene->site, &call, &large);
		assert_int_equal(answer.status, HTTP_BAD_REQUEST);
		answer_done(&answer);
	}
}

static void expect_refusal(
	const struct scene *scene, const char *path, struct query query, const char *expected)
{
	struct http_call call = {.method = "GET", .path = path, .query_count = 1, .query = {query}};
	json_error_t mistake;
	struct answer answer;
	json_t *json;
	bool large;

	answer = route_call(&scene->site, &call, &large);
	assert_int_equal(answer.status, HTTP_NOT_FOUND);
	json = json_loadb(answer.text, answer.length, 0, &mistake);
	assert_non_null(json);
	expect_text(json, "error", expected);
	expect_text(json, "reason", "unknown");
	json_decref(json);
	answer_done(&answer);
}

static void a_name_that_nobody_has_is_refused(void **state)
{
	struct scene *scene = *state;
	json_t *answer;

	expect_refusal(scene, "/v1/sessions", (struct query){"listener", "x"},
		"there is no listener \"x\"; there is \"web\"");
	expect_refusal(scene, "/v1/sessions", (struct query){"pool", "wbe"},
		"there is no pool \"wbe\"; did you mean \"web\"?");
	expect_refusal(scene, "/v1/backends", (struct query){"backend", "mail/10.0.0.2:8080"},
		"there is no backend \"mail/10.0.0.2:8080\"; did you mean "
		"\"mail/10.0.0.1:8080\"?");
	expect_refusal(scene, "/v1/backends", (struct query){"backend", "web/10.0.0.3:8080"},
		"there is no backend \"web/10.0.0.3:8080\"; did you mean "
		"\"web/10.0.0.1:8080\"?"); /* no longer configured */
	COUNT(scene->shm, slot, 0, 2, started, 1);
	answer = ask(scene, "/v1/backends", "backend", "web/10.0.0.3:8080");
	expect_text(at(answer, "backends", 0), "state", "removed");
	json_decref(answer);
	answer = ask(scene, "/v1/sessions", "pool", "mail");
	expect_number(answer, "shown", 0);
	json_decref(answer);
}

/* What the linker puts in the place of suggest_consider(): see meson.build. */
void __wrap_suggest_consider(struct suggest *suggest, const char *candidate);
void __real_suggest_consider(struct suggest *suggest, const char *candidate);

static unsigned considered;

void __wrap_suggest_consider(struct suggest *suggest, const char *candidate)
{
	considered++;
	__real_suggest_consider(suggest, candidate);
}

static void a_name_that_there_is_costs_no_search_for_a_near_one(void **state)
{
	struct scene *scene = *state;

	considered = 0;
	json_decref(ask(scene, "/v1/sessions", "listener", "web"));
	json_decref(ask(scene, "/v1/sessions", "pool", "mail"));
	json_decref(ask(scene, "/v1/backends", "backend", "mail/10.0.0.1:8080"));
	json_decref(ask(scene, "/v1/backends", "backend", "10.0.0.1:8080"));
	assert_int_equal(considered, 0);
	expect_refusal(scene, "/v1/sessions", (struct query){"pool", "mial"},
		"there is no pool \"mial\"; did you mean \"mail\"?");
	assert_true(considered > 0);
}

static struct answer post(const struct scene *scene, const char *path, const char *wait)
{
	struct http_call call = {.method = "POST", .path = path, .ticket = 77};
	bool large;

	if (wait != NULL) {
		call.query_count = 1;
		call.query[0] = (struct query){"wait", wait};
	}
	return route_call(&scene->site, &call, &large);
}

static void a_change_is_a_request_to_control(void **state)
{
	struct scene *scene = *state;
	struct request_box *box = scene->api.requests;
	struct request request;
	struct answer answer = post(scene, "/v1/reload", NULL);

	assert_int_equal(answer.status, HTTP_ACCEPTED);
	assert_memory_equal(answer.text, "{\"accepted\":true}\n", answer.length);
	answer_done(&answer);
	assert_true(request_take(box, &request));
	assert_int_equal(request.kind, REQUEST_RELOAD);
	assert_int_equal(request.ticket, 0); /* nobody waits */
	answer = post(scene, "/v1/reload", "true");
	assert_int_equal(answer.status, HTTP_LATER);
	assert_true(request_take(box, &request));
	assert_int_equal(request.ticket, 77);
	answer = post(scene, "/v1/upgrade", NULL);
	assert_int_equal(answer.status, HTTP_LATER);
	assert_true(request_take(box, &request));
	assert_int_equal(request.kind, REQUEST_UPGRADE);
	assert_int_equal(request.ticket, 77);
	answer = post(scene, "/v1/reload", "maybe");
	assert_int_equal(answer.status, HTTP_BAD_REQUEST);
	answer_done(&answer);
	assert_false(request_take(box, &request));
}

static void too_many_requests_are_refused(void **state)
{
	struct scene *scene = *state;
	struct answer answer;

	for (int i = 0; i < REQUESTS_MAX; i++) {
		answer = post(scene, "/v1/reload", "false");
		assert_int_equal(answer.status, HTTP_ACCEPTED);
		answer_done(&answer);
	}
	answer = post(scene, "/v1/reload", "true");
	assert_int_equal(answer.status, HTTP_UNAVAILABLE);
	answer_done(&answer);
}

int main(void)
{
#define IN_SCENE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		IN_SCENE(status_is_that_of_the_whole_process),
		IN_SCENE(before_the_first_snapshot_there_is_less_to_tell),
		IN_SCENE(backends_come_in_the_order_of_the_configuration),
		IN_SCENE(a_removed_backend_is_shown_while_it_has_sessions),
		IN_SCENE(the_last_change_says_since_when_and_why),
		IN_SCENE(sessions_are_listed_over_all_workers),
		IN_SCENE(what_is_not_live_or_not_whole_is_not_listed),
		IN_SCENE(a_limit_is_a_number),
		IN_SCENE(a_name_that_nobody_has_is_refused),
		IN_SCENE(a_name_that_there_is_costs_no_search_for_a_near_one),
		IN_SCENE(a_change_is_a_request_to_control),
		IN_SCENE(too_many_requests_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
