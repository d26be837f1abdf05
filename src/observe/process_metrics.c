#include "observe/process_metrics.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static void write_one(struct page *page, const char *name, const char *help, uint64_t number)
{
	const struct sample sample = {.name = name, .suffix = "", .labels = ""};

	page_metric(page, name, "gauge", help);
	page_number(page, &sample, number);
}

static uint64_t time_ns(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * 1000000000U + (uint64_t)time->tv_usec * 1000U;
}

static void write_cpu(struct page *page)
{
	const struct sample sample = {
		.name = "process_cpu_seconds_total", .suffix = "", .labels = ""};
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		page_metric(
			page, sample.name, "counter", "User and system CPU time spent in seconds.");
		page_seconds(page, &sample, time_ns(&usage.ru_utime) + time_ns(&usage.ru_stime));
	}
}

static void write_memory(struct page *page)
{
	const uint64_t bytes_per_page = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/self/statm", "re");
	uint64_t virtual_pages;
	uint64_t resident_pages;

	if (file == NULL) {
		return;
	}
	if (fscanf(file, "%" SCNu64 " %" SCNu64, &virtual_pages, &resident_pages) == 2) {
		write_one(page, "process_virtual_memory_bytes", "Virtual memory size in bytes.",
			virtual_pages * bytes_per_page);
		write_one(page, "process_resident_memory_bytes", "Resident memory size in bytes.",
			resident_pages * bytes_per_page);
	}
	(void)fclose(file);
}

/* Without ".", ".." and the descriptor of the listing itself. */
static void write_descriptors(struct page *page)
{
	DIR *directory = opendir("/proc/self/fd");
	struct rlimit limit;
	uint64_t count = 0;

	if (directory != NULL) {
		while (readdir(directory) != NULL) {
			count++;
		}
		(void)closedir(directory);
		write_one(page, "process_open_fds", "Number of open file descriptors.",
			count > 3 ? count - 3 : 0);
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		write_one(page, "process_max_fds", "Maximum number of open file descriptors.",
			limit.rlim_cur);
	}
}

void process_metrics_write(struct page *page, uint64_t start_wall_ns)
{
	const struct sample start = {
		.name = "process_start_time_seconds", .suffix = "", .labels = ""};

	write_cpu(page);
	write_memory(page);
	write_descriptors(page);
	page_metric(page, start.name, "gauge",
		"Start time of the process since unix epoch in seconds.");
	page_seconds(page, &start, start_wall_ns);
}
