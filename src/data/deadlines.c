#include "data/deadlines.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

enum { LEVEL_BITS = 8, SLOT_MASK = DEADLINE_SLOTS - 1 };

static const uint64_t TICK_NS = 8 * 1000000ULL;
static const uint32_t NONE = UINT32_MAX;
static const uint32_t TICK_MAX = UINT32_MAX - 1;
static const uint32_t REBASE_TICKS = 1U << 28; /* 24 days, so that 372 are left to look ahead */

int deadlines_init(struct deadlines *deadlines, uint32_t capacity, uint64_t now_ns)
{
	struct deadline_link *links = mmap(NULL, sizeof *links * capacity, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (links == MAP_FAILED) {
		return -ENOMEM;
	}
	/* A huge page would cost the first sessions 2 MiB. A kernel without them refuses. */
	(void)madvise(links, sizeof *links * capacity, MADV_NOHUGEPAGE);
	memset(deadlines, 0, sizeof *deadlines);
	memset(deadlines->heads, 0xff, sizeof deadlines->heads);
	deadlines->links = links;
	deadlines->capacity = capacity;
	deadlines->start_ns = now_ns;
	return 0;
}

void deadlines_done(struct deadlines *deadlines)
{
	if (deadlines->links != NULL) {
		(void)munmap(deadlines->links, sizeof *deadlines->links * deadlines->capacity);
		deadlines->links = NULL;
	}
}

/* The first tick that is not before `when_ns`. */
static uint32_t tick_of(const struct deadlines *deadlines, uint64_t when_ns)
{
	uint64_t tick;

	if (when_ns <= deadlines->start_ns) {
		return 0;
	}
	tick = (when_ns - deadlines->start_ns - 1) / TICK_NS + 1;
	return tick > TICK_MAX ? TICK_MAX : (uint32_t)tick;
}

/* The lowest level whose slots still tell `tick` from the present. */
static unsigned level_of(const struct deadlines *deadlines, uint32_t tick)
{
	const uint32_t differs = tick ^ deadlines->tick;

	for (unsigned level = 0; level < DEADLINE_LEVELS - 1; level++) {
		if (differs >> (LEVEL_BITS * (level + 1)) == 0) {
			return level;
		}
	}
	return DEADLINE_LEVELS - 1;
}

static unsigned slot_of(unsigned level, uint32_t tick)
{
	return tick >> (LEVEL_BITS * level) & SLOT_MASK;
}

static void mark(struct deadlines *deadlines, unsigned level, unsigned slot)
{
	deadlines->occupied[level][slot / 64] |= 1ULL << slot % 64;
}

static void unmark(struct deadlines *deadlines, unsigned level, unsigned slot)
{
	deadlines->occupied[level][slot / 64] &= ~(1ULL << slot % 64);
}

static void insert(struct deadlines *deadlines, uint32_t index)
{
	struct deadline_link *link = &deadlines->links[index];
	const unsigned level = level_of(deadlines, link->tick);
	const unsigned slot = slot_of(level, link->tick);
	uint32_t *head = &deadlines->heads[level][slot];

	link->next = *head;
	link->previous = NONE;
	if (*head != NONE) {
		deadlines->links[*head].previous = index;
	}
	*head = index;
	mark(deadlines, level, slot);
}

/*
 * The level and slot follow from the timer's tick and the present one: a timer that is still in a
 * slot has not been passed, and moves down exactly when the present enters its slot.
 */
static void take_out(struct deadlines *deadlines, uint32_t index)
{
	struct deadline_link *link = &deadlines->links[index];

	if (link->next != NONE) {
		deadlines->links[link->next].previous = link->previous;
	}
	if (link->previous != NONE) {
		deadlines->links[link->previous].next = link->next;
	} else {
		const unsigned level = level_of(deadlines, link->tick);
		const unsigned slot = slot_of(level, link->tick);

		assert(deadlines->heads[level][slot] == index);
		deadlines->heads[level][slot] = link->next;
		if (link->next == NONE) {
			unmark(deadlines, level, slot);
		}
	}
	link->tick = 0;
}

void deadlines_set(struct deadlines *deadlines, uint32_t index, uint64_t when_ns)
{
	uint32_t tick = tick_of(deadlines, when_ns);

	assert(index < deadlines->capacity);
	if (tick <= deadlines->tick) {
		tick = deadlines->tick + 1;
	}
	if (deadlines->links[index].tick == tick) {
		return;
	}
	deadlines_clear(deadlines, index);
	deadlines->links[index].tick = tick;
	insert(deadlines, index);
}

void deadlines_clear(struct deadlines *deadlines, uint32_t index)
{
	assert(index < deadlines->capacity);
	if (deadlines->links[index].tick != 0) {
		take_out(deadlines, index);
	}
}

/* The first occupied slot of the level at or after `from`; DEADLINE_SLOTS when there is none. */
static unsigned find_slot(const struct deadlines *deadlines, unsigned level, unsigned from)
{
	for (unsigned word = from / 64; word < DEADLINE_SLOTS / 64; word++) {
		uint64_t bits = deadlines->occupied[level][word];

		if (word == from / 64) {
			bits &= UINT64_MAX << from % 64;
		}
		if (bits != 0) {
			return word * 64 + (unsigned)__builtin_ctzll(bits);
		}
	}
	return DEADLINE_SLOTS;
}

/*
 * The next tick at which something happens: a slot of the lowest level fires, or the present
 * enters an occupied slot of a higher one. NONE when nothing is armed. Within a level all timers
 * lie ahead of the present: those behind it would differ from it further up.
 */
static uint32_t next_tick(const struct deadlines *deadlines)
{
	uint32_t next = NONE;

	for (unsigned level = 0; level < DEADLINE_LEVELS; level++) {
		const unsigned shift = LEVEL_BITS * level;
		const unsigned slot = find_slot(deadlines, level, slot_of(level, deadlines->tick));
		uint32_t tick;

		if (slot == DEADLINE_SLOTS) {
			continue;
		}
		tick = (uint32_t)(((uint64_t)deadlines->tick >> (shift + LEVEL_BITS)
						  << (shift + LEVEL_BITS)) |
			(uint64_t)slot << shift);
		if (tick < next) {
			next = tick;
		}
	}
	return next;
}

uint64_t deadlines_next_ns(const struct deadlines *deadlines)
{
	const uint32_t tick = next_tick(deadlines);

	return tick == NONE ? UINT64_MAX : deadlines->start_ns + (uint64_t)tick * TICK_NS;
}

/* Puts the timers of a slot that the present has entered where they belong now. */
static void cascade(struct deadlines *deadlines, unsigned level)
{
	const unsigned slot = slot_of(level, deadlines->tick);
	uint32_t index = deadlines->heads[level][slot];

	deadlines->heads[level][slot] = NONE;
	unmark(deadlines, level, slot);
	while (index != NONE) {
		const uint32_t next = deadlines->links[index].next;

		insert(deadlines, index);
		index = next;
	}
}

/* Fires the present slot, one timer after the other: each may change all the others. */
static void fire_present(
	struct deadlines *deadlines, void (*fire)(uint32_t index, void *context), void *context)
{
	const uint32_t *head = &deadlines->heads[0][slot_of(0, deadlines->tick)];

	while (*head != NONE) {
		const uint32_t index = *head;

		take_out(deadlines, index);
		fire(index, context);
	}
}

/* Takes every timer out of its slot and links them all into one chain; their ticks stay. */
static uint32_t unlink_all(struct deadlines *deadlines)
{
	uint32_t chain = NONE;

	for (unsigned level = 0; level < DEADLINE_LEVELS; level++) {
		for (unsigned slot = 0; slot < DEADLINE_SLOTS; slot++) {
			uint32_t index = deadlines->heads[level][slot];

			while (index != NONE) {
				const uint32_t next = deadlines->links[index].next;

				deadlines->links[index].next = chain;
				chain = index;
				index = next;
			}
		}
	}
	memset(deadlines->heads, 0xff, sizeof deadlines->heads);
	memset(deadlines->occupied, 0, sizeof deadlines->occupied);
	return chain;
}

/* Counts ticks from now on, so that a process that runs for years never runs out of them. */
static void rebase(struct deadlines *deadlines)
{
	const uint32_t base = deadlines->tick;
	uint32_t index = unlink_all(deadlines);

	deadlines->start_ns += base * TICK_NS;
	deadlines->tick = 0;
	while (index != NONE) {
		const uint32_t next = deadlines->links[index].next;

		deadlines->links[index].tick -= base;
		insert(deadlines, index);
		index = next;
	}
}

void deadlines_expire(struct deadlines *deadlines, uint64_t now_ns,
	void (*fire)(uint32_t index, void *context), void *context)
{
	const uint64_t elapsed =
		now_ns <= deadlines->start_ns ? 0 : (now_ns - deadlines->start_ns) / TICK_NS;
	const uint32_t present = elapsed > TICK_MAX ? TICK_MAX : (uint32_t)elapsed;

	while (deadlines->tick < present) {
		const uint32_t next = next_tick(deadlines);

		if (next > present) {
			/* Nothing lies between: all that is armed keeps its level and slot. */
			deadlines->tick = present;
			break;
		}
		deadlines->tick = next;
		for (unsigned level = DEADLINE_LEVELS - 1; level > 0; level--) {
			if ((next & ((1U << (LEVEL_BITS * level)) - 1)) == 0) {
				cascade(deadlines, level);
			}
		}
		fire_present(deadlines, fire, context);
	}
	if (deadlines->tick >= REBASE_TICKS) {
		rebase(deadlines);
	}
}
