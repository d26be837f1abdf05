#include "tally.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum { MESSAGES_MAX = 50, GAP_STEPS = 16 };

static const char *const names[COUNT_COUNT] = {
	[COUNT_OPENED] = "opened",
	[COUNT_ENDED] = "ended",
	[COUNT_ABORTED] = "aborted",
	[COUNT_ABANDONED] = "abandoned",
	[COUNT_SENT_BYTES] = "sent_bytes",
	[COUNT_CHECKED_BYTES] = "checked_bytes",
	[COUNT_REQUESTS] = "requests",
	[COUNT_DAMAGED] = "damaged",
	[COUNT_DISPLACED] = "displaced",
	[COUNT_STRANGERS] = "strangers",
	[COUNT_RESET] = "reset",
	[COUNT_CUT] = "cut",
	[COUNT_REFUSED] = "refused",
	[COUNT_UNREACHED] = "unreached",
	[COUNT_REPEATED] = "repeated",
	[COUNT_STALLED] = "stalled",
	[COUNT_UNFINISHED] = "unfinished",
	[COUNT_LOCAL] = "local",
};

static const char *const side_names[SIDE_COUNT] = {"client", "backend"};

struct tally *tally_create(void)
{
	void *memory = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

bool tally_is_error(enum count count)
{
	return count >= COUNT_DAMAGED;
}

uint64_t tally_errors(const struct tally *tally)
{
	uint64_t sum = 0;

	for (int side = 0; side < SIDE_COUNT; side++) {
		for (int i = COUNT_DAMAGED; i < COUNT_COUNT; i++) {
			sum += tally->count[side][i];
		}
	}
	return sum;
}

void tally_error(struct tally *tally, enum side side, enum count count, enum session_class class,
	uint32_t session, const char *format, ...)
{
	char text[256];
	va_list arguments;

	tally->count[side][count]++;
	if (tally->messages[side]++ >= MESSAGES_MAX) {
		return;
	}
	va_start(arguments, format);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is not */
	(void)vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	printf("{\"event\":\"error\",\"side\":\"%s\",\"error\":\"%s\",\"class\":\"%s\","
	       "\"session\":%" PRIu32 ",\"what\":\"%s\"}\n",
		side_names[side], names[count],
		class < CLASS_COUNT ? wire_class_name(class) : "none", session, text);
	(void)fflush(stdout);
}

/* Values up to 15 have buckets of their own; above, each power of two has 16. */
static uint32_t bucket_of(uint64_t us)
{
	uint32_t power;

	if (us < GAP_STEPS) {
		return (uint32_t)us;
	}
	power = 63U - (uint32_t)__builtin_clzll(us);
	return (power - 3) * GAP_STEPS + (uint32_t)(us >> (power - 4) & (GAP_STEPS - 1));
}

/* The highest value of a bucket. */
static uint64_t bucket_end(uint32_t bucket)
{
	const uint32_t power = bucket / GAP_STEPS + 3;

	if (bucket < GAP_STEPS) {
		return bucket;
	}
	return ((uint64_t)(GAP_STEPS + bucket % GAP_STEPS + 1) << (power - 4)) - 1;
}

void gaps_add(struct gaps *gaps, uint64_t us)
{
	gaps->count++;
	gaps->bucket[bucket_of(us)]++;
	if (us > gaps->worst_us) {
		gaps->worst_us = us;
	}
}

uint64_t gaps_quantile(const struct gaps *gaps, double share)
{
	const double wanted = share * (double)gaps->count;
	uint64_t seen = 0;

	for (uint32_t i = 0; i < GAP_BUCKETS; i++) {
		seen += gaps->bucket[i];
		if (gaps->bucket[i] > 0 && (double)seen >= wanted) {
			const uint64_t end = bucket_end(i);

			return end < gaps->worst_us ? end : gaps->worst_us;
		}
	}
	return 0;
}

static void print_gaps(const char *separator, const char *name, const struct gaps *gaps)
{
	printf("%s\"%s\":{\"count\":%" PRIu64 ",\"median_us\":%" PRIu64 ",\"p99_us\":%" PRIu64
	       ",\"worst_us\":%" PRIu64 "}",
		separator, name, gaps->count, gaps_quantile(gaps, 0.5), gaps_quantile(gaps, 0.99),
		gaps->worst_us);
}

static void print_interval(const char *name, const struct interval *interval)
{
	printf(",\"%s\":{", name);
	print_gaps("", "gaps", &interval->gaps);
	print_gaps(",", "sessions", &interval->sessions);
	print_gaps(",", "probes", &interval->probes);
	print_gaps(",", "opens", &interval->opens);
	printf("}");
}

void tally_print(const struct tally *tally, const char *event, double seconds,
	const struct interval *interval, const struct interval *total)
{
	printf("{\"event\":\"%s\",\"seconds\":%.3f,\"errors\":%" PRIu64, event, seconds,
		tally_errors(tally));
	for (int side = 0; side < SIDE_COUNT; side++) {
		printf(",\"%s\":{\"open\":%" PRIu64, side_names[side], tally->open[side]);
		for (int i = 0; i < COUNT_COUNT; i++) {
			printf(",\"%s\":%" PRIu64, names[i], tally->count[side][i]);
		}
		printf(",\"classes\":{");
		for (int i = 0; i < CLASS_COUNT; i++) {
			printf("%s\"%s\":%" PRIu64, i == 0 ? "" : ",",
				wire_class_name((enum session_class)i), tally->opened[side][i]);
		}
		printf("}}");
	}
	print_interval("interval", interval);
	print_interval("total", total);
	printf("}\n");
	(void)fflush(stdout);
}
