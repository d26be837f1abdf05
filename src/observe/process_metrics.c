#include "observe/process_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STAT_FIELDS_BEFORE_START = 19, STAT_MAX = 1024, LINE_MAX_BYTES = 256 };

static const uint64_t NS_PER_S = 1000000000;

static struct sample begin(struct page *page, const char *name, const char *type, const char *help)
{
	page_metric(page, name, type, help);
	return (struct sample){.name = name, .suffix = "", .labels = ""};
}

static void write_one(struct page *page, const char *name, const char *help, uint64_t number)
{
	const struct sample sample = begin(page, name, "gauge", help);

	page_number(page, &sample, number);
}

static void write_cpu(struct page *page, uint64_t past_ns)
{
	struct timespec used;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used) == 0) {
		const struct sample sample = begin(page, "process_cpu_seconds_total", "counter",
			"Total user and system CPU time spent in seconds.");

		page_seconds(page, &sample,
			past_ns + (uint64_t)used.tv_sec * NS_PER_S + (uint64_t)used.tv_nsec);
	}
}

static void write_memory(struct page *page)
{
	const uint64_t bytes_per_page = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t virtual_pages;
	uint64_t resident_pages;
	int fields;

	if (file == NULL) {
		return;
	}
	fields = fscanf(file, "%" SCNu64 " %" SCNu64, &virtual_pages, &resident_pages);
	(void)fclose(file);
	if (fields == 2) {
		write_one(page, "process_virtual_memory_bytes", "Virtual memory size in bytes.",
			virtual_pages * bytes_per_page);
		write_one(page, "process_resident_memory_bytes", "Resident memory size in bytes.",
			resident_pages * bytes_per_page);
	}
}

/* Without ".", ".." and the descriptor of the listing itself. */
static uint64_t count_entries(void)
{
	DIR *directory = opendir("/proc/self/fd");
	uint64_t count = 0;

	if (directory == NULL) {
		return 0;
	}
	/* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody else reads this stream */
	while (readdir(directory) != NULL) {
		count++;
	}
	(void)closedir(directory);
	return count > 3 ? count - 3 : 0;
}

/* Kernels from 6.2 on say it as the size; the list of a million descriptors takes its time. */
static uint64_t open_descriptors(void)
{
	struct stat status;

	if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0) {
		return (uint64_t)status.st_size;
	}
	return count_entries();
}

static void write_descriptors(struct page *page)
{
	const uint64_t count = open_descriptors();
	struct rlimit limit;

	if (count > 0) {
		write_one(page, "process_open_fds", "Number of open file descriptors.", count);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		write_one(page, "process_max_fds", "Maximum number of open file descriptors.",
			limit.rlim_cur);
	}
}

/* When the system started, in seconds since 1970; 0: unknown. */
static uint64_t boot_seconds(void)
{
	FILE *file = fopen("/proc/stat", "re");
	char line[LINE_MAX_BYTES];
	uint64_t seconds = 0;

	if (file == NULL) {
		return 0;
	}
	while (seconds == 0 && fgets(line, sizeof line, file) != NULL) {
		if (sscanf(line, "btime %" SCNu64, &seconds) != 1) {
			seconds = 0;
		}
	}
	(void)fclose(file);
	return seconds;
}

/* When the process started, in clock ticks since the system did; 0: unknown. */
static uint64_t start_ticks(void)
{
	FILE *file = fopen("/proc/self/stat", "re");
	char text[STAT_MAX] = "";
	uint64_t ticks = 0;
	const char *field;

	if (file == NULL) {
		return 0;
	}
	/* The name of the program, in parentheses, may hold anything: what follows the last one. */
	field = fgets(text, sizeof text, file) == NULL ? NULL : strrchr(text, ')');
	(void)fclose(file);
	if (field == NULL) {
		return 0;
	}
	for (int i = 0; i <= STAT_FIELDS_BEFORE_START && field != NULL; i++) {
		field = strchr(field + 1, ' ');
	}
	return field != NULL && sscanf(field, "%" SCNu64, &ticks) == 1 ? ticks : 0;
}

static void write_start(struct page *page)
{
	const uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);
	const uint64_t boot_s = boot_seconds();
	const uint64_t ticks = start_ticks();

	if (boot_s != 0 && ticks != 0) {
		const struct sample sample = begin(page, "process_start_time_seconds", "gauge",
			"Start time of the process since unix epoch in seconds.");

		page_seconds(page, &sample, boot_s * NS_PER_S + ticks * (NS_PER_S / ticks_per_s));
	}
}

void process_metrics_write(struct page *page, uint64_t past_cpu_ns)
{
	write_cpu(page, past_cpu_ns);
	write_memory(page);
	write_descriptors(page);
	write_start(page);
}
