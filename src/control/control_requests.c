#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/control_internal.h"
#include "model/request.h"
#include "model/shm.h"
#include "os/process.h"

/* Takes the text. */
static void answer(
	struct control *control, struct request *request, enum request_result result, char *text)
{
	request->result = result;
	request->text = text;
	request_answer(control->setup.requests, request);
}

/* Without memory for the text there is an answer all the same. */
static void say(struct control *control, struct request *request, enum request_result result,
	const char *text)
{
	answer(control, request, result, strdup(text));
}

static enum request_result result_of(enum reload_outcome outcome, enum diag_failure failure)
{
	static const enum request_result failures[] = {
		[DIAG_CONTENT] = REQUEST_INVALID,
		[DIAG_NO_FILE] = REQUEST_NO_FILE,
		[DIAG_NOT_PERMITTED] = REQUEST_NOT_PERMITTED,
		[DIAG_IO] = REQUEST_IO,
		[DIAG_LIMIT] = REQUEST_LIMIT,
	};

	switch (outcome) {
	case RELOAD_APPLIED:
		return REQUEST_DONE;
	case RELOAD_INVALID:
		return failures[failure];
	case RELOAD_REFUSED:
		break;
	}
	return REQUEST_REFUSED;
}

/* All who wait asked before this reload began. */
static void on_reloaded(void *context, enum reload_outcome outcome, const char *text)
{
	struct control *control = context;
	const enum request_result result = result_of(outcome, control->reload.loaded.failure);

	while (control->waiting_count > 0) {
		control->waiting_count--;
		say(control, &control->waiting[control->waiting_count], result, text);
	}
}

static void reload(struct control *control, struct request *request)
{
	if (request->ticket == 0) {
		answer(control, request, REQUEST_STARTED, NULL);
	} else {
		assert(control->waiting_count < REQUESTS_MAX);
		control->waiting[control->waiting_count++] = *request;
		control->reload.on_done = on_reloaded;
		control->reload.on_done_context = control;
	}
	reload_request(control, CAUSE_OPERATOR);
}

/* The supervisor looks at the wish within some milliseconds. */
static void upgrade(struct control *control, struct request *request)
{
	struct process_state *process = &control->setup.shm->header->process;
	const uint32_t state = atomic_load_explicit(&process->upgrade_state, memory_order_acquire);

	if (process_main() == getpid()) {
		say(control, request, REQUEST_REFUSED,
			"server.supervise is false: there is no supervisor that could do it");
	} else if (control->stop.state != STOP_RUNNING) {
		say(control, request, REQUEST_REFUSED, "the process is stopping");
	} else if (state == UPGRADE_TRIAL || state == UPGRADE_PARKING) {
		say(control, request, REQUEST_REFUSED, "an upgrade is under way");
	} else {
		request->number = counter_get(&process->upgrade_attempts) + 1;
		counter_add(&process->upgrades_wanted, 1);
		answer(control, request, REQUEST_STARTED, NULL);
	}
}

static void (*const runners[REQUEST_KIND_COUNT])(
	struct control *control, struct request *request) = {
	[REQUEST_RELOAD] = reload,
	[REQUEST_UPGRADE] = upgrade,
};

void control_on_requests(struct control *control)
{
	struct request request;

	while (request_take(control->setup.requests, &request)) {
		runners[request.kind](control, &request);
	}
}
