#include "main/demo_tally.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void demo_tally_init(struct demo_tally *tally)
{
	memset(tally, 0, sizeof *tally);
	(void)pthread_mutex_init(&tally->lock, NULL);
}

void demo_tally_done(struct demo_tally *tally)
{
	(void)pthread_mutex_destroy(&tally->lock);
}

void demo_tally_enter(struct demo_tally *tally, enum demo_phase phase)
{
	(void)pthread_mutex_lock(&tally->lock);
	tally->numbers.phase = phase;
	(void)pthread_mutex_unlock(&tally->lock);
}

enum demo_phase demo_tally_phase(struct demo_tally *tally)
{
	enum demo_phase phase;

	(void)pthread_mutex_lock(&tally->lock);
	phase = tally->numbers.phase;
	(void)pthread_mutex_unlock(&tally->lock);
	return phase;
}

static void add_session(struct demo_tally *tally, const struct demo_answer *answer)
{
	struct demo_numbers *numbers = &tally->numbers;

	tally->interval.sessions[answer->backend]++;
	if (answer->begun_phase == numbers->phase) {
		numbers->sessions[numbers->phase][answer->backend]++;
	}
	if (answer->begun_phase == DEMO_OUT && answer->backend == DEMO_VICTIM) {
		if (numbers->suspect_count < DEMO_SUSPECT_MAX) {
			numbers->suspects[numbers->suspect_count] = (struct demo_suspect){
				.begun_ns = answer->begun_ns,
				.answered_ns = answer->now_ns,
			};
		}
		numbers->suspect_count++;
	}
}

void demo_tally_answer(struct demo_tally *tally, const struct demo_answer *answer)
{
	struct demo_numbers *numbers = &tally->numbers;

	assert(answer->backend < DEMO_BACKEND_COUNT);
	(void)pthread_mutex_lock(&tally->lock);
	numbers->requests++;
	numbers->bytes += answer->bytes;
	demo_latency_add(&numbers->latency[numbers->phase], answer->latency_ns);
	demo_latency_add(&tally->interval.latency, answer->latency_ns);
	if (answer->first) {
		add_session(tally, answer);
	} else if (numbers->phase == DEMO_OUT && answer->begun_phase == DEMO_BEFORE &&
		answer->backend == DEMO_VICTIM) {
		numbers->old_answers++;
	}
	(void)pthread_mutex_unlock(&tally->lock);
}

void demo_tally_error(struct demo_tally *tally, const char *format, ...)
{
	struct demo_numbers *numbers = &tally->numbers;
	va_list arguments;

	(void)pthread_mutex_lock(&tally->lock);
	if (numbers->errors == 0) {
		va_start(arguments, format);
		(void)vsnprintf(
			numbers->first_error, sizeof numbers->first_error, format, arguments);
		va_end(arguments);
	}
	numbers->errors++;
	(void)pthread_mutex_unlock(&tally->lock);
}

void demo_tally_read(struct demo_tally *tally, struct demo_numbers *ret_numbers,
	struct demo_interval *ret_interval)
{
	(void)pthread_mutex_lock(&tally->lock);
	*ret_numbers = tally->numbers;
	if (ret_interval != NULL) {
		*ret_interval = tally->interval;
		memset(&tally->interval, 0, sizeof tally->interval);
	}
	(void)pthread_mutex_unlock(&tally->lock);
}
