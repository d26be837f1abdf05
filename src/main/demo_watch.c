#include "main/demo_watch.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "os/clock.h"
#include "os/thread.h"

/* The values that are asked for here hold no escapes: they are words and addresses. */
void demo_watch_field(const char *line, const char *key, char *text, unsigned size)
{
	char pattern[48];
	const char *start;
	const char *end;

	text[0] = '\0';
	(void)snprintf(pattern, sizeof pattern, "\"%s\":\"", key);
	start = strstr(line, pattern);
	if (start == NULL) {
		return;
	}
	start += strlen(pattern);
	end = strchr(start, '"');
	if (end != NULL && (size_t)(end - start) < size) {
		memcpy(text, start, (size_t)(end - start));
		text[end - start] = '\0';
	}
}

static enum demo_step next_step(enum demo_step step, const char *to)
{
	if (strcmp(to, "draining") == 0 && step == DEMO_STEP_HEALTHY) {
		return DEMO_STEP_DRAINING;
	}
	if (strcmp(to, "unhealthy") == 0 && step == DEMO_STEP_DRAINING) {
		return DEMO_STEP_UNHEALTHY;
	}
	if (strcmp(to, "healthy") == 0 && step == DEMO_STEP_UNHEALTHY) {
		return DEMO_STEP_RECOVERED;
	}
	return step;
}

static void on_change(struct demo_watch *watch, const char *line)
{
	char backend[64];
	char from[16];
	char to[16];
	char reason[24];

	demo_watch_field(line, "backend", backend, sizeof backend);
	demo_watch_field(line, "from", from, sizeof from);
	demo_watch_field(line, "to", to, sizeof to);
	demo_watch_field(line, "reason", reason, sizeof reason);
	(void)printf("%6.1f s  %s: %s -> %s%s%s%s\n",
		(double)(clock_monotonic_ns() - watch->start_ns) / 1e9, backend, from, to,
		reason[0] != '\0' ? " (" : "", reason, reason[0] != '\0' ? ")" : "");
	(void)fflush(stdout);
	if (strcmp(backend, watch->failing) == 0) {
		atomic_store(&watch->step,
			(int)next_step((enum demo_step)atomic_load(&watch->step), to));
	} else {
		(void)atomic_fetch_add(&watch->other_changes, 1);
	}
}

static void on_line(struct demo_watch *watch, const char *line)
{
	char event[32];

	demo_watch_field(line, "event", event, sizeof event);
	if (strcmp(event, "backend_health") == 0) {
		on_change(watch, line);
	} else if (strcmp(event, "process_started") == 0 || strcmp(event, "started") == 0) {
		atomic_store(&watch->started, 1);
	} else if (line[0] != '{') {
		(void)fputs(line, stderr); /* why it could not start */
	}
}

static void *run(void *argument)
{
	struct demo_watch *watch = argument;
	FILE *log = fdopen(watch->fd, "r");
	char line[4096];

	if (log == NULL) {
		(void)close(watch->fd);
	} else {
		while (fgets(line, sizeof line, log) != NULL) {
			on_line(watch, line);
		}
		(void)fclose(log);
	}
	atomic_store(&watch->ended, 1);
	return NULL;
}

int demo_watch_start(struct demo_watch *watch, int fd, uint16_t failing_port, struct error *err)
{
	*watch = (struct demo_watch){.fd = fd, .start_ns = clock_monotonic_ns()};
	(void)snprintf(watch->failing, sizeof watch->failing, "127.0.0.1:%u", failing_port);
	return thread_start(&watch->thread, "demo-watch", run, watch, err);
}

void demo_watch_join(struct demo_watch *watch)
{
	(void)pthread_join(watch->thread, NULL);
}
