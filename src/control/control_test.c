/*
 * The whole loop, with real sockets on loopback and a thread that plays the worker. Signals come
 * through a pipe in the form in which a signalfd gives them.
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
#include "control/control.h"
#include "control/testing.h"
#include "model/snapshot.h"
#include "os/clock.h"

static const uint64_t MS = 1000000;
enum { PATIENCE_MS = 10000 };

struct world {
	struct config *config;
	struct shm shm;
	struct snapshot_store store;
	struct control *control;
	pthread_t control_thread;
	uint64_t cut; /* what control_run() returned */
	int wake_fd;
	int worker_fds[TEST_WORKERS];
	int signals[2];
	int listener;
	_Atomic uint32_t reopened;
	uint32_t commands[COMMAND_KIND_COUNT]; /* seen by worker 0 */
};

static void ignore_line(enum log_level level, const char *line, size_t length, void *context)
{
	(void)level;
	(void)line;
	(void)length;
	(void)context;
}

static void reopen(void *context)
{
	struct world *world = context;

	atomic_fetch_add(&world->reopened, 1);
}

static uint16_t listen_somewhere(int *ret_fd)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;

	*ret_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, length), 0);
	assert_int_equal(listen(*ret_fd, 64), 0);
	assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&address, &length), 0);
	return ntohs(address.sin_port);
}

static void *run(void *argument)
{
	struct world *world = argument;

	world->cut = control_run(world->control);
	return NULL;
}

/* Puts the port where the text says PORT. */
static void fill_in_port(char *text, uint16_t port)
{
	char digits[8];
	char *place;

	(void)snprintf(digits, sizeof digits, "%u", port);
	while ((place = strstr(text, "PORT")) != NULL) {
		memmove(place + strlen(digits), place + 4, strlen(place + 4) + 1);
		memcpy(place, digits, strlen(digits));
	}
}

static int create(struct world *world, struct error *err)
{
	const struct control_setup setup = {
		.shm = &world->shm,
		.store = &world->store,
		.config = world->config,
		.wake_fd = world->wake_fd,
		.worker_fds = world->worker_fds,
		.signal_fd = world->signals[0],
		.seed = 1,
		.reopen_logs = reopen,
		.context = world,
	};

	return control_create(&setup, &world->control, err);
}

/* All but the thread of control. Returns what control_create() does. */
static int prepare(struct world *world, const char *configuration, struct error *err)
{
	char text[1024];

	memset(world, 0, sizeof *world);
	log_set_up(LOG_ERROR, LOG_FORMAT_TEXT, ignore_line, NULL);
	(void)snprintf(text, sizeof text, "%s", configuration);
	fill_in_port(text, listen_somewhere(&world->listener));
	world->config = test_config(text);
	assert_int_equal(shm_create(TEST_WORKERS, 16, &world->shm, NULL), 0);
	snapshot_store_init(&world->store);
	world->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	for (int i = 0; i < TEST_WORKERS; i++) {
		world->worker_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		atomic_store(&world->shm.worker_states[i].listeners_open, 1);
	}
	assert_int_equal(pipe2(world->signals, O_NONBLOCK | O_CLOEXEC), 0);
	return create(world, err);
}

static void begin(struct world *world, const char *configuration)
{
	struct error err;

	assert_int_equal(prepare(world, configuration, &err), 0);
	assert_non_null(snapshot_current(&world->store));
	assert_int_equal(pthread_create(&world->control_thread, NULL, run, world), 0);
}

static void end(struct world *world)
{
	control_free(world->control);
	snapshot_store_done(&world->store);
	shm_destroy(&world->shm);
	config_free(world->config);
	(void)close(world->wake_fd);
	for (int i = 0; i < TEST_WORKERS; i++) {
		(void)close(world->worker_fds[i]);
	}
	(void)close(world->signals[0]);
	(void)close(world->signals[1]);
	(void)close(world->listener);
}

static void send_signal(struct world *world, int number)
{
	const struct signalfd_siginfo info = {.ssi_signo = (uint32_t)number};

	assert_int_equal(write(world->signals[1], &info, sizeof info), sizeof info);
}

static void report_failures(struct world *world, uint32_t slot, int count)
{
	const struct evidence evidence = {
		.kind = EVIDENCE_FAILURE,
		.reason = FAILURE_REFUSED,
		.slot = slot,
		.generation = 1,
		.started_ns = clock_monotonic_ns(),
	};

	for (int i = 0; i < count; i++) {
		assert_true(evidence_push(&world->shm.evidence[0], &evidence));
	}
	assert_int_equal(eventfd_write(world->wake_fd, 1), 0);
}

static void nap(void)
{
	(void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void wait_for(const _Atomic uint32_t *place, uint32_t value)
{
	for (int i = 0; i < PATIENCE_MS && atomic_load(place) != value; i++) {
		nap();
	}
	assert_int_equal(atomic_load(place), value);
}

/* What both workers do: closes its listener and leaves when it is told to. */
static void obey(struct world *world, bool *ret_exit)
{
	struct command command;

	for (int i = 0; i < TEST_WORKERS; i++) {
		struct worker_state *state = &world->shm.worker_states[i];

		while (command_pop(&world->shm.commands[i], &command)) {
			world->commands[command.kind] += i == 0 ? 1 : 0;
			if (command.kind == COMMAND_STOP_ACCEPTING) {
				atomic_store(&state->listeners_open, 0);
			} else if (command.kind == COMMAND_CUT_ALL) {
				counter_set(&state->sessions, 0);
			} else if (command.kind == COMMAND_EXIT) {
				atomic_store(&state->stopped, 1);
				*ret_exit = true;
			}
		}
	}
}

/* Returns the milliseconds until control_run() was over. */
static uint64_t obey_until_the_end(struct world *world)
{
	const uint64_t begun_ns = clock_monotonic_ns();
	bool left = false;

	for (int i = 0; i < PATIENCE_MS && !left; i++) {
		obey(world, &left);
		nap();
	}
	assert_true(left);
	assert_int_equal(pthread_join(world->control_thread, NULL), 0);
	return (clock_monotonic_ns() - begun_ns) / MS;
}

static struct slot *slot_at(struct world *world, int index)
{
	return &world->shm.slots[index];
}

static const char two[] = "[listener]\n"
			  "address = \"127.0.0.1:9000\"\n"
			  "[balancer]\n"
			  "on_unhealthy = \"close\"\n"
			  "[health]\n"
			  "probe_interval = \"100ms\"\n"
			  "[timeouts]\n"
			  "drain = \"300ms\"\n"
			  "[[backends]]\n"
			  "name = \"a\"\n"
			  "address = \"127.0.0.1:PORT\"\n"
			  "[[backends]]\n"
			  "name = \"b\"\n"
			  "address = \"127.0.0.2:PORT\"\n";

static void a_failed_backend_goes_and_comes_back(void **state)
{
	struct world world;
	const struct process_state *process;

	(void)state;
	begin(&world, two);
	process = &world.shm.header->process;
	wait_for(&process->phase, PHASE_RUNNING);
	assert_int_equal(counter_get(&process->snapshot_version), 1);
	assert_int_equal(atomic_load(&world.shm.listeners[0].open), 1);
	report_failures(&world, 0, 3);
	wait_for(&slot_at(&world, 0)->health, HEALTH_UNHEALTHY);
	wait_for(&slot_at(&world, 0)->health, HEALTH_HEALTHY);
	assert_int_equal(
		counter_get(&slot_at(&world, 0)->transitions[HEALTH_HEALTHY][HEALTH_UNHEALTHY]), 1);
	assert_int_equal(
		counter_get(&slot_at(&world, 0)->transitions[HEALTH_UNHEALTHY][HEALTH_HEALTHY]), 1);
	assert_true(counter_get(&slot_at(&world, 0)->checks[CHECK_SUCCESS]) >= 2);
	send_signal(&world, SIGTERM);
	(void)obey_until_the_end(&world);
	assert_int_equal(world.cut, 0);
	assert_int_equal(counter_get(&process->snapshot_version), 3);
	assert_int_equal(world.commands[COMMAND_CUT_SLOT], 1);
	assert_int_equal(world.commands[COMMAND_STOP_ACCEPTING], 1);
	assert_int_equal(world.commands[COMMAND_CUT_ALL], 0);
	assert_int_equal(atomic_load(&process->phase), PHASE_STOPPED);
	assert_int_equal(atomic_load(&world.shm.listeners[0].open), 0);
	end(&world);
}

/* The process died between a backend's failure and the cut of its sessions. */
static void a_successor_cuts_what_was_to_be_cut(void **state)
{
	struct world world;
	struct command command;
	struct error err;

	(void)state;
	assert_int_equal(prepare(&world, two, &err), 0);
	for (uint32_t slot = 0; slot < 2; slot++) {
		counter_set(&shm_slot_counters(&world.shm, 0, slot)->started, 1);
	}
	atomic_store(&slot_at(&world, 0)->health, HEALTH_DRAINING);
	atomic_store(&slot_at(&world, 1)->health, HEALTH_UNHEALTHY); /* it was told before */
	control_free(world.control);
	snapshot_store_done(&world.store);
	snapshot_store_init(&world.store);
	assert_int_equal(create(&world, &err), 0);
	assert_true(command_pop(&world.shm.commands[0], &command));
	assert_int_equal(command.kind, COMMAND_CUT_SLOT);
	assert_int_equal(command.argument, 0);
	assert_false(command_pop(&world.shm.commands[0], &command));
	end(&world);
}

static void the_last_backend_goes_only_when_a_probe_fails(void **state)
{
	struct world world;

	(void)state;
	begin(&world, two);
	wait_for(&world.shm.header->process.phase, PHASE_RUNNING);
	report_failures(&world, 1, 3);
	wait_for(&slot_at(&world, 1)->health, HEALTH_UNHEALTHY);
	report_failures(&world, 0, 3); /* but it accepts */
	for (int i = 0;
		i < PATIENCE_MS && counter_get(&slot_at(&world, 0)->checks[CHECK_SUCCESS]) == 0;
		i++) {
		nap();
	}
	assert_int_equal(counter_get(&slot_at(&world, 0)->checks[CHECK_SUCCESS]), 1);
	assert_int_equal(atomic_load(&slot_at(&world, 0)->health), HEALTH_HEALTHY);
	(void)close(world.listener);
	(void)nanosleep(&(struct timespec){.tv_nsec = 150 * 1000000}, NULL);
	report_failures(&world, 0, 3);
	wait_for(&slot_at(&world, 0)->health, HEALTH_UNHEALTHY);
	assert_true(counter_get(&slot_at(&world, 0)->checks[CHECK_REFUSED]) >= 1);
	world.listener = dup(world.wake_fd); /* for end() */
	send_signal(&world, SIGTERM);
	(void)obey_until_the_end(&world);
	end(&world);
}

static void the_deadline_of_the_stop_cuts_and_counts(void **state)
{
	struct world world;
	uint64_t took_ms;

	(void)state;
	begin(&world, two);
	counter_set(&world.shm.worker_states[1].sessions, 7);
	send_signal(&world, SIGINT);
	took_ms = obey_until_the_end(&world);
	assert_int_equal(world.cut, 7);
	assert_int_equal(world.commands[COMMAND_CUT_ALL], 1);
	assert_true(took_ms >= 290);
	end(&world);
}

static void a_second_signal_does_not_wait(void **state)
{
	struct world world;

	(void)state;
	begin(&world, two);
	counter_set(&world.shm.worker_states[0].sessions, 1);
	send_signal(&world, SIGTERM);
	send_signal(&world, SIGTERM);
	assert_true(obey_until_the_end(&world) < 290);
	assert_int_equal(world.cut, 1);
	end(&world);
}

static void other_signals_change_nothing(void **state)
{
	struct world world;
	uint64_t version;

	(void)state;
	begin(&world, two);
	wait_for(&world.shm.header->process.phase, PHASE_RUNNING);
	version = counter_get(&world.shm.header->process.snapshot_version);
	send_signal(&world, SIGHUP);
	send_signal(&world, SIGUSR2);
	send_signal(&world, SIGUSR1);
	wait_for(&world.reopened, 1);
	assert_int_equal(counter_get(&world.shm.header->process.snapshot_version), version);
	assert_int_equal(atomic_load(&world.shm.header->process.phase), PHASE_RUNNING);
	send_signal(&world, SIGTERM);
	(void)obey_until_the_end(&world);
	end(&world);
}

static const char named[] = "[listener]\n"
			    "address = \"127.0.0.1:9000\"\n"
			    "[[backends]]\n"
			    "name = \"a\"\n"
			    "address = \"127.0.0.2:PORT\"\n"
			    "[[backends]]\n"
			    "name = \"b\"\n"
			    "address = \"localhost:PORT\"\n"
			    "[[backends]]\n"
			    "name = \"c\"\n"
			    "address = \"no.such.name.invalid:80\"\n";

static uint32_t count_events(const struct world *world, enum event_kind kind, const char *name)
{
	const uint64_t last = atomic_load(&world->shm.events->last);
	struct event event;
	uint32_t count = 0;

	for (uint64_t number = 1; number <= last; number++) {
		assert_true(event_read(world->shm.events, number, &event));
		count += event.kind == kind && strcmp(event.name, name) == 0 ? 1 : 0;
	}
	return count;
}

static void names_are_looked_up_before_the_first_snapshot(void **state)
{
	struct world world;

	(void)state;
	begin(&world, named);
	assert_int_equal(atomic_load(&slot_at(&world, 0)->health), HEALTH_HEALTHY);
	assert_int_equal(atomic_load(&slot_at(&world, 1)->health), HEALTH_HEALTHY);
	assert_int_equal(count_events(&world, EVENT_BACKEND_RESOLVED, "b"), 1);
	assert_int_equal(atomic_load(&slot_at(&world, 2)->health), HEALTH_UNHEALTHY);
	assert_int_equal(count_events(&world, EVENT_BACKEND_RESOLVED, "c"), 0);
	send_signal(&world, SIGTERM);
	(void)obey_until_the_end(&world);
	end(&world);
}

static const char twins[] = "[listener]\n"
			    "address = \"127.0.0.1:9000\"\n"
			    "[[backends]]\n"
			    "address = \"127.0.0.1:PORT\"\n"
			    "[[backends]]\n"
			    "address = \"[::1]:PORT\"\n"
			    "[[backends]]\n"
			    "address = \"localhost:PORT\"\n";

/* Whichever of the two localhost is here. */
static void one_address_under_two_names_is_an_error(void **state)
{
	struct world world;
	struct error err = {0};

	(void)state;
	assert_int_equal(prepare(&world, twins, &err), -EINVAL);
	assert_non_null(strstr(err.text, "localhost"));
	end(&world);
}

/* With all healthy and nothing to report the thread sleeps: no timer, no wake-up. */
static void nothing_to_do_is_nothing_done(void **state)
{
	struct world world;
	struct timespec before;
	struct timespec after;
	clockid_t clock;

	(void)state;
	begin(&world, two);
	wait_for(&world.shm.header->process.phase, PHASE_RUNNING);
	(void)nanosleep(&(struct timespec){.tv_nsec = 50 * 1000000}, NULL);
	assert_int_equal(pthread_getcpuclockid(world.control_thread, &clock), 0);
	assert_int_equal(clock_gettime(clock, &before), 0);
	(void)nanosleep(&(struct timespec){.tv_nsec = 500 * 1000000}, NULL);
	assert_int_equal(clock_gettime(clock, &after), 0);
	assert_int_equal(after.tv_sec, before.tv_sec);
	assert_int_equal(after.tv_nsec, before.tv_nsec);
	send_signal(&world, SIGTERM);
	(void)obey_until_the_end(&world);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_backend_goes_and_comes_back),
		cmocka_unit_test(a_successor_cuts_what_was_to_be_cut),
		cmocka_unit_test(the_last_backend_goes_only_when_a_probe_fails),
		cmocka_unit_test(the_deadline_of_the_stop_cuts_and_counts),
		cmocka_unit_test(a_second_signal_does_not_wait),
		cmocka_unit_test(other_signals_change_nothing),
		cmocka_unit_test(names_are_looked_up_before_the_first_snapshot),
		cmocka_unit_test(one_address_under_two_names_is_an_error),
		cmocka_unit_test(nothing_to_do_is_nothing_done),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
