/*
 * The loop of control with real listening sockets; a thread of the test plays the workers, and a
 * text of the test is the file. Signals come through a pipe, as in control_test.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "config/print.h"
#include "control/control_internal.h"
#include "control/sockets.h"
#include "control/testing.h"
#include "model/snapshot.h"
#include "os/clock.h"

enum { PATIENCE_MS = 10000 };

struct world {
	struct config *config;
	struct shm shm;
	struct snapshot_store store;
	struct control *control;
	pthread_t control_thread;
	pthread_t worker_thread;
	int wake_fd;
	int worker_fds[TEST_WORKERS];
	int signals[2];
	const char *file; /* what the next load finds */
	_Atomic uint32_t prepared;
	_Atomic uint32_t committed;
	_Atomic uint32_t abandoned;
	_Atomic bool refuse_prepare;
	_Atomic uint32_t commands[COMMAND_KIND_COUNT]; /* seen by worker 0 */
	_Atomic bool leaving;
};

static void ignore_line(enum log_level level, const char *line, size_t length, void *context)
{
	(void)level;
	(void)line;
	(void)length;
	(void)context;
}

static void nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Others may run this test at the same time: the names of the sockets hold our process id. */
static char *with_pid(const char *text)
{
	char *copy = NULL;
	size_t length;
	FILE *file = open_memstream(&copy, &length);
	const char *place;

	while ((place = strstr(text, "PID")) != NULL) {
		(void)fprintf(file, "%.*s%d", (int)(place - text), text, (int)getpid());
		text = place + 3;
	}
	(void)fputs(text, file);
	(void)fclose(file);
	return copy;
}

static void load(void *context, struct control_loaded *ret_loaded)
{
	struct world *world = context;
	struct diag *diag = diag_create();
	char *text = with_pid(world->file);
	FILE *file;
	size_t length;

	ret_loaded->config = config_load_text(text, strlen(text), "file", diag);
	free(text);
	file = open_memstream(&ret_loaded->problem_lines, &length);
	diag_print_lines(diag, file);
	(void)fclose(file);
	if (ret_loaded->config != NULL) {
		file = open_memstream(&ret_loaded->text, &ret_loaded->text_length);
		config_print(ret_loaded->config, file);
		(void)fclose(file);
	}
	diag_free(diag);
}

static int prepare(void *context, const struct config *next, struct error *err)
{
	struct world *world = context;

	(void)next;
	atomic_fetch_add(&world->prepared, 1);
	return atomic_load(&world->refuse_prepare) ? error_say(err, EADDRINUSE, "not this one") : 0;
}

static void commit(void *context, const struct config *next)
{
	(void)next;
	atomic_fetch_add(&((struct world *)context)->committed, 1);
}

static void abandon(void *context)
{
	atomic_fetch_add(&((struct world *)context)->abandoned, 1);
}

/* Sockets without clients: what is retired can be closed at once. */
static void close_retired(struct world *world, uint32_t worker, bool all)
{
	for (uint32_t i = 0; i < shm_listen_limit(&world->shm); i++) {
		struct listen_record *record = shm_listen_record(&world->shm, worker, i);

		if (listen_record_is_live(record) &&
			(all || (listen_record_flags(record) & LISTEN_RETIRED) != 0)) {
			(void)close(record->fd);
			listen_record_set_state(record, LISTEN_FREE);
		}
	}
}

static void obey(struct world *world, uint32_t worker, const struct command *command)
{
	struct worker_state *state = &world->shm.worker_states[worker];

	if (worker == 0) {
		atomic_fetch_add(&world->commands[command->kind], 1);
	}
	if (command->kind == COMMAND_LISTENERS) {
		close_retired(world, worker, false);
	} else if (command->kind == COMMAND_STOP_ACCEPTING) {
		close_retired(world, worker, true);
		atomic_store(&state->listeners_open, 0);
	} else if (command->kind == COMMAND_EXIT) {
		atomic_store(&state->stopped, 1);
	}
}

static void *play_workers(void *argument)
{
	struct world *world = argument;
	struct command command;

	while (!atomic_load(&world->leaving)) {
		for (uint32_t i = 0; i < TEST_WORKERS; i++) {
			while (command_pop(&world->shm.commands[i], &command)) {
				obey(world, i, &command);
			}
		}
		nap();
	}
	return NULL;
}

static void *run(void *argument)
{
	(void)control_run(((struct world *)argument)->control);
	return NULL;
}

/* All but the threads. */
static void set_up(struct world *world, const char *text)
{
	struct error err;
	char *own;

	memset(world, 0, sizeof *world);
	log_set_up(LOG_ERROR, LOG_FORMAT_TEXT, ignore_line, NULL);
	own = with_pid(text);
	world->config = test_config(own);
	free(own);
	assert_int_equal(shm_create(TEST_WORKERS, 16, &world->shm, NULL), 0);
	snapshot_store_init(&world->store);
	if (sockets_open(world->config, &world->shm, &err) < 0) {
		fail_msg("%s", err.text);
	}
	world->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (int i = 0; i < TEST_WORKERS; i++) {
		world->worker_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		atomic_store(&world->shm.worker_states[i].listeners_open, 1);
	}
	assert_int_equal(pipe2(world->signals, O_NONBLOCK | O_CLOEXEC), 0);

	const struct control_setup setup = {
		.shm = &world->shm,
		.store = &world->store,
		.config = world->config,
		.wake_fd = world->wake_fd,
		.worker_fds = world->worker_fds,
		.signal_fd = world->signals[0],
		.seed = 1,
		.load = load,
		.prepare = prepare,
		.commit = commit,
		.abandon = abandon,
		.context = world,
	};

	assert_int_equal(control_create(&setup, &world->control, &err), 0);
}

static void begin(struct world *world, const char *text)
{
	set_up(world, text);
	assert_int_equal(pthread_create(&world->control_thread, NULL, run, world), 0);
	assert_int_equal(pthread_create(&world->worker_thread, NULL, play_workers, world), 0);
}

static void send_signal(struct world *world, int number)
{
	const struct signalfd_siginfo info = {.ssi_signo = (uint32_t)number};

	assert_int_equal(write(world->signals[1], &info, sizeof info), sizeof info);
}

static void tear_down(struct world *world)
{
	struct config *config = control_take_config(world->control);

	control_free(world->control);
	config_free(config);
	snapshot_store_done(&world->store);
	sockets_close(&world->shm);
	shm_destroy(&world->shm);
	config_free(world->config);
	(void)close(world->wake_fd);
	for (int i = 0; i < TEST_WORKERS; i++) {
		(void)close(world->worker_fds[i]);
	}
	(void)close(world->signals[0]);
	(void)close(world->signals[1]);
}

static void end(struct world *world)
{
	send_signal(world, SIGTERM);
	assert_int_equal(pthread_join(world->control_thread, NULL), 0);
	atomic_store(&world->leaving, true);
	assert_int_equal(pthread_join(world->worker_thread, NULL), 0);
	tear_down(world);
}

/* Whether there has been an event of that kind since; the last one. */
static bool find_event(
	struct world *world, uint64_t since, enum event_kind kind, struct event *ret_event)
{
	for (uint64_t i = atomic_load(&world->shm.events->last); i > since; i--) {
		if (event_read(world->shm.events, i, ret_event) && ret_event->kind == kind) {
			return true;
		}
	}
	return false;
}

/* Reloads this text; returns the event that tells how it ended. */
static struct event reload(struct world *world, const char *text)
{
	const uint64_t since = atomic_load(&world->shm.events->last);
	struct event event;

	world->file = text;
	send_signal(world, SIGHUP);
	for (int i = 0; i < PATIENCE_MS; i++) {
		if (find_event(world, since, EVENT_CONFIG_LOADED, &event) ||
			find_event(world, since, EVENT_CONFIG_REFUSED, &event)) {
			return event;
		}
		nap();
	}
	fail_msg("the reload has not ended");
	return (struct event){.number = 0};
}

static const struct process_state *process_of(const struct world *world)
{
	return &world->shm.header->process;
}

static uint32_t live_sockets(const struct world *world)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < shm_listen_limit(&world->shm); i++) {
		count += listen_record_is_live(shm_listen_record(&world->shm, 0, i)) ? 1 : 0;
	}
	return count;
}

static void wait_for_sockets(const struct world *world, uint32_t count)
{
	for (int i = 0; i < PATIENCE_MS && live_sockets(world) != count; i++) {
		nap();
	}
	assert_int_equal(live_sockets(world), count);
}

#define IN(pool) \
	"[[listeners]]\nname = 'in'\naddress = 'unix:@loble-reload-PID-1'\npool = '" pool "'\n"
#define MORE "[[listeners]]\nname = 'more'\naddress = 'unix:@loble-reload-PID-2'\npool = 'a'\n"
#define A    "[pools.a]\n[[pools.a.backends]]\nname = 'x'\naddress = '127.0.0.1:1'\n"
#define B    "[pools.b]\n[[pools.b.backends]]\nname = 'x'\naddress = '127.0.0.1:2'\n"
#define FAST "[timeouts]\nconnect_total = '1ms'\n"

static void a_configuration_is_applied_as_a_whole(void **state)
{
	struct world world;
	struct event event;
	size_t length;

	(void)state;
	begin(&world, IN("a") A);
	event = reload(&world, IN("a") MORE A "weight = 9\n" B);
	assert_int_equal(event.kind, EVENT_CONFIG_LOADED);
	assert_string_equal(event.detail, "listeners +1 -0 ~0, pools +1 -0 ~0, backends +1 -0 ~1");
	assert_int_equal(event.cause, CAUSE_SIGNAL);
	assert_int_equal(event.generation, 2);
	assert_int_equal(counter_get(&process_of(&world)->config_generation), 2);
	assert_int_equal(atomic_load(&process_of(&world)->reload_successful), 1);
	assert_int_equal(atomic_load(&world.shm.slots[0].weight), 9);
	assert_int_equal(atomic_load(&world.shm.slots[1].health), HEALTH_HEALTHY);
	assert_int_equal(atomic_load(&world.shm.listeners[1].open), 1);
	assert_int_equal(live_sockets(&world), 2);
	assert_int_equal(atomic_load(&world.committed), 1);
	assert_non_null(strstr(config_text_load(world.shm.config_text, &length), "weight = 9"));
	event = reload(&world, IN("a") A);
	assert_string_equal(event.detail, "listeners +0 -1 ~0, pools +0 -1 ~0, backends +0 -1 ~1");
	wait_for_sockets(&world, 1);
	assert_int_equal(atomic_load(&world.shm.listeners[1].open), 0);
	end(&world);
}

static void what_cannot_be_used_changes_nothing(void **state)
{
	struct world world;
	struct event event;
	size_t length;

	(void)state;
	begin(&world, IN("a") A);
	event = reload(&world, IN("a") MORE A "wait = 9\n");
	assert_int_equal(event.kind, EVENT_CONFIG_REFUSED);
	assert_non_null(strstr(event.detail, "file:13:1: error: unknown key 'wait'"));
	event = reload(&world, IN("a") MORE A "[server]\nworkers = 7\n");
	assert_non_null(strstr(event.detail, "7) takes a restart"));
	atomic_store(&world.refuse_prepare, true);
	event = reload(&world, IN("a") MORE A);
	assert_string_equal(event.detail, "not this one");
	assert_int_equal(live_sockets(&world), 1);
	assert_int_equal(atomic_load(&world.committed), 0);
	assert_int_equal(atomic_load(&world.abandoned), 0);
	assert_int_equal(atomic_load(&process_of(&world)->reload_successful), 0);
	assert_int_equal(counter_get(&process_of(&world)->config_generation), 1);
	assert_int_equal(counter_get(&process_of(&world)->snapshot_version), 1);
	assert_null(config_text_load(world.shm.config_text, &length));
	event = reload(&world, IN("a") A);
	assert_string_equal(event.detail, "nothing has changed");
	assert_int_equal(atomic_load(&process_of(&world)->reload_successful), 1);
	assert_int_equal(counter_get(&process_of(&world)->snapshot_version), 1);
	end(&world);
}

/* Sessions that are on their way to a backend go on with what a reload has taken out. */
static void what_is_lost_is_kept_for_a_while(void **state)
{
	struct world world;
	struct event event;

	(void)state;
	begin(&world, IN("a") MORE A FAST);
	event = reload(&world, IN("b") B FAST);
	assert_string_equal(event.detail, "listeners +0 -1 ~1, pools +1 -1 ~0, backends +1 -1 ~0");
	assert_int_equal(atomic_load(&world.shm.slots[0].health), HEALTH_HEALTHY);
	for (int i = 0; i < PATIENCE_MS; i++) {
		if (atomic_load(&world.shm.slots[0].health) == HEALTH_UNSET) {
			break;
		}
		nap();
	}
	assert_int_equal(atomic_load(&world.shm.slots[0].health), HEALTH_UNSET);
	assert_int_equal(atomic_load(&world.shm.slots[1].health), HEALTH_HEALTHY);
	assert_int_equal(counter_get(&process_of(&world)->config_generation), 2);
	event = reload(&world, IN("a") A FAST);
	assert_int_equal(event.kind, EVENT_CONFIG_LOADED);
	end(&world);
}

static void many_in_a_row_leave_nothing(void **state)
{
	struct world world;

	(void)state;
	begin(&world, IN("a") A);
	for (int i = 0; i < 50; i++) {
		const struct event event =
			reload(&world, i % 2 == 0 ? IN("b") MORE A B : IN("a") A);

		assert_int_equal(event.kind, EVENT_CONFIG_LOADED);
		assert_int_equal(event.generation, i + 2);
	}
	wait_for_sockets(&world, 1);
	assert_true(shm_listen_limit(&world.shm) <= 4);
	assert_int_equal(atomic_load(&world.committed), 50);
	end(&world);
}

static void signals_that_come_together_are_all_heard(void **state)
{
	struct world world;

	(void)state;
	begin(&world, IN("a") A);
	world.file = IN("a") A "weight = 7\n";
	for (int i = 0; i < 20; i++) {
		send_signal(&world, SIGHUP);
	}
	for (int i = 0; i < PATIENCE_MS && atomic_load(&world.shm.slots[0].weight) != 7; i++) {
		nap();
	}
	assert_int_equal(atomic_load(&world.shm.slots[0].weight), 7);
	end(&world);
}

static void another_timeout_is_a_reason_to_look_at_the_sessions(void **state)
{
	struct world world;

	(void)state;
	begin(&world, IN("a") A);
	(void)reload(&world, IN("a") A "weight = 7\n");
	assert_int_equal(atomic_load(&world.commands[COMMAND_REVIEW]), 0);
	(void)reload(&world, IN("a") A "[timeouts]\nidle = '5s'\n");
	for (int i = 0; i < PATIENCE_MS && atomic_load(&world.commands[COMMAND_REVIEW]) == 0; i++) {
		nap();
	}
	assert_int_equal(atomic_load(&world.commands[COMMAND_REVIEW]), 1);
	assert_int_equal(counter_get(&world.shm.listeners[0].idle_ns), 5000000000);
	end(&world);
}

#define TWO_B B "[[pools.b.backends]]\nname = 'y'\naddress = 'unix:@loble-reload-PID-1'\n"
#define HEARD "[pools.a]\n[[pools.a.backends]]\nname = 'x'\naddress = 'unix:@loble-reload-PID-1'\n"

static void reload_now(struct world *world, const char *file)
{
	world->file = file;
	reload_request(world->control, CAUSE_SIGNAL);
	for (int i = 0; i < PATIENCE_MS && world->control->reload.stage != RELOAD_IDLE; i++) {
		reload_step(world->control, clock_monotonic_ns());
		nap();
	}
	assert_int_equal(world->control->reload.stage, RELOAD_IDLE);
}

/*
 * Without threads, for what depends on the order within a turn: pool a has just been replaced by
 * b, whose backends are 0 and 1, and is kept as backend 2. Returns until when.
 */
static uint64_t replace_pool(struct world *world)
{
	set_up(world, IN("a") HEARD);
	reload_now(world, IN("b") TWO_B);
	for (uint32_t i = 0; i < TEST_WORKERS; i++) {
		close_retired(world, i, false);
	}
	assert_int_equal(world->control->roster->registry.backend_count, 3);
	assert_true(world->control->reload.kept.until_ns != UINT64_MAX);
	return world->control->reload.kept.until_ns;
}

static void fail_probes(struct registry *registry, uint32_t backend, uint64_t now_ns)
{
	const struct observation failure = {.signal = SIGNAL_PROBE_FAILURE,
		.cause = CAUSE_PROBE,
		.reason = "refused",
		.now_ns = now_ns,
		.started_ns = now_ns};

	for (uint32_t i = 0; i < 3; i++) {
		registry_feed(registry, backend, &failure);
	}
}

static void who_was_just_ejected_has_its_grace_period_first(void **state)
{
	struct world world;
	struct control *control;
	struct registry *registry;
	uint64_t until_ns;

	(void)state;
	until_ns = replace_pool(&world);
	control = world.control;
	registry = &control->roster->registry;
	fail_probes(registry, 0, until_ns);
	assert_int_equal(registry->ungraced_count, 1);
	reload_step(control, until_ns);
	assert_int_equal(registry->backend_count, 3);
	control_publish(control, until_ns);
	assert_int_equal(registry->ungraced_count, 0);
	until_ns = reload_next_ns(control, until_ns);
	reload_step(control, until_ns);
	assert_int_equal(registry->backend_count, 2);
	assert_int_equal(reload_next_ns(control, until_ns), UINT64_MAX);
	tear_down(&world);
}

#define CLOSING "[pools.a]\non_unhealthy = 'close'\n[[pools.a.backends]]\naddress = '[::1]:1'\n"

/* A backend fails in the very turn in which a reload is applied. */
static void who_has_just_failed_is_cut_in_spite_of_a_reload(void **state)
{
	struct world world;
	struct command command = {.kind = COMMAND_KIND_COUNT};

	(void)state;
	set_up(&world, IN("a") CLOSING);
	fail_probes(&world.control->roster->registry, 0, clock_monotonic_ns());
	reload_now(&world, IN("a") CLOSING "weight = 2\n");
	assert_int_equal(world.control->roster->registry.generation, 2);
	while (command.kind != COMMAND_CUT_SLOT) {
		assert_true(command_pop(&world.shm.commands[0], &command));
	}
	tear_down(&world);
}

static void what_is_dropped_leaves_its_places_to_the_probes_of_others(void **state)
{
	struct world world;
	struct roster *roster;
	struct probe *probes;
	uint64_t until_ns;

	(void)state;
	until_ns = replace_pool(&world);
	roster = world.control->roster;
	probes = roster->probes;
	roster->prober.active = PROBES_AT_ONCE - 1; /* others, that never end */
	for (uint32_t i = 2; i > 0; i--) {
		probe_at_once(&roster->prober, &probes[i], until_ns);
		probe_on_timer(&roster->prober, &probes[i], until_ns);
	}
	assert_int_equal(probes[2].state, PROBE_CONNECTING);
	assert_int_equal(probes[1].state, PROBE_QUEUED);
	reload_step(world.control, until_ns);
	assert_int_equal(roster->registry.backend_count, 2);
	assert_int_equal(probes[2].state, PROBE_OFF);
	assert_int_equal(probes[1].state, PROBE_CONNECTING);
	assert_int_equal(roster->prober.active, PROBES_AT_ONCE);
	tear_down(&world);
}

/* A name server that is late: else its answer would wake control until the sockets are there. */
static void an_answer_is_heard_while_the_sockets_are_waited_for(void **state)
{
	struct config *next = test_config("[listener]\naddress = ':1'\n"
					  "[[backends]]\naddress = 'localhost:1'\n");
	struct world world;
	struct lookup *lookup;

	(void)state;
	set_up(&world, IN("a") A);
	lookup = &world.control->reload.lookup;
	world.control->reload.stage = RELOAD_SOCKETS;
	assert_int_equal(lookup_create(next, lookup, NULL), 0);
	lookup_ask(lookup, NULL);
	resolver_wait(lookup->resolver, PATIENCE_MS);
	control_on_answers(world.control, clock_monotonic_ns());
	assert_int_equal(lookup->open, 0);
	assert_true(lookup->answered[0]);
	world.control->reload.stage = RELOAD_IDLE;
	tear_down(&world);
	config_free(next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_configuration_is_applied_as_a_whole),
		cmocka_unit_test(what_cannot_be_used_changes_nothing),
		cmocka_unit_test(what_is_lost_is_kept_for_a_while),
		cmocka_unit_test(many_in_a_row_leave_nothing),
		cmocka_unit_test(signals_that_come_together_are_all_heard),
		cmocka_unit_test(another_timeout_is_a_reason_to_look_at_the_sessions),
		cmocka_unit_test(who_was_just_ejected_has_its_grace_period_first),
		cmocka_unit_test(who_has_just_failed_is_cut_in_spite_of_a_reload),
		cmocka_unit_test(what_is_dropped_leaves_its_places_to_the_probes_of_others),
		cmocka_unit_test(an_answer_is_heard_while_the_sockets_are_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
