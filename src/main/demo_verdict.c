#include "main/demo_verdict.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "main/demo_balancer.h"

enum {
	SESSIONS_MIN = 60, /* fewer of a phase prove nothing */
	PLAY_PERCENT = 2,  /* of all sessions of a phase, from an even share */
};

static const char *victim(void)
{
	return demo_backend_names[DEMO_VICTIM];
}

static void say(struct demo_check *check, bool held, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct demo_check *check, bool held, const char *format, ...)
{
	va_list arguments;

	check->held = held;
	va_start(arguments, format);
	(void)vsnprintf(check->text, sizeof check->text, format, arguments);
	va_end(arguments);
}

static void judge_errors(const struct demo_outcome *outcome, struct demo_check *check)
{
	const struct demo_numbers *numbers = &outcome->numbers;

	if (numbers->errors > 0) {
		say(check, false, "clients saw %" PRIu64 " errors; the first one: %s",
			numbers->errors, numbers->first_error);
	} else if (outcome->damaged > 0) {
		say(check, false, "%" PRIu64 " requests did not arrive whole at the backends",
			outcome->damaged);
	} else if (numbers->requests == 0) {
		say(check, false, "no request was answered at all");
	} else {
		say(check, true,
			"no client saw an error: %" PRIu64 " requests, %.1f MiB checked both ways, "
			"byte by byte",
			numbers->requests, 2 * (double)numbers->bytes / (1024 * 1024));
	}
}

static uint64_t total_of(const uint64_t sessions[static DEMO_BACKEND_COUNT])
{
	uint64_t total = 0;

	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		total += sessions[i];
	}
	return total;
}

/*
 * Round robin gives turns, and a client at the edge of a phase has taken one without being
 * counted: so each backend may differ by as many as there are clients.
 */
static bool is_even(const uint64_t sessions[static DEMO_BACKEND_COUNT], uint64_t clients)
{
	const uint64_t total = total_of(sessions);
	const uint64_t percent = total * PLAY_PERCENT / 100;
	const uint64_t play = percent > clients ? percent : clients;

	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		const uint64_t share = total / DEMO_BACKEND_COUNT;

		if (sessions[i] > share + play || sessions[i] + play < share) {
			return false;
		}
	}
	return true;
}

/* "alpha 33.3 %, beta 33.4 %, gamma 33.3 %" */
static void write_shares(
	const uint64_t sessions[static DEMO_BACKEND_COUNT], char *text, size_t size)
{
	const uint64_t total = total_of(sessions);
	size_t at = 0;

	text[0] = '\0';
	for (size_t i = 0; i < DEMO_BACKEND_COUNT && at < size; i++) {
		const double share = total == 0 ? 0 : 100 * (double)sessions[i] / (double)total;
		const int length = snprintf(text + at, size - at, "%s%s %.1f %%",
			i == 0 ? "" : ", ", demo_backend_names[i], share);

		at += (size_t)length;
	}
}

static void judge_shares(const struct demo_outcome *outcome, struct demo_check *check)
{
	static const enum demo_phase phases[] = {DEMO_BEFORE, DEMO_AFTER};
	static const char *const when[] = {"before the failure", "after the recovery"};
	char text[128];

	for (size_t i = 0; i < ARRAY_COUNT(phases); i++) {
		const uint64_t *sessions = outcome->numbers.sessions[phases[i]];

		write_shares(sessions, text, sizeof text);
		if (total_of(sessions) < SESSIONS_MIN) {
			say(check, false, "there were too few sessions %s: %" PRIu64, when[i],
				total_of(sessions));
			return;
		}
		if (!is_even(sessions, outcome->clients)) {
			say(check, false, "the shares were not even %s: %s", when[i], text);
			return;
		}
	}
	write_shares(outcome->numbers.sessions[DEMO_BEFORE], text, sizeof text);
	say(check, true, "shares were even while all were healthy: %s", text);
}

/* The states that the victim went through: "healthy -> draining -> unhealthy". */
static void write_path(const struct demo_outcome *outcome, char *text, size_t size)
{
	size_t at = (size_t)snprintf(text, size, "healthy");

	for (size_t i = 0; i < outcome->transition_count && i < DEMO_TRANSITION_MAX; i++) {
		const struct demo_event *event = &outcome->transitions[i];

		if (strcmp(event->backend, victim()) == 0 && at < size) {
			at += (size_t)snprintf(text + at, size - at, " -> %s", event->to);
		}
	}
}

/* A backend other than the victim that did not stay healthy, or NULL. */
static const char *bystander(const struct demo_outcome *outcome)
{
	for (size_t i = 0; i < outcome->transition_count && i < DEMO_TRANSITION_MAX; i++) {
		if (strcmp(outcome->transitions[i].backend, victim()) != 0) {
			return outcome->transitions[i].backend;
		}
	}
	return NULL;
}

static void judge_path(const struct demo_outcome *outcome, struct demo_check *check)
{
	const char *other = bystander(outcome);
	char path[DEMO_TRANSITION_MAX * DEMO_WORD_MAX];

	write_path(outcome, path, sizeof path);
	if (strcmp(path, "healthy -> draining -> unhealthy -> healthy") != 0) {
		say(check, false,
			"%s should have gone healthy -> draining -> unhealthy -> healthy, but it "
			"went %.120s",
			victim(), path);
	} else if (other != NULL) {
		say(check, false, "%s should have stayed healthy, and did not", other);
	} else {
		say(check, true, "%s went %s; the others stayed healthy", victim(), path);
	}
}

/* The time of the victim's first transition to this state; `otherwise` when there is none. */
static uint64_t time_of(const struct demo_outcome *outcome, const char *to, uint64_t otherwise)
{
	for (size_t i = 0; i < outcome->transition_count && i < DEMO_TRANSITION_MAX; i++) {
		const struct demo_event *event = &outcome->transitions[i];

		if (strcmp(event->backend, victim()) == 0 && strcmp(event->to, to) == 0) {
			return event->wall_ns;
		}
	}
	return otherwise;
}

/*
 * A session is an intruder when all of it up to its first answer lies between the two events. The
 * change is recorded before the snapshot with it is published, so nobody is accused who came in
 * good order.
 */
static void judge_intruders(const struct demo_outcome *outcome, struct demo_check *check)
{
	const uint64_t out_ns = time_of(outcome, "draining", UINT64_MAX);
	const uint64_t back_ns = time_of(outcome, "healthy", UINT64_MAX);
	const struct demo_numbers *numbers = &outcome->numbers;
	uint64_t intruders = 0;

	for (size_t i = 0; i < numbers->suspect_count && i < DEMO_SUSPECT_MAX; i++) {
		if (numbers->suspects[i].begun_ns > out_ns &&
			numbers->suspects[i].answered_ns < back_ns) {
			intruders++;
		}
	}
	if (out_ns == UINT64_MAX) {
		say(check, false, "%s never went out", victim());
	} else if (numbers->suspect_count > DEMO_SUSPECT_MAX) {
		say(check, false, "%u sessions began on %s around its failure: too many to look at",
			numbers->suspect_count, victim());
	} else if (intruders > 0) {
		say(check, false, "%s got %" PRIu64 " new sessions while it was out", victim(),
			intruders);
	} else {
		say(check, true, "%s got no new session while it was out", victim());
	}
}

static void judge_old_sessions(const struct demo_outcome *outcome, struct demo_check *check)
{
	if (outcome->numbers.old_answers == 0) {
		say(check, false, "the sessions that %s had did not go on when it failed",
			victim());
	} else {
		say(check, true,
			"the sessions that it had went on: %" PRIu64 " requests answered meanwhile",
			outcome->numbers.old_answers);
	}
}

static void judge_return(const struct demo_outcome *outcome, struct demo_check *check)
{
	const uint64_t sessions = outcome->numbers.sessions[DEMO_AFTER][DEMO_VICTIM];

	if (sessions == 0) {
		say(check, false, "%s got no session after its recovery", victim());
	} else {
		say(check, true, "%s serves again: %" PRIu64 " sessions since its recovery",
			victim(), sessions);
	}
}

static void judge_stop(const struct demo_outcome *outcome, struct demo_check *check)
{
	if (outcome->exit_code != 0) {
		say(check, false, "the balancer ended with exit code %d%s", outcome->exit_code,
			outcome->exit_code > 128 ? ": a signal killed it" : "");
	} else if (!outcome->stopped) {
		say(check, false, "the balancer did not say that it had stopped");
	} else if (outcome->sessions_cut > 0) {
		say(check, false, "the balancer cut %" PRIu64 " sessions when it stopped",
			outcome->sessions_cut);
	} else {
		say(check, true, "the balancer stopped in good order: no session cut, exit code 0");
	}
}

bool demo_judge(
	const struct demo_outcome *outcome, struct demo_check checks[static DEMO_CHECK_COUNT])
{
	static void (*const judges[DEMO_CHECK_COUNT])(
		const struct demo_outcome *outcome, struct demo_check *check) = {
		[DEMO_CHECK_ERRORS] = judge_errors,
		[DEMO_CHECK_SHARES] = judge_shares,
		[DEMO_CHECK_PATH] = judge_path,
		[DEMO_CHECK_INTRUDERS] = judge_intruders,
		[DEMO_CHECK_OLD_SESSIONS] = judge_old_sessions,
		[DEMO_CHECK_RETURN] = judge_return,
		[DEMO_CHECK_STOP] = judge_stop,
	};
	bool all = true;

	for (size_t i = 0; i < DEMO_CHECK_COUNT; i++) {
		judges[i](outcome, &checks[i]);
		all = all && checks[i].held;
	}
	return all;
}
