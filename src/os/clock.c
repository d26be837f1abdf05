#include "os/clock.h"

#include <time.h>

static const uint64_t NS_PER_MS = 1000000;

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

int clock_sleep_ms(uint64_t until_ns, uint64_t now_ns)
{
	uint64_t ms;

	if (until_ns == UINT64_MAX) {
		return -1;
	}
	if (until_ns <= now_ns) {
		return 0;
	}
	ms = (until_ns - now_ns - 1) / NS_PER_MS + 1;
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}
