#include <stdint.h>

#include "base/array.h"
#include "base/testing.h"
#include "main/descriptors.h"
#include "model/limits.h"

static void two_go_to_a_session_and_some_are_kept(void **state)
{
	static const struct {
		uint64_t descriptors;
		uint32_t sessions;
	} rows[] = {
		{0, 0},
		{64, 16},
		{600, 150}, /* half of what is little */
		{1024, 256},
		{1025, 256},
		{4096, 1792},
		{1 << 20, (1 << 19) - 256},
		{UINT64_MAX, SESSIONS_MAX},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		assert_int_equal(descriptors_to_sessions(rows[i].descriptors), rows[i].sessions);
	}
}

static void more_of_them_are_never_fewer_sessions(void **state)
{
	uint32_t last = 0;

	(void)state;
	for (uint64_t descriptors = 0; descriptors < 4096; descriptors++) {
		const uint32_t sessions = descriptors_to_sessions(descriptors);

		assert_in_range(sessions, last, last + 1);
		last = sessions;
	}
}

static void what_is_asked_for_is_enough(void **state)
{
	(void)state;
	for (uint32_t sessions = 1; sessions <= SESSIONS_MAX; sessions = sessions * 3 + 1) {
		assert_true(descriptors_to_sessions(descriptors_of_sessions(sessions)) >= sessions);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_go_to_a_session_and_some_are_kept),
		cmocka_unit_test(more_of_them_are_never_fewer_sessions),
		cmocka_unit_test(what_is_asked_for_is_enough),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
