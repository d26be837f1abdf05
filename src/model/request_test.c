#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "model/request.h"

enum { ROUNDS = 20000, WAIT_MS = 20000 };

static int set_up(void **state)
{
	struct request_box *box;

	assert_int_equal(request_box_create(&box, NULL), 0);
	*state = box;
	return 0;
}

static int tear_down(void **state)
{
	request_box_free(*state);
	return 0;
}

static bool is_readable(int fd)
{
	struct pollfd entry = {.fd = fd, .events = POLLIN};

	return poll(&entry, 1, 0) == 1;
}

static void a_request_goes_there_and_back(void **state)
{
	struct request_box *box = *state;
	struct request request = {.kind = REQUEST_UPGRADE, .ticket = 7, .argument = "now"};

	assert_false(is_readable(request_box_control_fd(box)));
	assert_false(request_take(box, &request));
	assert_true(request_post(box, &request));
	assert_true(is_readable(request_box_control_fd(box)));
	assert_false(is_readable(request_box_admin_fd(box)));
	memset(&request, 0, sizeof request);
	assert_true(request_take(box, &request));
	assert_int_equal(request.kind, REQUEST_UPGRADE);
	assert_string_equal(request.argument, "now");
	assert_false(request_take(box, &request));
	assert_false(is_readable(request_box_control_fd(box)));
	request.result = REQUEST_STARTED;
	request.number = 3;
	request.text = strdup("begun");
	request_answer(box, &request);
	assert_true(is_readable(request_box_admin_fd(box)));
	memset(&request, 0, sizeof request);
	assert_true(request_collect(box, &request));
	assert_int_equal(request.ticket, 7);
	assert_int_equal(request.result, REQUEST_STARTED);
	assert_int_equal(request.number, 3);
	assert_string_equal(request.text, "begun");
	free(request.text);
	assert_false(request_collect(box, &request));
	assert_false(is_readable(request_box_admin_fd(box)));
}

static void so_many_may_be_under_way_and_no_more(void **state)
{
	struct request_box *box = *state;
	struct request request = {.kind = REQUEST_RELOAD};

	for (uint64_t i = 0; i < REQUESTS_MAX; i++) {
		request.ticket = i;
		assert_true(request_post(box, &request));
	}
	assert_false(request_post(box, &request));
	assert_true(request_take(box, &request));
	assert_false(request_post(box, &request)); /* taken, and not yet answered */
	request_answer(box, &request);
	assert_false(request_post(box, &request));
	assert_true(request_collect(box, &request));
	assert_int_equal(request.ticket, 0);
	assert_true(request_post(box, &request));
}

static void what_nobody_collects_goes_with_the_box(void **state)
{
	struct request_box *box = *state;
	struct request request = {.kind = REQUEST_RELOAD};

	assert_true(request_post(box, &request));
	assert_true(request_post(box, &request));
	assert_true(request_take(box, &request));
	request.text = strdup("nobody reads it");
	request_answer(box, &request);
}

static bool wait_for(int fd)
{
	struct pollfd entry = {.fd = fd, .events = POLLIN};

	return poll(&entry, 1, WAIT_MS) == 1;
}

/* Control: answers each with its ticket, doubled. */
static void *answer_all(void *context)
{
	struct request_box *box = context;
	struct request request;

	for (int done = 0; done < ROUNDS;) {
		if (!wait_for(request_box_control_fd(box))) {
			return NULL;
		}
		while (request_take(box, &request)) {
			request.number = 2 * request.ticket;
			request_answer(box, &request);
			done++;
		}
	}
	return box;
}

static void nothing_is_lost_between_two_threads(void **state)
{
	struct request_box *box = *state;
	struct request request = {.kind = REQUEST_RELOAD};
	uint64_t posted = 0;
	uint64_t collected = 0;
	pthread_t control;
	void *result;

	assert_int_equal(pthread_create(&control, NULL, answer_all, box), 0);
	while (collected < ROUNDS) {
		request = (struct request){.kind = REQUEST_RELOAD, .ticket = posted};
		while (posted < ROUNDS && request_post(box, &request)) {
			posted++;
			request.ticket = posted;
		}
		assert_true(wait_for(request_box_admin_fd(box)));
		while (request_collect(box, &request)) {
			assert_int_equal(request.ticket, collected);
			assert_int_equal(request.number, 2 * collected);
			collected++;
		}
	}
	assert_int_equal(pthread_join(control, &result), 0);
	assert_ptr_equal(result, box);
}

int main(void)
{
#define WITH_BOX(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_BOX(a_request_goes_there_and_back),
		WITH_BOX(so_many_may_be_under_way_and_no_more),
		WITH_BOX(what_nobody_collects_goes_with_the_box),
		WITH_BOX(nothing_is_lost_between_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
