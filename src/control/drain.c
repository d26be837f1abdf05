#include "control/drain.h"

#include "control/outbox.h"
#include "model/shm.h"

/* Those that become idle meanwhile are found as often as that. */
static const uint64_t LOOK_NS = 1000 * 1000000ULL;

static void cut(struct outbox *outbox, enum command_kind kind, uint32_t slot)
{
	const struct command command = {.kind = kind, .argument = slot, .reason = CLOSE_DRAIN};

	outbox_post(outbox, &command);
}

/* Returns when to look at the slot again. */
static uint64_t run_slot(struct shm *shm, struct outbox *outbox, uint32_t index, uint64_t now_ns)
{
	struct slot *slot = &shm->slots[index];
	const uint64_t end_ns = counter_get(&slot->drain_end_ns);
	const uint64_t last_tenth_ns = counter_get(&slot->backend_drain_ns) / 10;
	const uint64_t idle_ns = end_ns > last_tenth_ns ? end_ns - last_tenth_ns : 0;

	if (end_ns == 0) {
		return UINT64_MAX;
	}
	if (now_ns >= end_ns && shm_slot_sessions(shm, index) == 0) {
		counter_set(&slot->drain_end_ns, 0);
		return UINT64_MAX;
	}
	if (now_ns >= end_ns) {
		/* Until it is done: the command is lost with a worker process that dies. */
		cut(outbox, COMMAND_CUT_SLOT, index);
		return now_ns + LOOK_NS;
	}
	if (now_ns < idle_ns) {
		return idle_ns;
	}
	if (shm_slot_sessions(shm, index) > 0) { /* each worker would walk all its sessions */
		cut(outbox, COMMAND_CUT_IDLE, index);
	}
	return now_ns + LOOK_NS < end_ns ? now_ns + LOOK_NS : end_ns;
}

uint64_t drain_run(struct shm *shm, struct outbox *outbox, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < SLOTS_MAX; i++) {
		uint64_t look_ns;

		if (atomic_load_explicit(&shm->slots[i].identity.used, memory_order_relaxed) == 0) {
			break;
		}
		look_ns = run_slot(shm, outbox, i, now_ns);
		next_ns = look_ns < next_ns ? look_ns : next_ns;
	}
	return next_ns;
}
