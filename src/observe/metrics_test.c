#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "observe/metrics.h"
#include "observe/testing.h"
#include "os/clock.h"

enum { MANY = 1000, SCRAPE_LIMIT_MS = 1000, NS_PER_MS = 1000000, STAT_BLOCK = 512 };

/* The page as text; the caller frees it. */
static char *render(const struct shm *shm)
{
	const struct metrics_source source = {.shm = shm, .version = "1.2.3"};
	struct page page = page_begin();
	char *text;

	metrics_write(&page, &source);
	assert_false(page.failed);
	text = strndup(page.text, page.length);
	assert_non_null(text);
	page_done(&page);
	return text;
}

/* Whether the page has this line, whole. */
static bool has_line(const char *text, const char *line)
{
	const size_t length = strlen(line);

	for (const char *at = text; (at = strstr(at, line)) != NULL; at++) {
		if ((at == text || at[-1] == '\n') && at[length] == '\n') {
			return true;
		}
	}
	return false;
}

static void expect_line(const struct shm *shm, const char *line)
{
	char *text = render(shm);

	if (!has_line(text, line)) {
		print_message("not on the page: %s\n", line);
		fail();
	}
	free(text);
}

/* `state` is the one of `metric` that is 1. */
static void expect_state(const struct shm *shm, const char *metric, const char *state)
{
	char line[200];

	(void)snprintf(
		line, sizeof line, "%s{pool=\"p\",backend=\"b\",state=\"%s\"} 1", metric, state);
	expect_line(shm, line);
}

/* How often `part` stands in the text. */
static unsigned occurrences(const char *text, const char *part)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++) {
		count++;
	}
	return count;
}

static void counters_are_summed_over_the_workers(void **state)
{
	struct shm *shm = *state;

	testing_fill(shm);
	expect_line(shm, "loble_listener_connections_total{listener=\"web\"} 1234");
	expect_line(shm, "loble_listener_connections_active{listener=\"web\"} 10");
	expect_line(shm,
		"loble_backend_connections_active{pool=\"web\","
		"backend=\"10.0.0.1:8080\"} 2");
	expect_line(shm, "loble_listener_received_bytes_total{listener=\"web\"} 9007199254740992");
}

static void all_pairs_of_states_are_shown_right(void **state)
{
	static const char *const states[] = {
		[HEALTH_HEALTHY] = "healthy",
		[HEALTH_DRAINING] = "draining",
		[HEALTH_UNHEALTHY] = "unhealthy",
	};
	struct shm *shm = *state;
	struct slot *slot = &shm->slots[testing_add_backend(shm, "p", "b")];

	for (uint32_t admin = 0; admin < ADMIN_STATE_COUNT; admin++) {
		for (uint32_t health = HEALTH_HEALTHY; health < HEALTH_STATE_COUNT; health++) {
			char *text;

			atomic_store(&slot->admin, admin);
			atomic_store(&slot->health, health);
			expect_state(shm, "loble_backend_admin_state",
				admin_state_name((enum admin_state)admin));
			expect_state(shm, "loble_backend_state",
				admin == ADMIN_MAINTENANCE ? "maintenance" : states[health]);
			text = render(shm);
			/* One of each, and one in the pool. */
			assert_int_equal(occurrences(text, "state=\"healthy\"} 1") +
					occurrences(text, "state=\"draining\"} 1") +
					occurrences(text, "state=\"unhealthy\"} 1") +
					occurrences(text, "state=\"ready\"} 1") +
					occurrences(text, "state=\"drain\"} 1") +
					occurrences(text, "state=\"maintenance\"} 1"),
				3);
			free(text);
		}
	}
}

static void a_removed_backend_stays_until_its_last_session(void **state)
{
	struct shm *shm = *state;
	const uint32_t index = testing_add_backend(shm, "p", "b");
	char *text;

	COUNT(shm, slot, 0, index, started, 5);
	COUNT(shm, slot, 0, index, finished, 4);
	atomic_store(&shm->slots[index].health, HEALTH_UNSET);
	expect_state(shm, "loble_backend_state", "draining");
	COUNT(shm, slot, 0, index, finished, 1);
	text = render(shm);
	assert_null(strstr(text, "backend=\"b\""));
	assert_non_null(strstr(text, "loble_pool_backends{pool=\"p\",state=\"draining\"} 0\n"));
	free(text);
}

static bool shows(const struct shm *shm, const char *label)
{
	char *text = render(shm);
	const bool found = strstr(text, label) != NULL;

	free(text);
	return found;
}

static void so_do_a_removed_listener_and_a_removed_pool(void **state)
{
	struct shm *shm = *state;
	const uint32_t index = testing_add_backend(shm, "p", "b");
	const uint32_t listener = (uint32_t)shm_listener_index(shm, "l");

	COUNT(shm, listener, 1, listener, connections, 1);
	COUNT(shm, slot, 1, index, started, 1);
	atomic_store(&shm->listeners[listener].identity.gone, 1);
	atomic_store(&shm->pools[0].identity.gone, 1);
	atomic_store(&shm->slots[index].health, HEALTH_UNSET);
	assert_true(shows(shm, "{listener=\"l\"}"));
	assert_true(shows(shm, "{pool=\"p\"}"));
	COUNT(shm, listener, 1, listener, closed, 1);
	COUNT(shm, slot, 1, index, finished, 1);
	assert_false(shows(shm, "listener=\"l\""));
	assert_false(shows(shm, "pool=\"p\""));
	atomic_store(&shm->listeners[listener].identity.gone, 0);
	assert_true(shows(shm, "loble_listener_connections_total{listener=\"l\"} 1"));
}

static void a_new_backend_has_all_its_series_at_zero(void **state)
{
	struct shm *shm = *state;
	char *text;

	(void)testing_add_backend(shm, "p", "b");
	text = render(shm);
	assert_int_equal(occurrences(text, "\nloble_backend_transitions_total{"), 5);
	assert_int_equal(occurrences(text, "\nloble_backend_connect_failures_total{"), 5);
	assert_int_equal(occurrences(text, "\nloble_backend_checks_total{"), 4);
	assert_int_equal(occurrences(text, "\nloble_sessions_closed_total{"), 27);
	assert_int_equal(occurrences(text, "\nloble_backend_connect_duration_seconds_bucket{"), 17);
	assert_true(has_line(text,
		"loble_backend_transitions_total{pool=\"p\",backend=\"b\","
		"from=\"draining\",to=\"healthy\"} 0"));
	free(text);
}

static void a_page_without_anything_is_whole(void **state)
{
	char *text = render(*state);

	assert_true(has_line(text, "loble_build_info{version=\"1.2.3\"} 1"));
	assert_true(has_line(text, "# TYPE loble_backend_state gauge"));
	assert_null(strstr(text, "\nloble_backend_state{"));
	free(text);
}

static off_t bytes_touched(const struct shm *shm)
{
	struct stat status;

	assert_int_equal(fstat(shm->fd, &status), 0);
	return (off_t)status.st_blocks * STAT_BLOCK;
}

/*
 * All slots are in use and only one worker has counted anything. A block may reach over the edge
 * of what has been written, so a neighbouring page on each side is allowed.
 */
static void a_scrape_takes_no_memory_where_nothing_was_counted(void **state)
{
	struct shm *shm = *state;
	off_t before;

	for (unsigned i = 0; i < MANY; i++) {
		char name[16];

		(void)snprintf(name, sizeof name, "b%u", i);
		(void)testing_add_backend(shm, "p", name);
	}
	COUNT(shm, slot, 1, 500, established, 3);
	before = bytes_touched(shm);
	expect_line(shm, "loble_backend_connections_total{pool=\"p\",backend=\"b500\"} 3");
	assert_true(bytes_touched(shm) <= before + 3 * sysconf(_SC_PAGESIZE));
}

/* Every worker has counted on every backend. The limit is wide: machines that test are busy. */
static void a_thousand_backends_are_scraped_fast(void **state)
{
	struct shm *shm = *state;
	uint64_t best_ns = UINT64_MAX;
	size_t length = 0;

	for (unsigned i = 0; i < MANY; i++) {
		char name[32];
		uint32_t index;

		(void)snprintf(name, sizeof name, "10.0.%u.%u:8080", i / 250, i % 250);
		index = testing_add_backend(shm, "p", name);
		for (uint32_t worker = 0; worker < TEST_WORKERS; worker++) {
			COUNT(shm, slot, worker, index, established, 123456789);
			COUNT(shm, slot, worker, index, connect[4], 123456789);
		}
	}
	for (int i = 0; i < 5; i++) {
		const uint64_t start_ns = clock_monotonic_ns();
		char *text = render(shm);
		const uint64_t took_ns = clock_monotonic_ns() - start_ns;

		best_ns = took_ns < best_ns ? took_ns : best_ns;
		length = strlen(text);
		free(text);
	}
	print_message(
		"# %d backends: %.1f ms, %zu bytes\n", MANY, (double)best_ns / NS_PER_MS, length);
	assert_true(best_ns < (uint64_t)SCRAPE_LIMIT_MS * NS_PER_MS);
}

int main(void)
{
#define IN_SHM(test) cmocka_unit_test_setup_teardown(test, testing_make_shm, testing_drop_shm)
	const struct CMUnitTest tests[] = {
		IN_SHM(counters_are_summed_over_the_workers),
		IN_SHM(all_pairs_of_states_are_shown_right),
		IN_SHM(a_removed_backend_stays_until_its_last_session),
		IN_SHM(so_do_a_removed_listener_and_a_removed_pool),
		IN_SHM(a_new_backend_has_all_its_series_at_zero),
		IN_SHM(a_page_without_anything_is_whole),
		IN_SHM(a_scrape_takes_no_memory_where_nothing_was_counted),
		IN_SHM(a_thousand_backends_are_scraped_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
