#include "main/lifecycle.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "control/control.h"
#include "control/reload.h"
#include "control/sockets.h"
#include "control/spread.h"
#include "data/claims.h"
#include "main/admin_socket.h"
#include "main/descriptors.h"
#include "main/exit_code.h"
#include "main/plane.h"
#include "main/reloading.h"
#include "main/running_config.h"
#include "model/request.h"
#include "model/shm.h"
#include "model/snapshot.h"
#include "observe/log_writer.h"
#include "observe/observe.h"
#include "os/clock.h"
#include "os/notify.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/thread.h"

enum { LOG_FLUSH_MS = 1000 };

/* All that runs. Made in this order, and undone in the reverse one. */
struct process {
	const struct lifecycle *setup; /* borrowed */
	struct claims claims;          /* of the sessions that it goes on with */
	struct config config;          /* a flat copy, with what was 0 for "find out" filled in */
	struct config *reloaded;       /* owned: what a reload has put in its place; else NULL */
	struct log_writer *log;
	struct log_writer *access_log; /* the log itself where there is no file of its own */
	struct shm shm;
	struct snapshot_store store;
	struct plane plane;
	struct control *control;
	struct observe *observe;
	struct admin_socket admin;
	struct request_box *requests;
	int signal_fd;
};

static int exit_code_of(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return EXIT_CODE_PERMISSION;
	case ENOMEM:
	case EMFILE:
	case ENFILE:
	case ENOSPC:
	case ENOBUFS:
	case EAGAIN: /* a thread, or random numbers */
		return EXIT_CODE_LIMIT;
	default:
		return EXIT_CODE_REFUSED;
	}
}

static uint32_t smaller(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

uint64_t lifecycle_settle(struct config *config)
{
	const uint64_t wanted = config->server.max_sessions == 0
		? DESCRIPTORS_WANTED
		: descriptors_of_sessions(config->server.max_sessions);
	const uint64_t descriptors = privilege_raise_descriptors(wanted);

	if (config->server.workers == 0) {
		config->server.workers = thread_cpu_count();
	}
	config->server.workers = smaller(config->server.workers, WORKERS_MAX);
	if (config->server.max_sessions == 0) {
		config->server.max_sessions = descriptors_to_sessions(descriptors);
	}
	config->server.max_sessions = smaller(config->server.max_sessions, SESSIONS_MAX);
	return descriptors;
}

/* Somebody's successor has no reason to give up the sessions that are waiting. */
static int open_log(const struct process *process, const char *path, struct log_writer **ret_writer,
	struct error *err)
{
	static const enum log_writer_format formats[] = {
		[CONFIG_FORMAT_AUTO] = LOG_WRITER_AUTO,
		[CONFIG_FORMAT_TEXT] = LOG_WRITER_TEXT,
		[CONFIG_FORMAT_JSON] = LOG_WRITER_JSON,
	};
	const struct log_writer_setup setup = {
		.path = path,
		.format = formats[process->config.logging.format],
		.journal_stream = secure_getenv("JOURNAL_STREAM"),
		.makes_do = process->setup->inherit,
		.dropped = &process->shm.header->process.log_lines_dropped,
	};

	return log_writer_open(&setup, ret_writer, err);
}

static const enum log_level log_levels[] = {
	[CONFIG_LOG_DEBUG] = LOG_DEBUG,
	[CONFIG_LOG_INFO] = LOG_INFO,
	[CONFIG_LOG_WARN] = LOG_WARN,
	[CONFIG_LOG_ERROR] = LOG_ERROR,
};

static int start_log(struct process *process, struct error *err)
{
	const struct config *config = &process->config;
	const int r = open_log(process, config->logging.file, &process->log, err);

	if (r == 0) {
		log_set_up(log_levels[config->logging.level], log_writer_format(process->log),
			log_writer_sink, process->log);
	}
	return r;
}

static void stop_log(struct process *process)
{
	log_writer_close(process->log, LOG_FLUSH_MS);
}

static int start_access_log(struct process *process, struct error *err)
{
	const struct config *config = &process->config;

	if (config->access_log.file == NULL) { /* else opened: a reload may switch it on */
		process->access_log = process->log;
		return 0;
	}
	return open_log(process, config->access_log.file, &process->access_log, err);
}

static void stop_access_log(struct process *process)
{
	if (process->access_log != process->log) {
		log_writer_close(process->access_log, LOG_FLUSH_MS);
	}
}

static void reopen_logs(void *context)
{
	struct process *process = context;

	log_writer_reopen(process->log);
	if (process->access_log != process->log) {
		log_writer_reopen(process->access_log);
	}
}

/* From here on signals wait in a descriptor; a dead peer is an errno, never a signal. */
static int open_signals(struct process *process, struct error *err)
{
	sigset_t set;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGUSR1);
	(void)sigaddset(&set, SIGUSR2);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	process->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return process->signal_fd < 0 ? error_set(err, errno, "cannot wait for signals") : 0;
}

static void load_again(void *context, struct control_loaded *ret_loaded)
{
	const struct process *process = context;

	reloading_load(process->setup->path, ret_loaded);
}

/* The metrics may move: the new address is opened before anything else is changed. */
static int prepare_reload(void *context, const struct config *next, struct error *err)
{
	struct process *process = context;

	return observe_prepare_metrics(
		process->observe, next->metrics.enabled, &next->metrics.address, err);
}

static void commit_reload(void *context, const struct config *next)
{
	struct process *process = context;

	log_set_level(log_levels[next->logging.level]);
	observe_commit_metrics(process->observe);
}

static void abandon_reload(void *context)
{
	struct process *process = context;

	observe_abandon_metrics(process->observe);
}

static int make_requests(struct process *process, struct error *err)
{
	return request_box_create(&process->requests, err);
}

static void free_requests(struct process *process)
{
	request_box_free(process->requests);
}

static int start_control(struct process *process, struct error *err)
{
	const struct control_setup setup = {
		.shm = &process->shm,
		.store = &process->store,
		.config = process->setup->config,
		.wake_fd = process->plane.control_fd,
		.worker_fds = process->plane.wake_fds,
		.requests = process->requests,
		.signal_fd = process->signal_fd,
		.seed = clock_monotonic_ns(),
		.story_kind = process->setup->story_kind,
		.story = process->setup->inherit ? process->setup->story : NULL,
		.reopen_logs = reopen_logs,
		.load = process->setup->path == NULL ? NULL : load_again,
		.prepare = prepare_reload,
		.commit = commit_reload,
		.abandon = abandon_reload,
		.context = process,
	};

	return control_create(&setup, &process->control, err);
}

static int start_observe(struct process *process, struct error *err)
{
	const struct config *config = &process->config;
	const struct observe_setup setup = {
		.shm = &process->shm,
		.store = &process->store,
		.version = LOBLE_VERSION,
		.serve_metrics = config->metrics.enabled,
		.metrics_address = config->metrics.address,
		.admin_fd = process->admin.fd,
		.requests = process->requests,
		.makes_do = process->setup->inherit,
		.access_rings = process->plane.access,
		.access_writer = process->access_log,
	};

	return observe_start(&setup, &process->observe, err);
}

/* Once: what the operator could mend is a matter of rights, not of a listener. */
static void say_off(const char *event, int error, const char *detail)
{
	struct log_line line;

	if (error == 0) {
		return;
	}
	log_begin(&line, LOG_INFO, event);
	log_text(&line, "reason", strerrordesc_np(error));
	log_text(&line, "detail", detail);
	log_end(&line);
}

static void say_started(const struct process *process)
{
	struct log_line line;
	char status[128];

	if (process->admin.warning[0] != '\0') {
		log_message(LOG_WARN, "admin_socket", "%s", process->admin.warning);
	}
	if (process->setup->inherit) {
		return; /* control has told the story */
	}
	reload_log_problems(process->setup->warnings);
	say_off("steering_off",
		(int)atomic_load_explicit(
			&process->shm.header->process.steering_error, memory_order_relaxed),
		"new clients are spread by a hash, not by load; see loble doctor");
	say_off("io_uring_off", process->plane.batch_error,
		"each small message takes system calls of its own; see loble doctor");
	log_begin(&line, LOG_INFO, "started");
	log_text(&line, "version", LOBLE_VERSION);
	log_number(&line, "pid", (uint64_t)process_main());
	log_number(&line, "workers", process->config.server.workers);
	log_number(&line, "max_sessions", process->config.server.max_sessions);
	log_number(&line, "listeners", process->config.listener_count);
	log_number(&line, "pools", process->config.pool_count);
	if (process->admin.fd >= 0) {
		log_text(&line, "admin_socket", process->admin.path);
	}
	log_end(&line);
	if (process->setup->supervisor != 0) {
		return; /* systemd listens to the supervisor */
	}
	(void)snprintf(status, sizeof status, "READY=1\nSTATUS=%u listeners, %u pools",
		process->config.listener_count, process->config.pool_count);
	notify_systemd(status);
}

/* Returns how many workers hang: their threads still use all that there is. */
static uint32_t run(struct process *process)
{
	struct log_line line;
	uint64_t cut;
	uint32_t hung;

	say_started(process);
	cut = control_run(process->control);
	if (control_parked(process->control)) {
		/* All that is open is for another binary: nothing is closed but the logs. */
		observe_stop(process->observe); /* it writes the access log */
		stop_access_log(process);
		stop_log(process);
		_exit(EXIT_CODE_DONE);
	}
	hung = control_workers_left(process->control);
	if (hung == 0) {
		plane_join(&process->plane);
	}
	log_begin(&line, hung > 0 ? LOG_ERROR : (cut > 0 ? LOG_WARN : LOG_INFO), "stopped");
	log_number(&line, "sessions_cut", cut);
	if (hung > 0) {
		log_number(&line, "workers_hung", hung);
	}
	log_end(&line);
	return hung;
}

/* The supervisor's mapping is at the same place in its child. */
static int make_memory(struct process *process, struct error *err)
{
	int r;

	snapshot_store_init(&process->store);
	if (process->setup->shm != NULL) {
		process->shm = *process->setup->shm;
		r = 0;
	} else {
		r = shm_create(process->config.server.workers, process->config.server.max_sessions,
			&process->shm, err);
	}
	if (r == 0 && !process->setup->inherit) {
		counter_set(&process->shm.header->process.started_ns, clock_monotonic_ns());
	}
	return r;
}

static void drop_memory(struct process *process)
{
	snapshot_store_done(&process->store);
	if (process->setup->shm == NULL) {
		shm_destroy(&process->shm);
	}
}

/* Before anything is opened: what is open now is the dead process's. */
static int take_claims(struct process *process, struct error *err)
{
	if (!process->setup->inherit) {
		return 0;
	}
	shm_reset_rings(&process->shm);
	return claims_take(&process->shm, process->setup->keep, process->setup->keep_count,
		&process->claims, err);
}

static void drop_claims(struct process *process)
{
	claims_done(&process->claims);
}

static int keep_configuration(struct process *process, struct error *err)
{
	return process->setup->inherit
		? 0
		: running_config_store(&process->shm, process->setup->config, err);
}

static int open_sockets(struct process *process, struct error *err)
{
	int r;

	spread_prepare(&process->shm);
	r = sockets_open(&process->config, &process->shm, err);
	if (r < 0 && process->setup->inherit) {
		/* A predecessor died in the middle of a reload: what it has opened serves. */
		(void)fprintf(stderr, "loble: warning: %s\n", err->text);
		return 0;
	}
	return r;
}

static void close_sockets(struct process *process)
{
	sockets_close(&process->shm);
	sockets_unlink(process->reloaded != NULL ? process->reloaded : &process->config);
	config_free(process->reloaded);
	process->reloaded = NULL;
}

static int open_admin(struct process *process, struct error *err)
{
	const struct config *config = &process->config;
	struct error why;

	if (config->admin.off ||
		admin_socket_open(
			config->admin.socket, config->server.user, &process->admin, &why) == 0) {
		return 0;
	}
	if (process->setup->inherit) {
		/* No reason to give up the sessions that are waiting. */
		(void)snprintf(
			process->admin.warning, sizeof process->admin.warning, "%.500s", why.text);
		return 0;
	}
	/* Whatever it is that the system says: the configuration is refused. */
	return error_say(err, EADDRNOTAVAIL, "%s", why.text);
}

static void close_admin(struct process *process)
{
	admin_socket_close(&process->admin);
}

static int drop_rights(struct process *process, struct error *err)
{
	const pid_t supervisor = process->setup->supervisor;
	const int r =
		privilege_drop(process->config.server.user, process->config.server.group, err);

	if (r == 0 && supervisor != 0 && !process_die_with_parent(supervisor)) {
		return error_say(err, ESRCH, "the supervisor is gone");
	}
	return r;
}

static void close_signals(struct process *process)
{
	(void)close(process->signal_fd);
}

static int make_plane(struct process *process, struct error *err)
{
	return plane_create(&process->config, &process->shm, &process->store,
		process->setup->inherit ? &process->claims : NULL, &process->plane, err);
}

static void free_plane(struct process *process)
{
	plane_free(&process->plane);
}

static void stop_control(struct process *process)
{
	process->reloaded = control_take_config(process->control);
	control_free(process->control);
}

static void stop_observe(struct process *process)
{
	observe_stop(process->observe);
}

static int start_plane(struct process *process, struct error *err)
{
	return plane_start(&process->plane, &process->shm, err);
}

/*
 * The start, in order; the stop is the reverse. Ports are bound while we may, then the rights go,
 * then threads start. Metrics come before the workers, so that nothing fails once clients are
 * being served.
 */
static const struct stage {
	int (*start)(struct process *process, struct error *err);
	void (*stop)(struct process *process);
} stages[] = {
	{make_memory, drop_memory},
	{take_claims, drop_claims},
	{keep_configuration, NULL},
	{open_sockets, close_sockets},
	{open_admin, close_admin},
	{drop_rights, NULL},
	{start_log, stop_log},
	{start_access_log, stop_access_log},
	{open_signals, close_signals},
	{make_plane, free_plane},
	{make_requests, free_requests},
	{start_control, stop_control},
	{start_observe, stop_observe},
	{start_plane, NULL},
};

/* What a stop with hung workers can still do; the kernel does the rest. */
static _Noreturn void leave_hung(struct process *process)
{
	plane_reset_sessions(&process->shm);
	stop_observe(process);
	close_admin(process);
	stop_access_log(process);
	stop_log(process);
	sockets_unlink(&process->config);
	_exit(EXIT_CODE_DONE);
}

void lifecycle_hold_signals(sigset_t *mask)
{
	(void)sigaddset(mask, SIGHUP);
	(void)sigaddset(mask, SIGUSR1);
	(void)sigaddset(mask, SIGUSR2);
}

int lifecycle_run(const struct lifecycle *setup)
{
	struct process process = {
		.setup = setup, .config = *setup->config, .signal_fd = -1, .admin = {.fd = -1}};
	struct error err = {.code = 0};
	size_t started = 0;
	sigset_t mask;
	int r = 0;

	(void)sigemptyset(&mask);
	lifecycle_hold_signals(&mask);
	(void)pthread_sigmask(SIG_BLOCK, &mask, NULL);
	(void)lifecycle_settle(&process.config);
	if (setup->shm != NULL) {
		/* What the memory was made for holds, also if the machine has changed since. */
		process.config.server.workers = setup->shm->workers;
		process.config.server.max_sessions = setup->shm->sessions_per_worker;
	}
	while (started < ARRAY_COUNT(stages)) {
		r = stages[started].start(&process, &err);
		if (r < 0) {
			break;
		}
		started++;
	}
	if (r == 0) {
		if (run(&process) > 0) {
			leave_hung(&process);
		}
	} else {
		(void)fprintf(stderr, "loble: error: %s\n", err.text);
		if (setup->inherit) {
			/* To take it apart would close what the next one is to take over. */
			_exit(exit_code_of(-r));
		}
	}
	while (started > 0) {
		started--;
		if (stages[started].stop != NULL) {
			stages[started].stop(&process);
		}
	}
	return r == 0 ? EXIT_CODE_DONE : exit_code_of(-r);
}
