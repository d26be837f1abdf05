#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/testing.h"
#include "observe/process_metrics.h"
#include "os/clock.h"

enum { PAST_CPU_S = 100 };

/* The value of a metric without labels, as it stands on a page made now. */
static double value_of(const char *name)
{
	struct page page = page_begin();
	char start[64];
	const char *at;
	char *text;
	double value;

	process_metrics_write(&page, PAST_CPU_S * 1000000000ULL);
	assert_false(page.failed);
	text = calloc(1, page.length + 1);
	assert_non_null(text);
	memcpy(text, page.text, page.length);
	(void)snprintf(start, sizeof start, "\n%s ", name);
	at = strstr(text, start);
	assert_non_null(at);
	value = strtod(at + strlen(start), NULL);
	free(text);
	page_done(&page);
	return value;
}

static void descriptors_are_counted(void **state)
{
	const double before = value_of("process_open_fds");
	int fds[2];

	(void)state;
	assert_true(before >= 3);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(value_of("process_open_fds") == before + 2);
	(void)close(fds[0]);
	(void)close(fds[1]);
	assert_true(value_of("process_max_fds") >= before);
}

static void memory_and_time_are_told(void **state)
{
	const double cpu = value_of("process_cpu_seconds_total");
	const double now = (double)clock_wall_ns() / 1e9;
	const double start = value_of("process_start_time_seconds");

	(void)state;
	assert_true(value_of("process_resident_memory_bytes") >= 100000);
	assert_true(value_of("process_virtual_memory_bytes") >=
		value_of("process_resident_memory_bytes"));
	assert_true(cpu >= PAST_CPU_S);
	assert_true(cpu < PAST_CPU_S + 60);
	assert_true(value_of("process_cpu_seconds_total") >= cpu);
	/* Clock ticks and the whole seconds of the boot time are coarse. */
	assert_true(start <= now + 2);
	assert_true(start > now - 600);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_counted),
		cmocka_unit_test(memory_and_time_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
