/*
 * What the demo shows to people while it runs, and at its end.
 *
 * Threads: the first one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "main/demo_balancer.h"
#include "main/demo_event.h"
#include "main/demo_tally.h"
#include "main/demo_verdict.h"

struct demo_report {
	FILE *file; /* borrowed */
	bool colour;
	char states[DEMO_BACKEND_COUNT][DEMO_WORD_MAX]; /* as the balancer last said */
};

/* Whether escape sequences are welcome: on a terminal, and unless NO_COLOR is set. */
bool demo_report_wants_colour(int fd, const char *no_color, const char *term);

/* All backends are healthy to begin with. */
void demo_report_init(struct demo_report *report, FILE *file, bool colour);

void demo_report_opening(const struct demo_report *report, const struct demo_balancer *balancer,
	const uint16_t ports[static DEMO_BACKEND_COUNT], unsigned clients);

/* The head of the table of demo_report_tick(). */
void demo_report_head(const struct demo_report *report);

/* One line about the time since the last one; times in milliseconds. */
void demo_report_tick(const struct demo_report *report, uint64_t since_start_ms,
	const struct demo_interval *interval, uint64_t interval_ms, uint64_t errors);

/* A sentence among the lines. */
void demo_report_say(const struct demo_report *report, uint64_t since_start_ms, const char *format,
	...) __attribute__((format(printf, 3, 4)));

/* A change of state, which the next lines remember. */
void demo_report_transition(
	struct demo_report *report, uint64_t since_start_ms, const struct demo_event *event);

/* Latencies by phase, and every check. */
void demo_report_closing(const struct demo_report *report, const struct demo_numbers *numbers,
	const struct demo_check checks[static DEMO_CHECK_COUNT]);
