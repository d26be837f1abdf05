#include "os/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t id)
{
	struct timespec now;

	(void)clock_gettime(id, &now); /* cannot fail for these two clocks */
	return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void clock_pause(uint64_t ns)
{
	const struct timespec length = {.tv_nsec = (long)ns};

	(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &length, NULL);
}

uint64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}
