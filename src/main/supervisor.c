#include "main/supervisor.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "config/config.h"
#include "config/diag.h"
#include "main/exit_code.h"
#include "main/lifecycle.h"
#include "main/running_config.h"
#include "main/supervisor_internal.h"
#include "main/takeover.h"
#include "model/shm.h"
#include "os/clock.h"
#include "os/notify.h"
#include "os/process.h"

enum {
	OOM_SCORE_LOWER = 500, /* the kernel is to end the worker process first */
	SIGNAL_BASE = 128,     /* what shells add to the number of a signal */
	LOADS_OF_DAMAGED = 3,  /* of a running configuration, before it is given up */
};

static const uint64_t S_NS = 1000000000;
static const uint64_t MS_NS = 1000000;
static const uint64_t STARTING_LOOK_NS = 5 * 1000000ULL;
static const uint64_t NEW_LIMIT_NS = 1 * 1000000000ULL; /* of the first of a new binary */
static const uint64_t SORTING_NS = 1 * 1000000000ULL;   /* for which it sorts descriptors at most */
static const uint64_t START_LIMIT_NS = 30 * 1000000000ULL; /* of a successor: else it hangs */

/* What a worker process needs of its own, before it does anything else. */
static bool begin_child(struct supervisor *supervisor)
{
	takeover_disarm();   /* its crash is none of the supervisor's */
	(void)setpgid(0, 0); /* a terminal's Ctrl-C goes to the supervisor, which passes it on */
	process_set_main(supervisor->self);
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread. */
	(void)unsetenv("NOTIFY_SOCKET");
	if (supervisor->has_oom_score) {
		process_set_oom_score(supervisor->oom_score);
	}
	sigset_t mask = supervisor->before;

	/* A reload that is asked for before we can is done once we can. */
	lifecycle_hold_signals(&mask);
	if (supervisor->served) {
		/* So is a stop: sessions go on with this process, and are to end by themselves. */
		(void)sigaddset(&mask, SIGTERM);
		(void)sigaddset(&mask, SIGINT);
	}
	(void)pthread_sigmask(SIG_SETMASK, &mask, NULL);
	return process_die_with_parent(supervisor->self);
}

/*
 * The configuration that runs, or NULL when it is damaged. Lack of memory can look like a mistake
 * in a text, so this process leaves it to the next ones to look again before that is believed.
 */
static struct config *load_running(struct supervisor *supervisor)
{
	struct diag *diag = diag_create();
	struct config *running = running_config_load(&supervisor->shm, diag);

	if (running == NULL) {
		diag_print(diag, stderr);
		if (diag_read_error(diag) == ENOMEM ||
			supervisor->restarts.failures < LOADS_OF_DAMAGED) {
			/* What is open is the next one's: nothing is closed. */
			_exit(EXIT_CODE_LIMIT);
		}
		(void)fprintf(stderr, "loble: the running configuration is damaged%s\n",
			supervisor->config == NULL ? "" : "; going on with that of the start");
	}
	diag_free(diag);
	return running;
}

/* In the worker process. The first one goes by the configuration as it was read. */
static int serve(struct supervisor *supervisor)
{
	const int keep[] = {supervisor->shm.fd, supervisor->upgrade.binary.fd,
		supervisor->upgrade.output_fd, supervisor->previous.fd};
	struct lifecycle setup = {
		.config = supervisor->config,
		.path = supervisor->path,
		.warnings = supervisor->warnings,
		.shm = &supervisor->shm,
		.supervisor = supervisor->self,
		.inherit = supervisor->served,
		.story_kind = supervisor->story_kind,
		.story = supervisor->story,
		.keep = keep,
		.keep_count = ARRAY_COUNT(keep),
	};
	struct config *running = NULL;
	int code;

	if (!begin_child(supervisor)) {
		return EXIT_CODE_REFUSED;
	}
	if (setup.inherit) {
		running = load_running(supervisor);
		setup.config = running != NULL ? running : setup.config;
		if (setup.config == NULL) {
			_exit(EXIT_CODE_REFUSED);
		}
	}
	code = lifecycle_run(&setup);
	config_free(running);
	return code;
}

static uint64_t beats_of(const struct supervisor *supervisor, uint32_t worker)
{
	return counter_get(&supervisor->shm.worker_states[worker].heartbeat);
}

static void note_beats(struct supervisor *supervisor)
{
	for (uint32_t i = 0; i < supervisor->shm.workers; i++) {
		supervisor->beats[i] = beats_of(supervisor, i);
	}
}

/* Returns the child's id, 0 in the child, or a negative errno. */
pid_t supervisor_start_worker(struct supervisor *supervisor)
{
	pid_t pid;

	note_beats(supervisor);
	for (uint32_t i = 0; i < supervisor->shm.workers; i++) {
		supervisor->hangs[i] = (struct hang){.looked_ns = 0};
	}
	counter_set(&supervisor->shm.header->process.past_cpu_ns, process_ended_cpu_ns());
	supervisor->serving = false;
	supervisor->hung = false;
	supervisor->born_ns = clock_monotonic_ns();
	pid = process_fork_sharing_descriptors();
	if (pid > 0) {
		supervisor->worker = pid;
		takeover_set_worker(pid);
	}
	return pid;
}

static enum process_phase phase_of(const struct supervisor *supervisor)
{
	return (enum process_phase)atomic_load_explicit(
		&supervisor->shm.header->process.phase, memory_order_acquire);
}

bool supervisor_all_go_on(const struct supervisor *supervisor)
{
	for (uint32_t i = 0; i < supervisor->shm.workers; i++) {
		const struct worker_state *state = &supervisor->shm.worker_states[i];

		if (atomic_load_explicit(&state->awake, memory_order_relaxed) != 0 &&
			beats_of(supervisor, i) == supervisor->beats[i]) {
			return false;
		}
	}
	return true;
}

static bool has_begun_to_serve(const struct supervisor *supervisor, uint32_t workers_wanted)
{
	uint32_t beating = 0;

	for (uint32_t i = 0; i < supervisor->shm.workers; i++) {
		beating += beats_of(supervisor, i) != supervisor->beats[i] ? 1 : 0;
	}
	return phase_of(supervisor) != PHASE_STARTING && beating >= workers_wanted;
}

/*
 * It serves once all of its workers do. Of the very first, when it is dead, one is enough: that one
 * may have had clients, who are not to be dropped.
 */
static void look_for_service(struct supervisor *supervisor, bool is_dead)
{
	const uint32_t wanted = is_dead && !supervisor->served ? 1 : supervisor->shm.workers;

	if (supervisor->serving || !has_begun_to_serve(supervisor, wanted)) {
		return;
	}
	supervisor->serving = true;
	supervisor->serving_ns = clock_monotonic_ns();
	note_beats(supervisor);
	supervisor_begin_settling(supervisor);
	if (!supervisor->served) {
		char status[128];

		supervisor->served = true;
		(void)snprintf(status, sizeof status, "READY=1\nSTATUS=%u listeners, %u pools",
			supervisor->config->listener_count, supervisor->config->pool_count);
		notify_systemd(status);
	}
}

/* Whether one of the workers hangs, or a successor never began to serve. */
static bool is_hung(struct supervisor *supervisor, uint64_t now_ns)
{
	bool hung = false;

	if (!supervisor->serving) {
		const uint64_t limit_ns =
			supervisor_takes_over(supervisor) ? NEW_LIMIT_NS : START_LIMIT_NS;

		return supervisor->served && now_ns - supervisor->born_ns >= limit_ns;
	}
	for (uint32_t i = 0; i < supervisor->shm.workers; i++) {
		const struct worker_state *state = &supervisor->shm.worker_states[i];
		struct process_thread thread;
		struct hang_look look = {
			.now_ns = now_ns,
			.heartbeat = beats_of(supervisor, i),
			.awake = atomic_load_explicit(&state->awake, memory_order_relaxed) != 0,
		};

		/* Most are asleep, or have turned since: no need to ask the kernel. */
		if (look.awake && look.heartbeat == supervisor->hangs[i].heartbeat) {
			if (!process_look_at_thread(supervisor->worker,
				    (pid_t)atomic_load_explicit(
					    &state->thread_id, memory_order_relaxed),
				    &thread)) {
				continue;
			}
			look.cpu_ns = thread.cpu_ns;
			look.state = thread.state;
		}
		hung |= hang_feed(&supervisor->hangs[i], &look, supervisor->watchdog_ns);
	}
	return hung && !process_is_traced(supervisor->worker);
}

/*
 * A message needs a socket for a moment, and a successor that is just beginning closes what it does
 * not know: the number could be somebody else's when we close it.
 */
static bool may_notify(const struct supervisor *supervisor, uint64_t now_ns)
{
	return !supervisor->served || supervisor->serving ||
		now_ns >= supervisor->born_ns + SORTING_NS;
}

static void tell_watchdog(struct supervisor *supervisor, uint64_t now_ns)
{
	if (supervisor->notify_ns != 0 &&
		now_ns - supervisor->notified_ns >= supervisor->notify_ns) {
		supervisor->notified_ns = now_ns;
		notify_systemd("WATCHDOG=1");
	}
}

/* The next signal, or 0 when it is time to look again. */
static int wait_for_signal(const struct supervisor *supervisor)
{
	const bool busy = !supervisor->serving || supervisor->upgrade.trial != 0;
	const uint64_t limit_ns = busy ? STARTING_LOOK_NS : HANG_LOOK_NS;
	const struct timespec limit = {.tv_nsec = (long)limit_ns};
	const int signal = sigtimedwait(&supervisor->signals, NULL, &limit);

	return signal < 0 ? 0 : signal;
}

static void on_signal(struct supervisor *supervisor, int signal)
{
	switch (signal) {
	case SIGTERM:
	case SIGINT:
		if (supervisor->orders.given == 0) {
			notify_systemd("STOPPING=1\nSTATUS=stopping");
		}
		stop_orders_add(&supervisor->orders, clock_monotonic_ns());
		(void)kill(supervisor->worker, signal);
		break;
	case SIGUSR2:
		supervisor->asked = true;
		break;
	case SIGHUP:
		supervisor->reload_ordered = true;
		supervisor->reload_before = supervisor_last_reload(supervisor);
		(void)kill(supervisor->worker, signal);
		break;
	case SIGUSR1:
		(void)kill(supervisor->worker, signal);
		break;
	default:
		break; /* SIGCHLD: looked at anyway */
	}
}

static void tell_story(struct supervisor *supervisor, int status)
{
	supervisor->story_kind = EVENT_WORKER_RESTARTED;
	if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));

		(void)snprintf(supervisor->story, sizeof supervisor->story, "%skilled by SIG%s%s",
			supervisor->hung ? "hung: " : "", name == NULL ? "?" : name,
			WCOREDUMP(status) ? ", with a core" : "");
	} else {
		(void)snprintf(supervisor->story, sizeof supervisor->story, "ended with %d",
			WEXITSTATUS(status));
	}
}

/* An order to stop that came before it could be taken ends the worker process: as was wanted. */
static int code_of(const struct supervisor *supervisor, int status)
{
	if (WIFEXITED(status)) {
		return WEXITSTATUS(status);
	}
	if (supervisor->orders.given > 0 &&
		(WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGINT)) {
		return EXIT_CODE_DONE;
	}
	return SIGNAL_BASE + WTERMSIG(status);
}

/* It has ended by itself, was told to, or never served: no crash. */
static bool is_over(const struct supervisor *supervisor, int status)
{
	return !supervisor->served || phase_of(supervisor) == PHASE_STOPPED ||
		(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_CODE_DONE);
}

void supervisor_pause(uint64_t ns)
{
	struct timespec left = {
		.tv_sec = (time_t)(ns / S_NS),
		.tv_nsec = (long)(ns % S_NS),
	};

	while (nanosleep(&left, &left) < 0 && errno == EINTR) {
	}
}

enum replaced {
	REPLACED,         /* there is another worker process */
	REPLACED_CHILD,   /* this is it */
	REPLACED_BY_NONE, /* the stop does not wait for one */
};

/*
 * Makes the next worker process. The kernel may have no room for one: then it is tried again, since
 * all that was accepted waits.
 */
static enum replaced replace_worker(struct supervisor *supervisor)
{
	const bool had_served = supervisor->serving;
	uint64_t delay_ns =
		restarts_delay_ns(&supervisor->restarts, had_served, clock_monotonic_ns());
	pid_t pid;

	do {
		supervisor_pause(delay_ns);
		tell_watchdog(supervisor, clock_monotonic_ns());
		supervisor_take_orders(supervisor);
		if (!had_served && stop_orders_final(&supervisor->orders, clock_monotonic_ns())) {
			return REPLACED_BY_NONE;
		}
		pid = supervisor_start_worker(supervisor);
		delay_ns = restarts_delay_ns(&supervisor->restarts, false, clock_monotonic_ns());
	} while (pid < 0);
	if (pid == 0) {
		return REPLACED_CHILD;
	}
	if (had_served) {
		supervisor->restarts.failures = 0;
	}
	supervisor_pass_on_orders(supervisor, supervisor->worker);
	return REPLACED;
}

/* Returns the exit code; *ret_child in the child of a restart, which is to serve. */
static int watch_over(struct supervisor *supervisor, bool *ret_child)
{
	for (;;) {
		const int signal = wait_for_signal(supervisor);
		const uint64_t now_ns = clock_monotonic_ns();
		int status;

		look_for_service(supervisor, false);
		on_signal(supervisor, signal);
		if (may_notify(supervisor, now_ns)) {
			tell_watchdog(supervisor, now_ns);
		}
		if (waitpid(supervisor->worker, &status, WNOHANG) == supervisor->worker) {
			takeover_set_worker(0);
			look_for_service(supervisor, true);
			if (is_over(supervisor, status)) {
				return code_of(supervisor, status);
			}
			tell_story(supervisor, status);
			counter_add(&supervisor->shm.header->process.worker_restarts, 1);
			supervisor_go_back(supervisor);
			switch (replace_worker(supervisor)) {
			case REPLACED:
				break;
			case REPLACED_CHILD:
				*ret_child = true;
				return 0;
			case REPLACED_BY_NONE:
				return supervisor_stop_alone(supervisor);
			}
		} else if (is_hung(supervisor, now_ns)) {
			supervisor->hung = true;
			(void)kill(supervisor->worker, SIGABRT);
			supervisor_pause(S_NS / 100);
			(void)kill(supervisor->worker, SIGKILL);
		} else if (!supervisor_step_upgrade(supervisor, now_ns)) {
			*ret_child = true;
			return 0;
		}
	}
}

static void take_signals(struct supervisor *supervisor)
{
	static const int wanted[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD};

	(void)sigemptyset(&supervisor->signals);
	for (size_t i = 0; i < ARRAY_COUNT(wanted); i++) {
		(void)sigaddset(&supervisor->signals, wanted[i]);
	}
	(void)pthread_sigmask(SIG_BLOCK, &supervisor->signals, &supervisor->before);
}

static void lower_oom_score(struct supervisor *supervisor)
{
	supervisor->has_oom_score = process_oom_score(&supervisor->oom_score);
	if (supervisor->has_oom_score) {
		const int lower = supervisor->oom_score - OOM_SCORE_LOWER;

		process_set_oom_score(lower < -999 ? -999 : lower);
	}
}

/* Half of what systemd asks for, as sd_watchdog_enabled(3) advises. */
static uint64_t notify_interval_ns(void)
{
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread. */
	const char *text = getenv("WATCHDOG_USEC");
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): the only thread. */
	const char *pid = getenv("WATCHDOG_PID");

	if (text == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid())) {
		return 0;
	}
	return strtoull(text, NULL, 10) * 1000 / 2;
}

/* Both processes come out of here: the worker process once it has served. */
static int oversee(struct supervisor *supervisor)
{
	bool child = false;
	int code = EXIT_CODE_LIMIT;
	pid_t pid = supervisor_start_worker(supervisor);

	while (pid < 0 && supervisor->served) {
		takeover_wait();
		pid = supervisor_start_worker(supervisor);
	}
	if (pid < 0) {
		(void)fprintf(stderr, "loble: error: cannot start a worker process: %s\n",
			strerrordesc_np(-pid));
	} else if (pid > 0) {
		code = watch_over(supervisor, &child);
		if (!child) {
			upgrade_abandon(&supervisor->upgrade);
		}
	}
	if (pid == 0 || child) {
		code = serve(supervisor);
	}
	shm_destroy(&supervisor->shm);
	return code;
}

int supervisor_run(const struct config *config, const char *path, const char *warnings)
{
	struct supervisor supervisor = {
		.config = config,
		.path = path,
		.warnings = warnings,
		.self = getpid(),
		.watchdog_ns = config->server.watchdog_ms * MS_NS,
		.notify_ns = notify_interval_ns(),
		.previous = {.fd = -1},
	};
	struct config settled = *config;
	struct error err = {.code = 0};

	process_grow_table(lifecycle_settle(&settled));
	if (shm_create(settled.server.workers, settled.server.max_sessions, &supervisor.shm, &err) <
		0) {
		(void)fprintf(stderr, "loble: error: %s\n", err.text);
		return EXIT_CODE_LIMIT;
	}
	upgrade_init(&supervisor.upgrade, supervisor.shm.fd);
	take_signals(&supervisor);
	lower_oom_score(&supervisor);
	return oversee(&supervisor);
}

static int attach_memory(struct supervisor *supervisor, int fd, struct error *err)
{
	int r = shm_attach(fd, &supervisor->shm, err);

	if (r < 0) {
		r = shm_convert(fd, &supervisor->shm, err);
		if (r == 0) {
			(void)close(fd);
			takeover_set_memory(supervisor->shm.fd);
		}
	}
	return r;
}

int supervisor_resume(const char *path)
{
	const struct takeover *handed = takeover_get();
	struct supervisor supervisor = {
		.path = path,
		.self = getpid(),
		.served = true,
		.watchdog_ns = handed->watchdog_ms * MS_NS,
		.notify_ns = notify_interval_ns(),
		.oom_score = handed->oom_score,
		.has_oom_score = true,
		.previous = held_file_note(handed->binary_fd),
		.story_kind = handed->role == TAKEOVER_NEW ? EVENT_UPGRADED : EVENT_UPGRADE_REFUSED,
	};
	struct rlimit limit;
	struct error err = {.code = 0};

	take_signals(&supervisor);
	(void)sigemptyset(&supervisor.before); /* what is blocked now the last image has blocked */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		process_grow_table(
			limit.rlim_cur); /* execve() has made the table as small as can be */
	}
	process_end_children(); /* of an image that has failed: nobody else may serve */
	while (attach_memory(&supervisor, handed->memory_fd, &err) < 0) {
		(void)fprintf(stderr, "loble: error: %s\n", err.text);
		takeover_wait();
	}
	upgrade_init(&supervisor.upgrade, supervisor.shm.fd);
	(void)snprintf(supervisor.story, sizeof supervisor.story, "%s",
		handed->role == TAKEOVER_NEW ? LOBLE_VERSION : handed->reason);
	if (handed->role == TAKEOVER_BACK) {
		supervisor_set_upgrade(&supervisor, UPGRADE_REFUSED, handed->reason);
	}
	supervisor.wanted = counter_get(&supervisor.shm.header->process.upgrades_wanted);
	return oversee(&supervisor);
}
