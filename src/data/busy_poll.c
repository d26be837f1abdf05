#include "data/busy_poll.h"

enum { CREDIT = 4 };

uint64_t busy_poll_ns(const struct busy_poll *poll, uint64_t limit_ns)
{
	return poll->credit > 0 ? limit_ns : 0;
}

void busy_poll_slept(struct busy_poll *poll, uint64_t slept_ns, uint64_t limit_ns)
{
	if (slept_ns < limit_ns) {
		poll->credit = CREDIT;
	} else if (poll->credit > 0) {
		poll->credit--;
	}
}
