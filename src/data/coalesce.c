#include "data/coalesce.h"

enum {
	MANY = 16,      /* events: what a pause is to bring, and a turn that needs none before it */
	WORTH = 8,      /* a pause that brings less was in vain */
	BEGIN_PART = 8, /* a worker is busy that was idle for no more than this part of a window, */
	STAY_PART = 4,  /* and stays so up to this part, in which its pauses count */
	VAIN_MAX = 8,   /* pauses in vain, after which the next comes 2^VAIN_MAX windows later */
};

static const uint64_t WINDOW_NS = 2 * 1000000ULL;
static const uint64_t WAKING_NS = 50 * 1000ULL;       /* that may take so long */
static const uint64_t WINDOW_MAX_NS = 4 * 1000000ULL; /* there was a long sleep, or a long turn */

static bool is_busy(const struct coalesce *coalesce, uint64_t length_ns)
{
	const uint64_t part = coalesce->pause_ns > 0 ? STAY_PART : BEGIN_PART;

	return length_ns < WINDOW_MAX_NS && coalesce->idle_ns * part <= length_ns;
}

/* How long many events take at this rate, or as many of them as are worth it; 0: too long. */
static uint64_t pause_for(uint64_t length_ns, uint32_t events, uint64_t limit_ns)
{
	if (length_ns * MANY <= limit_ns * events) {
		return length_ns * MANY / events;
	}
	return length_ns * WORTH <= limit_ns * events ? limit_ns : 0;
}

static void begin_window(struct coalesce *coalesce, uint64_t now_ns, uint64_t limit_ns)
{
	const uint64_t length_ns = now_ns - coalesce->window_ns;
	const bool busy = is_busy(coalesce, length_ns);

	coalesce->pause_ns = 0;
	if (coalesce->skip > 0) {
		coalesce->skip--;
	} else if (busy && coalesce->events > 0) {
		coalesce->pause_ns = (uint32_t)pause_for(length_ns, coalesce->events, limit_ns);
	}
	coalesce->window_ns = now_ns;
	coalesce->idle_ns = 0;
	coalesce->events = 0;
}

/* Whether one more pause leaves it busy. */
static bool has_time(const struct coalesce *coalesce)
{
	return (coalesce->idle_ns + coalesce->pause_ns) * STAY_PART <= WINDOW_NS;
}

uint64_t coalesce_begin(struct coalesce *coalesce, uint64_t turn_ns, uint64_t now_ns,
	uint32_t count, uint64_t limit_ns)
{
	coalesce->idle_ns += turn_ns - coalesce->wait_ns;
	coalesce->wait_ns = now_ns;
	coalesce->events += count;
	if (now_ns - coalesce->window_ns >= WINDOW_NS) {
		begin_window(coalesce, now_ns, limit_ns);
	}
	return count > 0 && count < MANY && has_time(coalesce) ? coalesce->pause_ns : 0;
}

void coalesce_end(struct coalesce *coalesce, uint64_t paused_ns, uint32_t count)
{
	if (count >= WORTH && paused_ns <= 2 * (uint64_t)coalesce->pause_ns + WAKING_NS) {
		coalesce->vain = 0;
		return;
	}
	coalesce->pause_ns = 0;
	if (coalesce->vain < VAIN_MAX) {
		coalesce->vain++;
	}
	coalesce->skip = 1U << coalesce->vain;
}
