#include "main/demo_report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum colour { PLAIN, BOLD, RED, GREEN, YELLOW };

static const char *escape(const struct demo_report *report, enum colour colour)
{
	static const char *const sequences[] = {
		[PLAIN] = "\033[0m",
		[BOLD] = "\033[1m",
		[RED] = "\033[31m",
		[GREEN] = "\033[32m",
		[YELLOW] = "\033[33m",
	};

	return report->colour ? sequences[colour] : "";
}

static enum colour colour_of(const char *state)
{
	if (strcmp(state, "healthy") == 0) {
		return GREEN;
	}
	return strcmp(state, "draining") == 0 ? YELLOW : RED;
}

bool demo_report_wants_colour(int fd, const char *no_color, const char *term)
{
	return (no_color == NULL || *no_color == '\0') &&
		(term != NULL && strcmp(term, "dumb") != 0) && isatty(fd) == 1;
}

void demo_report_init(struct demo_report *report, FILE *file, bool colour)
{
	*report = (struct demo_report){.file = file, .colour = colour};
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		(void)snprintf(report->states[i], DEMO_WORD_MAX, "healthy");
	}
}

void demo_report_opening(const struct demo_report *report, const struct demo_balancer *balancer,
	const uint16_t ports[static DEMO_BACKEND_COUNT], unsigned clients)
{
	(void)fprintf(report->file,
		"%sA balancer, three backends and %u clients, all on loopback%s\n\n"
		"  clients --> 127.0.0.1:%u --+--> %-5s 127.0.0.1:%u\n"
		"              round robin     +--> %-5s 127.0.0.1:%u\n"
		"                              +--> %-5s 127.0.0.1:%u\n\n"
		"  metrics: http://127.0.0.1:%u/metrics\n\n",
		escape(report, BOLD), clients, escape(report, PLAIN), balancer->port,
		demo_backend_names[0], ports[0], demo_backend_names[1], ports[1],
		demo_backend_names[2], ports[2], balancer->metrics_port);
	(void)fflush(report->file);
}

void demo_report_head(const struct demo_report *report)
{
	(void)fprintf(report->file, "%s    time   new sessions/s of", escape(report, BOLD));
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		(void)fprintf(report->file, " %6s", demo_backend_names[i]);
	}
	(void)fprintf(report->file, "   p50 ms   p99 ms   errors%s\n", escape(report, PLAIN));
	(void)fflush(report->file);
}

static double milliseconds(const struct demo_latency *latency, uint32_t per_mille)
{
	return (double)demo_latency_quantile(latency, per_mille) / 1000;
}

void demo_report_tick(const struct demo_report *report, uint64_t since_start_ms,
	const struct demo_interval *interval, uint64_t interval_ms, uint64_t errors)
{
	const uint64_t divisor = interval_ms > 0 ? interval_ms : 1;

	(void)fprintf(report->file, "%6.1f s                     ", (double)since_start_ms / 1000);
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		(void)fprintf(report->file, " %s%6" PRIu64 "%s",
			escape(report, colour_of(report->states[i])),
			(interval->sessions[i] * 1000 + divisor / 2) / divisor,
			escape(report, PLAIN));
	}
	(void)fprintf(report->file, " %8.2f %8.2f   %s%6" PRIu64 "%s\n",
		milliseconds(&interval->latency, 500), milliseconds(&interval->latency, 990),
		escape(report, errors > 0 ? RED : PLAIN), errors, escape(report, PLAIN));
	(void)fflush(report->file);
}

void demo_report_say(
	const struct demo_report *report, uint64_t since_start_ms, const char *format, ...)
{
	va_list arguments;

	(void)fprintf(report->file, "%6.1f s   ", (double)since_start_ms / 1000);
	va_start(arguments, format);
	(void)vfprintf(report->file, format, arguments);
	va_end(arguments);
	(void)fputc('\n', report->file);
	(void)fflush(report->file);
}

void demo_report_transition(
	struct demo_report *report, uint64_t since_start_ms, const struct demo_event *event)
{
	for (size_t i = 0; i < DEMO_BACKEND_COUNT; i++) {
		if (strcmp(event->backend, demo_backend_names[i]) == 0) {
			(void)snprintf(report->states[i], DEMO_WORD_MAX, "%s", event->to);
		}
	}
	(void)fprintf(report->file, "%6.1f s   %s%s: %s -> %s%s", (double)since_start_ms / 1000,
		escape(report, colour_of(event->to)), event->backend, event->from, event->to,
		escape(report, PLAIN));
	if (strcmp(event->from, "healthy") == 0) {
		(void)fprintf(report->file,
			" (%" PRIu64 " failures in a row: %s; %" PRIu64 " sessions go on)",
			event->failures, event->reason, event->sessions);
	} else if (strcmp(event->to, "healthy") == 0) {
		(void)fprintf(report->file, " (%" PRIu64 " successful probes in a row)",
			event->successes);
	} else {
		(void)fputs(" (its last session has ended)", report->file);
	}
	(void)fputc('\n', report->file);
	(void)fflush(report->file);
}

void demo_report_closing(const struct demo_report *report, const struct demo_numbers *numbers,
	const struct demo_check checks[static DEMO_CHECK_COUNT])
{
	static const char *const phases[DEMO_PHASE_COUNT] = {
		[DEMO_BEFORE] = "all healthy",
		[DEMO_OUT] = "one is out",
		[DEMO_AFTER] = "all healthy again",
	};

	(void)fprintf(
		report->file, "\n%sRequests%s\n", escape(report, BOLD), escape(report, PLAIN));
	for (size_t i = 0; i < DEMO_PHASE_COUNT; i++) {
		const struct demo_latency *latency = &numbers->latency[i];

		(void)fprintf(report->file, "  %-17s %8" PRIu64 "   p50 %6.2f ms   p99 %6.2f ms\n",
			phases[i], latency->count, milliseconds(latency, 500),
			milliseconds(latency, 990));
	}
	(void)fprintf(report->file, "\n%sChecks%s\n", escape(report, BOLD), escape(report, PLAIN));
	for (size_t i = 0; i < DEMO_CHECK_COUNT; i++) {
		(void)fprintf(report->file, "  %s%-6s%s %s\n",
			escape(report, checks[i].held ? GREEN : RED),
			checks[i].held ? "ok" : "FAILED", escape(report, PLAIN), checks[i].text);
	}
	(void)fflush(report->file);
}
