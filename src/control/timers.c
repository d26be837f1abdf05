#include "control/timers.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int timers_init(struct timers *timers, uint32_t limit)
{
	*timers = (struct timers){.limit = limit};
	timers->heap = calloc(limit, sizeof *timers->heap);
	return timers->heap != NULL ? 0 : -ENOMEM;
}

void timers_done(struct timers *timers)
{
	free(timers->heap);
	*timers = (struct timers){.heap = NULL};
}

static void put(struct timers *timers, uint32_t i, struct timer *timer)
{
	timers->heap[i] = timer;
	timer->place = i + 1;
}

/* Moves what is at `i` towards the root until its parent is not later. */
static void sift_up(struct timers *timers, uint32_t i)
{
	struct timer *timer = timers->heap[i];

	while (i > 0 && timers->heap[(i - 1) / 2]->at_ns > timer->at_ns) {
		put(timers, i, timers->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	put(timers, i, timer);
}

static void sift_down(struct timers *timers, uint32_t i)
{
	struct timer *timer = timers->heap[i];

	for (;;) {
		uint32_t child = 2 * i + 1;

		if (child >= timers->count) {
			break;
		}
		if (child + 1 < timers->count &&
			timers->heap[child + 1]->at_ns < timers->heap[child]->at_ns) {
			child++;
		}
		if (timers->heap[child]->at_ns >= timer->at_ns) {
			break;
		}
		put(timers, i, timers->heap[child]);
		i = child;
	}
	put(timers, i, timer);
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t at_ns)
{
	timer->at_ns = at_ns;
	if (timer->place == 0) {
		assert(timers->count < timers->limit);
		put(timers, timers->count++, timer);
	}
	sift_up(timers, timer->place - 1);
	sift_down(timers, timer->place - 1);
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
	const uint32_t place = timer->place;
	struct timer *last;

	if (place == 0) {
		return;
	}
	assert(timers->heap[place - 1] == timer);
	timer->place = 0;
	last = timers->heap[--timers->count];
	if (last != timer) {
		put(timers, place - 1, last);
		sift_up(timers, place - 1);
		sift_down(timers, last->place - 1);
	}
}

uint64_t timers_next(const struct timers *timers)
{
	return timers->count > 0 ? timers->heap[0]->at_ns : UINT64_MAX;
}

struct timer *timers_take(struct timers *timers, uint64_t now_ns)
{
	struct timer *timer;

	if (timers_next(timers) > now_ns) {
		return NULL;
	}
	timer = timers->heap[0];
	timers_cancel(timers, timer);
	return timer;
}
