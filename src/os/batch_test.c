#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/testing.h"
#include "os/batch.h"

enum { PAIRS = BATCH_CALLS_MAX };

struct pairs {
	struct batch *batch;
	int near[PAIRS];
	int far[PAIRS];
	char text[PAIRS][16];
	int results[BATCH_CALLS_MAX];
};

/* Without io_uring there is nothing to test. */
static void open_pairs(struct pairs *pairs)
{
	const int r = batch_create(&pairs->batch);

	if (r < 0) {
		assert_true(r == -ENOSYS || r == -EPERM || r == -EACCES || r == -EINVAL ||
			r == -EOPNOTSUPP);
		skip();
	}
	for (int i = 0; i < PAIRS; i++) {
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
		pairs->near[i] = ends[0];
		pairs->far[i] = ends[1];
	}
}

static void close_pairs(struct pairs *pairs)
{
	for (int i = 0; i < PAIRS; i++) {
		(void)close(pairs->near[i]);
		(void)close(pairs->far[i]);
	}
	batch_free(pairs->batch);
}

static void a_full_batch_receives_and_sends(void **state)
{
	struct pairs pairs;
	char text[16];

	(void)state;
	open_pairs(&pairs);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < PAIRS; i++) {
			memset(text, 'a' + i % 26, sizeof text);
			assert_int_equal(
				write(pairs.far[i], text, (size_t)(1 + i % 16)), 1 + i % 16);
			batch_recv(pairs.batch, (uint32_t)i, pairs.near[i], pairs.text[i], 16);
		}
		batch_run(pairs.batch, pairs.results);
		for (int i = 0; i < PAIRS; i++) {
			assert_int_equal(pairs.results[i], 1 + i % 16);
			assert_int_equal(pairs.text[i][i % 16], 'a' + i % 26);
			batch_send(pairs.batch, (uint32_t)i, pairs.near[i], pairs.text[i],
				(size_t)pairs.results[i]);
		}
		batch_run(pairs.batch, pairs.results);
		for (int i = 0; i < PAIRS; i++) {
			assert_int_equal(pairs.results[i], 1 + i % 16);
			assert_int_equal(read(pairs.far[i], text, sizeof text), 1 + i % 16);
			assert_int_equal(text[i % 16], 'a' + i % 26);
		}
	}
	close_pairs(&pairs);
}

/* Each result is that of its call, whatever becomes of the others; and nothing is waited for. */
static void each_call_has_its_own_result(void **state)
{
	struct pairs pairs;
	char text[16] = "";

	(void)state;
	open_pairs(&pairs);
	assert_int_equal(write(pairs.far[0], "abc", 3), 3);
	assert_int_equal(close(pairs.far[2]), 0);
	pairs.far[2] = -1;
	batch_recv(pairs.batch, 0, pairs.near[0], text, sizeof text);
	batch_recv(pairs.batch, 1, pairs.near[1], text, sizeof text); /* nothing has come */
	batch_recv(pairs.batch, 2, pairs.near[2], text, sizeof text); /* has ended */
	batch_recv(pairs.batch, 3, -1, text, sizeof text);
	batch_send(pairs.batch, 4, pairs.near[2], text, 1); /* nobody is there: and no signal */
	batch_send(pairs.batch, 9, pairs.near[5], "xy", 2);
	batch_run(pairs.batch, pairs.results);
	assert_int_equal(pairs.results[0], 3);
	assert_int_equal(pairs.results[1], -EAGAIN);
	assert_int_equal(pairs.results[2], 0);
	assert_int_equal(pairs.results[3], -EBADF);
	assert_int_equal(pairs.results[4], -EPIPE);
	assert_int_equal(pairs.results[9], 2);

	/* What found nothing is over: bytes that come later are not taken. */
	assert_int_equal(write(pairs.far[1], "later", 5), 5);
	batch_run(pairs.batch, pairs.results);
	assert_int_equal(read(pairs.near[1], text, sizeof text), 5);
	close_pairs(&pairs);
}

static void a_full_peer_takes_what_it_can(void **state)
{
	static char bytes[1 << 20];
	struct pairs pairs;
	ssize_t sent;

	(void)state;
	open_pairs(&pairs);
	batch_send(pairs.batch, 0, pairs.near[0], bytes, sizeof bytes);
	batch_run(pairs.batch, pairs.results);
	sent = pairs.results[0];
	assert_in_range(sent, 1, sizeof bytes - 1);
	batch_send(pairs.batch, 0, pairs.near[0], bytes, sizeof bytes);
	batch_run(pairs.batch, pairs.results);
	assert_int_equal(pairs.results[0], -EAGAIN);
	while (sent > 0) {
		const ssize_t n = read(pairs.far[0], bytes, sizeof bytes);

		assert_in_range(n, 1, sent);
		sent -= n;
	}
	close_pairs(&pairs);
}

static void without_a_descriptor_there_is_none(void **state)
{
	struct rlimit before;
	struct rlimit none;
	struct batch *batch = NULL;
	int r;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	r = batch_create(&batch);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(r < 0);
	assert_null(batch);
	batch_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_batch_receives_and_sends),
		cmocka_unit_test(each_call_has_its_own_result),
		cmocka_unit_test(a_full_peer_takes_what_it_can),
		cmocka_unit_test(without_a_descriptor_there_is_none),
	};

	(void)signal(SIGPIPE, SIG_DFL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
