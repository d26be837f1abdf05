#include "data/busy_poll.h"

enum {
	TALK_PIECES = 2,
	TRUST_MAX = 2,
	GOOD_MIN = 2, /* sleeps, to look from then on */
	VAIN_MAX = 5, /* after which it takes GOOD_MIN << VAIN_MAX */
};

bool busy_poll_is_stream(struct busy_poll_talk *talk, unsigned side)
{
	const uint8_t speaker = (uint8_t)(side + 1);

	if (talk->speaker != speaker) {
		*talk = (struct busy_poll_talk){.speaker = speaker};
	}
	if (talk->pieces == TALK_PIECES) {
		return true;
	}
	talk->pieces++;
	return false;
}

uint64_t busy_poll_begin(struct busy_poll *poll, uint64_t limit_ns)
{
	poll->looking = !busy_poll_is_for_stream(poll) && poll->guess[poll->asked].trust > 0;
	return poll->looking ? limit_ns : 0;
}

static void learn_from_look(struct busy_poll_guess *guess, bool found)
{
	if (found) {
		guess->trust = TRUST_MAX;
		guess->vain = 0;
	} else if (--guess->trust == 0 && guess->vain < VAIN_MAX) {
		guess->vain++;
	}
}

static void learn_from_sleep(struct busy_poll_guess *guess, bool good)
{
	if (!good) {
		if (guess->good > 0) {
			guess->good--;
		}
		return;
	}
	guess->good++;
	if (guess->good >= GOOD_MIN << guess->vain) {
		guess->good = 0;
		guess->trust = 1;
	}
}

void busy_poll_end(struct busy_poll *poll, uint64_t waited_ns, uint64_t limit_ns)
{
	struct busy_poll_guess *guess = &poll->guess[poll->asked];

	if (poll->looking) {
		learn_from_look(guess, waited_ns < limit_ns);
	} else if (!busy_poll_is_for_stream(poll)) {
		/* To be woken takes time, too: half of a sleep counts as the time of the event. */
		learn_from_sleep(guess, waited_ns / 2 < limit_ns);
	}
	busy_poll_skip(poll);
}
