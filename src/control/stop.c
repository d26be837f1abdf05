#include "control/stop.h"

static const uint64_t POLL_NS = 20 * 1000000ULL;

void stop_init(struct stop *stop, uint64_t lame_duck_ns, uint64_t drain_ns)
{
	*stop = (struct stop){
		.phase = PHASE_RUNNING,
		.lame_duck_ns = lame_duck_ns,
		.drain_ns = drain_ns,
	};
}

static unsigned begin_drain(struct stop *stop, const struct stop_input *input)
{
	stop->phase = PHASE_DRAINING;
	stop->phase_end_ns = input->now_ns + stop->drain_ns;
	return STOP_DO_REFUSE;
}

static unsigned begin(struct stop *stop, const struct stop_input *input)
{
	if (stop->lame_duck_ns == 0) {
		return STOP_DO_ANNOUNCE | begin_drain(stop, input);
	}
	stop->phase = PHASE_LAME_DUCK;
	stop->phase_end_ns = input->now_ns + stop->lame_duck_ns;
	return STOP_DO_ANNOUNCE;
}

unsigned stop_step(struct stop *stop, const struct stop_input *input)
{
	unsigned actions = STOP_DO_NOTHING;

	stop->signals += input->signals;
	if (stop->phase == PHASE_RUNNING && stop->signals > 0) {
		actions |= begin(stop, input);
	}
	if (stop->phase == PHASE_LAME_DUCK && input->now_ns >= stop->phase_end_ns) {
		actions |= begin_drain(stop, input);
	} else if (stop->phase == PHASE_DRAINING && (actions & STOP_DO_REFUSE) == 0 &&
		((input->listeners_open == 0 && input->sessions == 0) ||
			input->now_ns >= stop->phase_end_ns)) {
		stop->phase = PHASE_STOPPED;
		return actions | STOP_DO_EXIT;
	}
	if (stop->signals > 1 && stop->phase != PHASE_STOPPED) {
		stop->phase = PHASE_STOPPED;
		return actions | STOP_DO_EXIT;
	}
	return actions;
}

uint64_t stop_next_ns(const struct stop *stop, uint64_t now_ns)
{
	switch (stop->phase) {
	case PHASE_LAME_DUCK:
		return stop->phase_end_ns;
	case PHASE_DRAINING:
		return stop->phase_end_ns < now_ns + POLL_NS ? stop->phase_end_ns
							     : now_ns + POLL_NS;
	case PHASE_STARTING:
	case PHASE_RUNNING:
	case PHASE_STOPPED:
		break;
	}
	return UINT64_MAX;
}
