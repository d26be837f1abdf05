#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "model/slot.h"

static void buckets_rise(void **state)
{
	(void)state;
	for (int i = 1; i < CONNECT_BUCKET_COUNT; i++) {
		assert_true(connect_bucket_ns[i] > connect_bucket_ns[i - 1]);
	}
	for (int i = 1; i < SESSION_BUCKET_COUNT; i++) {
		assert_true(session_bucket_ns[i] > session_bucket_ns[i - 1]);
	}
	assert_int_equal(connect_bucket_ns[0], 100000);
	assert_int_equal(connect_bucket_ns[CONNECT_BUCKET_COUNT - 1], 10000000000);
	assert_int_equal(session_bucket_ns[0], 1000000);
	assert_int_equal(session_bucket_ns[SESSION_BUCKET_COUNT - 1], 86400000000000);
}

/* The words are labels of metrics: scripts depend on them. */
static void the_words_are_those_of_the_metrics(void **state)
{
	static const char *const health[] = {"unset", "healthy", "draining", "unhealthy"};
	static const char *const admin[] = {"ready", "drain", "maintenance"};
	static const char *const failure[] = {
		"refused", "timeout", "unreachable", "reset", "resource"};
	static const char *const check[] = {"success", "refused", "timeout", "error"};
	static const char *const by[] = {"client", "backend", "proxy"};
	static const char *const closed[] = {"end", "reset", "idle_timeout", "half_close_timeout",
		"connect_failed", "no_backend", "drain", "killed", "error"};
	static const char *const reject[] = {"limit", "descriptors", "memory"};

	(void)state;
	for (uint32_t i = 0; i < HEALTH_STATE_COUNT; i++) {
		assert_string_equal(health_state_name((enum health_state)i), health[i]);
	}
	for (uint32_t i = 0; i < ADMIN_STATE_COUNT; i++) {
		assert_string_equal(admin_state_name((enum admin_state)i), admin[i]);
	}
	for (uint32_t i = 0; i < FAILURE_REASON_COUNT; i++) {
		assert_string_equal(failure_reason_name((enum failure_reason)i), failure[i]);
	}
	for (uint32_t i = 0; i < CHECK_RESULT_COUNT; i++) {
		assert_string_equal(check_result_name((enum check_result)i), check[i]);
	}
	for (uint32_t i = 0; i < CLOSED_BY_COUNT; i++) {
		assert_string_equal(closed_by_name((enum closed_by)i), by[i]);
	}
	for (uint32_t i = 0; i < CLOSE_REASON_COUNT; i++) {
		assert_string_equal(close_reason_name((enum close_reason)i), closed[i]);
	}
	for (uint32_t i = 0; i < REJECT_REASON_COUNT; i++) {
		assert_string_equal(reject_reason_name((enum reject_reason)i), reject[i]);
	}
	assert_string_equal(accept_error_name(ACCEPT_EMFILE), "EMFILE");
	assert_string_equal(accept_error_name(ACCEPT_OTHER), "other");
}

/* Every errno that Linux has: the listed ones count against the backend, all others never do. */
static void an_errno_of_connect_has_one_reason(void **state)
{
	static const struct {
		int code;
		enum failure_reason reason;
	} rows[] = {
		{ECONNREFUSED, FAILURE_REFUSED},
		{ENOENT, FAILURE_REFUSED},
		{ENOTSOCK, FAILURE_REFUSED},
		{EPROTOTYPE, FAILURE_REFUSED},
		{ETIMEDOUT, FAILURE_TIMEOUT},
		{EAGAIN, FAILURE_TIMEOUT},
		{EHOSTUNREACH, FAILURE_UNREACHABLE},
		{EHOSTDOWN, FAILURE_UNREACHABLE},
		{ENONET, FAILURE_UNREACHABLE},
		{ECONNRESET, FAILURE_RESET},
		{ECONNABORTED, FAILURE_RESET},
		{EPIPE, FAILURE_RESET},
		{EPROTO, FAILURE_RESET},
	};

	(void)state;
	for (int code = 1; code < 4096; code++) {
		enum failure_reason expected = FAILURE_RESOURCE;

		for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
			expected = rows[i].code == code ? rows[i].reason : expected;
		}
		if (failure_reason_of_errno(code) != expected) {
			fail_msg("%s is %s, not %s", strerrordesc_np(code),
				failure_reason_name(failure_reason_of_errno(code)),
				failure_reason_name(expected));
		}
	}
}

/* Two writers on one cache line would slow each other down. */
static void what_workers_write_is_apart(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct slot_counters) % CACHE_LINE, 0);
	assert_int_equal(sizeof(struct pool_counters) % CACHE_LINE, 0);
	assert_int_equal(sizeof(struct listener_counters) % CACHE_LINE, 0);
	assert_int_equal(offsetof(struct pool_entry, turn) % CACHE_LINE, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_rise),
		cmocka_unit_test(the_words_are_those_of_the_metrics),
		cmocka_unit_test(an_errno_of_connect_has_one_reason),
		cmocka_unit_test(what_workers_write_is_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
