#include "main/restarts.h"

static const uint64_t FIRST_DELAY_NS = 10 * 1000000ULL;
static const uint64_t LAST_DELAY_NS = 1000000000ULL;      /* all sessions wait */
static const uint64_t TOKEN_NS = 200 * 1000000ULL;        /* one restart */
static const uint64_t BUCKET_NS = 300 * 200 * 1000000ULL; /* so many at once */

enum { FAILURES_MAX = 7 }; /* FIRST_DELAY_NS << 7 is more than LAST_DELAY_NS */

uint64_t restarts_delay_ns(struct restarts *restarts, bool had_served, uint64_t now_ns)
{
	uint64_t delay_ns;

	if (!had_served) {
		delay_ns = FIRST_DELAY_NS << restarts->failures;
		restarts->failures += restarts->failures < FAILURES_MAX ? 1 : 0;
		return delay_ns < LAST_DELAY_NS ? delay_ns : LAST_DELAY_NS;
	}
	restarts->failures = 0;
	if (restarts->spent_ns < now_ns) {
		restarts->spent_ns = now_ns;
	}
	restarts->spent_ns += TOKEN_NS;
	delay_ns = restarts->spent_ns - now_ns;
	return delay_ns <= BUCKET_NS ? 0 : delay_ns - BUCKET_NS;
}
