#include "data/busy_poll.h"

enum {
	TRUST_MAX = 3,
	TRUST_MIN = 2, /* to look */
};

static bool is_for_bulk(const struct busy_poll *poll)
{
	return poll->bulk && !poll->asked;
}

uint64_t busy_poll_begin(struct busy_poll *poll, uint64_t limit_ns)
{
	poll->looking = !is_for_bulk(poll) && poll->trust[poll->asked] >= TRUST_MIN;
	return poll->looking ? limit_ns : 0;
}

/* To be woken takes time, too: half of a sleep counts as the time until the event. */
static bool was_worth(const struct busy_poll *poll, uint64_t waited_ns, uint64_t limit_ns)
{
	return (poll->looking ? waited_ns : waited_ns / 2) < limit_ns;
}

static void learn(uint8_t *trust, bool worth)
{
	if (worth && *trust < TRUST_MAX) {
		++*trust;
	} else if (!worth && *trust > 0) {
		--*trust;
	}
}

void busy_poll_end(struct busy_poll *poll, uint64_t waited_ns, uint64_t limit_ns)
{
	if (!is_for_bulk(poll)) {
		learn(&poll->trust[poll->asked], was_worth(poll, waited_ns, limit_ns));
	}
	poll->asked = false;
	poll->bulk = false;
}
