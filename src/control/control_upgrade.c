#include <stdio.h>
#include <unistd.h>

#include "control/control_internal.h"
#include "model/shm.h"
#include "os/process.h"

static void record(struct control *control, enum event_kind kind, const char *detail)
{
	struct event event = {
		.kind = kind,
		.cause = CAUSE_OPERATOR,
		.generation = control->roster->registry.generation,
		.sessions = shm_sessions(control->setup.shm),
	};

	(void)snprintf(event.detail, sizeof event.detail, "%s", detail);
	event_record(&control->events, &event);
}

/* The supervisor says in shared memory what it is about; only it may write there. */
void control_on_upgrade(struct control *control)
{
	static const struct command park = {.kind = COMMAND_PARK};
	const struct process_state *process = &control->setup.shm->header->process;
	char reason[UPGRADE_REASON_MAX];

	if (process_main() == getpid()) {
		record(control, EVENT_UPGRADE_REFUSED, "server.supervise is false");
		return;
	}
	switch ((enum upgrade_state)atomic_load_explicit(
		&process->upgrade_state, memory_order_acquire)) {
	case UPGRADE_PARKING:
		if (!control->parking) {
			control->parking = true;
			outbox_post(&control->outbox, &park);
		}
		return;
	case UPGRADE_REFUSED:
		(void)snprintf(reason, sizeof reason, "%s", process->upgrade_reason);
		record(control, EVENT_UPGRADE_REFUSED, reason);
		return;
	case UPGRADE_NONE:
	case UPGRADE_TRIAL:
	case UPGRADE_DONE:
	case UPGRADE_STATE_COUNT:
		return;
	}
}

bool control_parked(const struct control *control)
{
	return control->parking && control_workers_left(control) == 0;
}
