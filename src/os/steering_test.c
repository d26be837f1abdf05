#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/testing.h"
#include "os/clock.h"
#include "os/steering.h"

enum { WORKERS = 4, CLIENTS = 40 };

/* Four listening sockets on one port, and clients that stay connected until the end. */
struct group {
	struct steering steering;
	int array_fd;
	int fds[WORKERS];
	struct sockaddr_in address;
	int clients[4 * CLIENTS];
	int client_count;
};

static int listen_on(const struct sockaddr_in *address)
{
	const int one = 1;
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one), 0);
	assert_int_equal(bind(fd, (const struct sockaddr *)address, sizeof *address), 0);
	assert_int_equal(listen(fd, 1024), 0);
	return fd;
}

static void open_sockets(struct group *group)
{
	socklen_t length = sizeof group->address;

	group->address.sin_family = AF_INET;
	group->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < WORKERS; i++) {
		group->fds[i] = listen_on(&group->address);
		assert_int_equal(
			getsockname(group->fds[i], (struct sockaddr *)&group->address, &length), 0);
	}
}

static int set_up(void **state)
{
	static struct group group;
	struct error err = {0};

	group = (struct group){.client_count = 0};
	*state = &group;
	if (steering_create(&group.array_fd, &err) < 0 ||
		steering_map(group.array_fd, WORKERS, &group.steering, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	open_sockets(&group);
	if (steering_attach(group.array_fd, group.fds, WORKERS, &err) < 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	struct group *group = *state;

	for (int i = 0; i < group->client_count; i++) {
		(void)close(group->clients[i]);
	}
	for (int i = 0; i < WORKERS; i++) {
		(void)close(group->fds[i]);
	}
	steering_unmap(&group->steering);
	(void)close(group->array_fd);
	return 0;
}

/* Connects `count` clients and says whose queues they came to. */
static void connect_some(struct group *group, int count, int ret_taken[static WORKERS])
{
	for (int i = 0; i < count; i++) {
		const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_true(fd >= 0);
		assert_int_equal(
			connect(fd, (struct sockaddr *)&group->address, sizeof group->address), 0);
		group->clients[group->client_count++] = fd;
	}
	for (int i = 0; i < WORKERS; i++) {
		ret_taken[i] = 0;
		for (;;) {
			const int fd = group->fds[i] < 0 ? -1 : accept(group->fds[i], NULL, NULL);

			if (fd < 0) {
				break;
			}
			ret_taken[i]++;
			(void)close(fd);
		}
	}
}

static void new_clients_go_to_the_least_loaded(void **state)
{
	struct group *group = *state;
	int taken[WORKERS];

	for (int i = 0; i < WORKERS; i++) {
		steering_load(&group->steering.entries[i], i == 2 ? 10 : 1000);
	}
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[2], CLIENTS);
	/* Worker 2 says what it has now; its neighbour has become the least loaded one. */
	steering_load(&group->steering.entries[2], 2000);
	steering_load(&group->steering.entries[3], 20);
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[3], CLIENTS);
}

/* Between two turns of a worker the program counts for itself. */
static void a_burst_is_spread_evenly(void **state)
{
	struct group *group = *state;
	int taken[WORKERS];

	connect_some(group, CLIENTS, taken);
	for (int i = 0; i < WORKERS; i++) {
		assert_int_equal(taken[i], CLIENTS / WORKERS);
		assert_int_equal(
			atomic_load(&group->steering.entries[i].expected), CLIENTS / WORKERS);
		steering_load(&group->steering.entries[i], 0);
		assert_int_equal(atomic_load(&group->steering.entries[i].expected), 0);
	}
}

/* Who is always first at equal loads would get all of the short sessions. */
static void equals_take_turns(void **state)
{
	struct group *group = *state;
	int sum[WORKERS] = {0};
	int taken[WORKERS];

	for (int round = 0; round < 3 * CLIENTS; round++) {
		connect_some(group, 1, taken);
		for (int i = 0; i < WORKERS; i++) {
			sum[i] += taken[i];
			steering_load(&group->steering.entries[i], 0);
		}
	}
	for (int i = 0; i < WORKERS; i++) {
		assert_in_range(sum[i], 5, 70); /* 30 each, were the hash perfect */
	}
}

static void one_that_hangs_is_passed_over(void **state)
{
	struct group *group = *state;
	const uint64_t now = clock_monotonic_ns();
	int taken[WORKERS];

	for (int i = 0; i < WORKERS; i++) {
		steering_load(&group->steering.entries[i], 1000);
		steering_awake(&group->steering.entries[i], now);
	}
	steering_load(&group->steering.entries[1], 0);
	steering_awake(&group->steering.entries[1], now - 2 * STEERING_STALL_NS);
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[1], 0);
	/* Asleep is alive, for however long. */
	steering_asleep(&group->steering.entries[1]);
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[1], CLIENTS);
	/* So is one whose turn has begun after the program looked at the clock. */
	steering_load(&group->steering.entries[1], 0);
	steering_awake(&group->steering.entries[1], clock_monotonic_ns() + 1000000000);
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[1], CLIENTS);
}

/* A flood of SYNs leaves its mark on a worker that it did not wake. */
static void clients_who_never_came_do_not_make_a_worker_busy(void **state)
{
	struct group *group = *state;
	int taken[WORKERS];

	for (int i = 0; i < WORKERS; i++) {
		steering_load(&group->steering.entries[i], 1000);
	}
	steering_load(&group->steering.entries[1], 0);
	atomic_store(&group->steering.entries[1].expected, 1000000);
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[1], CLIENTS);
}

static void one_that_is_closed_gets_none(void **state)
{
	struct group *group = *state;
	int taken[WORKERS];

	steering_load(&group->steering.entries[0], STEERING_CLOSED);
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[0], 0);
	assert_true(taken[1] > 0 && taken[2] > 0 && taken[3] > 0);
}

static void without_a_choice_the_hash_decides(void **state)
{
	struct group *group = *state;
	int taken[WORKERS];

	for (int i = 0; i < WORKERS; i++) {
		steering_awake(&group->steering.entries[i], 1);
	}
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[0] + taken[1] + taken[2] + taken[3], CLIENTS);
}

static void a_closed_socket_refuses_nobody(void **state)
{
	struct group *group = *state;
	int taken[WORKERS];

	steering_load(&group->steering.entries[0], 1000);
	steering_load(&group->steering.entries[2], 1000);
	steering_load(&group->steering.entries[3], 1000);
	(void)close(group->fds[1]);
	group->fds[1] = -1;
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[0] + taken[2] + taken[3], CLIENTS);
}

/* What a crash leaves behind: a descriptor. */
static void a_successor_goes_on_with_the_array(void **state)
{
	struct group *group = *state;
	struct steering other;
	struct error err = {0};
	int taken[WORKERS];

	assert_int_equal(fcntl(group->array_fd, F_GETFD) & FD_CLOEXEC, 0);
	steering_unmap(&group->steering);
	assert_true(steering_is_array(group->array_fd));
	assert_int_equal(steering_map(group->array_fd, WORKERS, &other, &err), 0);
	for (int i = 0; i < WORKERS; i++) {
		steering_load(&other.entries[i], i == 0 ? 5 : 500);
	}
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[0], CLIENTS);
	group->steering = other;
}

static void what_is_no_array_is_refused(void **state)
{
	struct steering steering;
	const int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);

	(void)state;
	assert_false(steering_is_array(fd));
	assert_false(steering_is_array(-1));
	assert_int_equal(steering_map(fd, WORKERS, &steering, NULL), -EINVAL);
	(void)close(fd);
}

/* The verifier accepts the largest program, too. */
static void as_many_workers_as_there_may_be(void **state)
{
	struct error err = {0};
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int fds[STEERING_WORKERS_MAX];
	int array_fd;

	(void)state;
	assert_int_equal(steering_create(&array_fd, &err), 0);
	for (int i = 0; i < STEERING_WORKERS_MAX; i++) {
		fds[i] = listen_on(&address);
		assert_int_equal(getsockname(fds[i], (struct sockaddr *)&address, &length), 0);
	}
	if (steering_attach(array_fd, fds, STEERING_WORKERS_MAX, &err) < 0) {
		fail_msg("%s", err.text);
	}
	for (int i = 0; i < STEERING_WORKERS_MAX; i++) {
		(void)close(fds[i]);
	}
	(void)close(array_fd);
}

static void all_that_it_takes_can_be_tried(void **state)
{
	struct error err = {0};

	(void)state;
	if (steering_try(&err) < 0) {
		fail_msg("%s", err.text);
	}
}

/* Between a program and the next one the hash decides. */
static void the_program_can_be_replaced(void **state)
{
	struct group *group = *state;
	int taken[WORKERS];
	int r;

	for (int i = 0; i < WORKERS; i++) {
		steering_load(&group->steering.entries[i], i == 3 ? 0 : 1000);
	}
	steering_detach(group->fds[0]);
	connect_some(group, CLIENTS, taken);
	assert_true(taken[0] + taken[1] + taken[2] > 0);
	do {
		r = steering_attach(group->array_fd, group->fds, WORKERS, NULL);
	} while (r == -EBUSY);
	assert_int_equal(r, 0);
	connect_some(group, CLIENTS, taken);
	assert_int_equal(taken[3], CLIENTS);
}

/* Runs in a child, which gives its rights up. */
static void without_the_right_it_says_so(void **state)
{
	const pid_t child = fork();
	int status = 0;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		struct error err = {0};
		int r;

		if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0) {
			_exit(3);
		}
		/* A system may let anybody make an array; such a program nobody may load. */
		r = steering_try(&err);
		_exit(r == -EPERM && strstr(err.text, "BPF") != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			new_clients_go_to_the_least_loaded, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_burst_is_spread_evenly, set_up, tear_down),
		cmocka_unit_test_setup_teardown(equals_take_turns, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_hangs_is_passed_over, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			clients_who_never_came_do_not_make_a_worker_busy, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_that_is_closed_gets_none, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			without_a_choice_the_hash_decides, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_closed_socket_refuses_nobody, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_successor_goes_on_with_the_array, set_up, tear_down),
		cmocka_unit_test(what_is_no_array_is_refused),
		cmocka_unit_test(as_many_workers_as_there_may_be),
		cmocka_unit_test(all_that_it_takes_can_be_tried),
		cmocka_unit_test_setup_teardown(the_program_can_be_replaced, set_up, tear_down),
		cmocka_unit_test(without_the_right_it_says_so),
	};
	const struct CMUnitTest without_rights[] = {
		cmocka_unit_test(what_is_no_array_is_refused),
		cmocka_unit_test(without_the_right_it_says_so),
	};

	/* Without the right to use BPF there is nothing else to be seen. */
	if (steering_try(NULL) == -EPERM) {
		return cmocka_run_group_tests(without_rights, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
