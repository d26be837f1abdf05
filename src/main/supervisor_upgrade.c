#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "main/supervisor_internal.h"
#include "os/clock.h"
#include "os/notify.h"

static const uint64_t MS_NS = 1000000;
static const uint64_t PARK_LIMIT_NS = 500 * 1000000ULL;
static const uint64_t SETTLE_NS = 500 * 1000000ULL;
static const uint64_t PROBATION_NS = 20 * 1000000000ULL; /* of a new binary that serves */

/* What is said about upgrades is ours to write; the state last. */
void supervisor_set_upgrade(
	struct supervisor *supervisor, enum upgrade_state state, const char *reason)
{
	struct process_state *process = &supervisor->shm.header->process;

	(void)snprintf(process->upgrade_reason, sizeof process->upgrade_reason, "%s", reason);
	atomic_store_explicit(&process->upgrade_state, state, memory_order_release);
}

bool supervisor_takes_over(const struct supervisor *supervisor)
{
	return takeover_get()->role == TAKEOVER_NEW && supervisor->probation_ns == 0;
}

void supervisor_begin_settling(const struct supervisor *supervisor)
{
	if (supervisor_takes_over(supervisor)) {
		takeover_arm(TAKEOVER_LIMIT_MS); /* anew: the first part is done */
	}
}

/*
 * Another binary has served in place of the one before for so long that it has adopted what there
 * is: that counts as an upgrade. The one before is kept for a while longer.
 */
static void settle(struct supervisor *supervisor, uint64_t now_ns)
{
	/* It may have begun after now_ns was read. */
	if (supervisor_takes_over(supervisor) && supervisor->serving &&
		now_ns >= supervisor->serving_ns + SETTLE_NS && supervisor_all_go_on(supervisor)) {
		takeover_disarm();
		supervisor->probation_ns = now_ns;
		counter_add(&supervisor->shm.header->process.upgrades, 1);
		supervisor_set_upgrade(supervisor, UPGRADE_DONE, "");
		notify_systemd("STATUS=upgraded");
	}
}

void supervisor_go_back(struct supervisor *supervisor)
{
	struct takeover handed = {
		.role = TAKEOVER_BACK,
		.memory_fd = supervisor->shm.fd,
		.binary_fd = -1,
		.oom_score = supervisor->oom_score,
		.watchdog_ms = supervisor->watchdog_ns / MS_NS,
	};
	const struct stop_orders orders = supervisor->orders;

	if (held_file_is_same(&supervisor->previous) &&
		held_file_is_same(&supervisor->upgrade.memory)) {
		(void)snprintf(handed.reason, sizeof handed.reason, "its worker process: %.70s",
			supervisor->story);
		takeover_disarm(); /* a timer would live on in the image before this one */
		/* A signal that is blocked outlives execve(): the image before finds it waiting. */
		supervisor_pass_on_orders(supervisor, supervisor->self);
		(void)takeover_execute_open(supervisor->previous.fd, &handed);
		supervisor_take_orders(supervisor);
		supervisor->orders = orders;
	}
}

static void forget_previous(struct supervisor *supervisor)
{
	if (supervisor->previous.fd >= 0) {
		(void)close(supervisor->previous.fd);
		supervisor->previous.fd = -1;
	}
}

static void end_probation(struct supervisor *supervisor, uint64_t now_ns)
{
	/* It may have begun after now_ns was read. */
	if (supervisor->previous.fd >= 0 && supervisor->probation_ns != 0 &&
		now_ns >= supervisor->probation_ns + PROBATION_NS) {
		forget_previous(supervisor);
	}
}

static void refuse_upgrade(struct supervisor *supervisor, const char *reason)
{
	supervisor_set_upgrade(supervisor, UPGRADE_REFUSED, reason);
	(void)kill(supervisor->worker, SIGUSR2); /* the log is its own */
}

/* Starts the trial, or says why not. */
static void begin_upgrade(struct supervisor *supervisor)
{
	char reason[TAKEOVER_REASON_MAX];

	/* Who sees the number must not see the state of the attempt before. */
	supervisor_set_upgrade(supervisor, UPGRADE_TRIAL, "");
	atomic_thread_fence(memory_order_release);
	counter_add(&supervisor->shm.header->process.upgrade_attempts, 1);
	if (supervisor->orders.given > 0) {
		refuse_upgrade(supervisor, "the process is stopping");
	} else if (!upgrade_try(&supervisor->upgrade, clock_monotonic_ns(), reason)) {
		refuse_upgrade(supervisor, reason);
	}
}

/* The worker process leaves all as it is, and is gone when this returns. */
static void park_worker(struct supervisor *supervisor)
{
	const uint64_t limit_ns = clock_monotonic_ns() + PARK_LIMIT_NS;

	supervisor_set_upgrade(supervisor, UPGRADE_PARKING, "");
	(void)kill(supervisor->worker, SIGUSR2);
	while (waitpid(supervisor->worker, NULL, WNOHANG) == 0) {
		if (clock_monotonic_ns() >= limit_ns) {
			(void)kill(supervisor->worker, SIGKILL); /* as in a crash, then */
			(void)waitpid(supervisor->worker, NULL, 0);
			return;
		}
		supervisor_pause(MS_NS / 5);
	}
}

/* Returns only when this binary goes on: false in the child that is to serve. */
static bool change_binary(struct supervisor *supervisor)
{
	const struct takeover handed = {
		.role = TAKEOVER_NEW,
		.memory_fd = supervisor->shm.fd,
		.binary_fd = supervisor->upgrade.binary.fd,
		.oom_score = supervisor->oom_score,
		.watchdog_ms = supervisor->watchdog_ns / MS_NS,
	};
	char reason[TAKEOVER_REASON_MAX];
	pid_t pid;

	park_worker(supervisor);
	supervisor_pass_on_orders(supervisor, supervisor->self);
	forget_previous(supervisor); /* from now on the way back is to this image */
	upgrade_execute(&supervisor->upgrade, &handed, reason);
	supervisor_set_upgrade(supervisor, UPGRADE_REFUSED, reason);
	supervisor->story_kind = EVENT_UPGRADE_REFUSED;
	(void)snprintf(supervisor->story, sizeof supervisor->story, "%s", reason);
	while ((pid = supervisor_start_worker(supervisor)) < 0) {
		supervisor_pause(10 * MS_NS);
	}
	return pid > 0;
}

/*
 * A worker process that is just beginning closes what it does not know, and the trial has a
 * descriptor of its own: the wish waits until it serves, and an upgrade that is not over until it
 * is. One that comes during a trial is void.
 */
static void look_for_wish(struct supervisor *supervisor)
{
	const uint64_t wanted = counter_get(&supervisor->shm.header->process.upgrades_wanted);

	if (wanted != supervisor->wanted) {
		supervisor->wanted = wanted;
		supervisor->asked = true;
	}
	if (supervisor->upgrade.trial != 0) {
		supervisor->asked = false;
	} else if (supervisor->asked && supervisor->serving && !supervisor_takes_over(supervisor)) {
		supervisor->asked = false;
		begin_upgrade(supervisor);
	}
}

/* Returns false in a child that is to serve. */
bool supervisor_step_upgrade(struct supervisor *supervisor, uint64_t now_ns)
{
	char reason[TAKEOVER_REASON_MAX];

	settle(supervisor, now_ns);
	end_probation(supervisor, now_ns);
	look_for_wish(supervisor);
	if (supervisor->upgrade.trial == 0) {
		return true;
	}
	switch (upgrade_look(&supervisor->upgrade, now_ns, reason)) {
	case UPGRADE_TRIAL_CONSENT:
		if (supervisor->orders.given == 0) {
			return change_binary(supervisor);
		}
		refuse_upgrade(supervisor, "the process is stopping");
		return true;
	case UPGRADE_TRIAL_REFUSED:
		refuse_upgrade(supervisor, reason);
		return true;
	case UPGRADE_TRIAL_RUNS:
		break;
	}
	return true;
}
