#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/testing.h"
#include "control/probe.h"

enum { PROBES = PROBES_AT_ONCE + 44 };

static const uint64_t MS = 1000000;
static const uint64_t SECOND = 1000000000;

struct fixture {
	struct prober prober;
	struct timers timers;
	struct probe probes[PROBES];
	struct sockaddr_any address;
	uint64_t now_ns; /* invented: only the sockets are real */
	uint32_t results[CHECK_RESULT_COUNT];
	struct probe_outcome last;
	bool stop_when_done; /* as control does when the backend is healthy again */
};

static void on_done(void *context, uint32_t index, const struct probe_outcome *outcome)
{
	struct fixture *fixture = context;

	fixture->results[outcome->result]++;
	fixture->last = *outcome;
	if (fixture->stop_when_done) {
		probe_stop(&fixture->prober, &fixture->probes[index]);
	}
}

static void begin(struct fixture *fixture)
{
	memset(fixture, 0, sizeof *fixture);
	fixture->now_ns = 100 * SECOND;
	assert_int_equal(timers_init(&fixture->timers, PROBES), 0);
	fixture->prober = (struct prober){
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
		.epoll_tag = 5ULL << 32,
		.timers = &fixture->timers,
		.on_done = on_done,
		.context = fixture,
	};
	rng_init(&fixture->prober.rng, 3);
	for (uint32_t i = 0; i < PROBES; i++) {
		fixture->probes[i] = (struct probe){
			.timer = {.index = i},
			.fd = -1,
			.interval_ns = SECOND,
			.timeout_ns = SECOND,
			.address = &fixture->address,
		};
	}
}

static void end(struct fixture *fixture)
{
	for (uint32_t i = 0; i < PROBES; i++) {
		probe_abandon(&fixture->prober, &fixture->probes[i]);
		assert_int_equal(fixture->probes[i].fd, -1);
	}
	assert_int_equal(fixture->prober.active, 0);
	assert_int_equal(timers_next(&fixture->timers), UINT64_MAX);
	timers_done(&fixture->timers);
	(void)close(fixture->prober.epoll_fd);
}

/* What the kernel has to say, for at most `wait_ms` of real time. Returns whether it had. */
static bool serve(struct fixture *fixture, int wait_ms)
{
	struct epoll_event events[64];
	const int count = epoll_wait(fixture->prober.epoll_fd, events, 64, wait_ms);

	for (int i = 0; i < count; i++) {
		assert_int_equal(events[i].data.u64 >> 32, 5);
		probe_on_ready(&fixture->prober, &fixture->probes[(uint32_t)events[i].data.u64],
			fixture->now_ns);
	}
	return count > 0;
}

static void pass(struct fixture *fixture, uint64_t ns)
{
	struct timer *timer;

	fixture->now_ns += ns;
	while ((timer = timers_take(&fixture->timers, fixture->now_ns)) != NULL) {
		probe_on_timer(&fixture->prober, &fixture->probes[timer->index], fixture->now_ns);
	}
}

/* A port of loopback that listens, or one where nobody does. */
static int make_address(struct fixture *fixture, bool listens)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_any *address = &fixture->address;

	*address = (struct sockaddr_any){
		.length = sizeof address->ip4,
		.ip4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
	};
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, &address->generic, address->length), 0);
	assert_int_equal(getsockname(fd, &address->generic, &address->length), 0);
	if (listens) {
		assert_int_equal(listen(fd, 4096), 0);
	}
	return fd; /* bound and not listening: the port stays ours, and refuses */
}

static void a_backend_that_accepts_is_a_success_and_sees_a_fin(void **state)
{
	struct fixture fixture;
	char byte;
	int listener;
	int fd;

	(void)state;
	begin(&fixture);
	listener = make_address(&fixture, true);
	fixture.stop_when_done = true;
	probe_start(&fixture.prober, &fixture.probes[0], fixture.now_ns);
	pass(&fixture, 2 * SECOND);
	while (fixture.results[CHECK_SUCCESS] == 0) {
		assert_true(serve(&fixture, 5000));
	}
	assert_int_equal(fixture.last.started_ns, 102 * SECOND);
	assert_null(fixture.last.reason);
	fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	/* One that greets, as SMTP and SSH do: unread bytes must not make a reset of the end. */
	assert_int_equal(send(fd, "220 hello\r\n", 11, MSG_NOSIGNAL), 11);
	while (fixture.probes[0].state == PROBE_CLOSING && serve(&fixture, 100)) {
	}
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
	(void)close(fd);
	while (fixture.probes[0].state == PROBE_CLOSING) {
		assert_true(serve(&fixture, 5000));
	}
	assert_int_equal(fixture.probes[0].state, PROBE_OFF);
	(void)close(listener);
	end(&fixture);
}

static void a_backend_that_never_says_goodbye_is_left_alone(void **state)
{
	struct fixture fixture;
	int listener;

	(void)state;
	begin(&fixture);
	listener = make_address(&fixture, true);
	probe_at_once(&fixture.prober, &fixture.probes[0], fixture.now_ns);
	pass(&fixture, 0);
	while (fixture.results[CHECK_SUCCESS] == 0) {
		assert_true(serve(&fixture, 5000));
	}
	assert_int_equal(fixture.probes[0].state, PROBE_CLOSING);
	pass(&fixture, SECOND);
	assert_int_equal(fixture.probes[0].state, PROBE_OFF); /* nobody wanted more than one */
	(void)close(listener);
	end(&fixture);
}

/* As a reload does: another prober, where the backend has another index. */
static void a_successor_goes_on_with_the_same_connect_and_in_the_same_time(void **state)
{
	struct fixture fixture;
	struct prober other;
	int listener;

	(void)state;
	begin(&fixture);
	listener = make_address(&fixture, true);
	other = fixture.prober;
	probe_start(&fixture.prober, &fixture.probes[0], fixture.now_ns);
	probe_take(&other, &fixture.probes[1], &fixture.prober, &fixture.probes[0],
		fixture.now_ns + SECOND / 2);
	assert_int_equal(fixture.probes[0].state, PROBE_OFF);
	assert_int_equal(fixture.probes[1].state, PROBE_WAITING);
	assert_true(timers_next(&fixture.timers) <= fixture.now_ns + SECOND * 11 / 10);
	fixture.now_ns += 2 * SECOND;
	assert_ptr_equal(timers_take(&fixture.timers, fixture.now_ns), &fixture.probes[1].timer);
	probe_on_timer(&other, &fixture.probes[1], fixture.now_ns);
	assert_int_equal(other.active, 1);

	probe_take(&fixture.prober, &fixture.probes[2], &other, &fixture.probes[1], fixture.now_ns);
	assert_int_equal(fixture.probes[1].state, PROBE_OFF);
	assert_int_equal(fixture.probes[1].fd, -1);
	assert_int_equal(other.active, 0);
	assert_int_equal(fixture.prober.active, 1);
	while (fixture.results[CHECK_SUCCESS] == 0) {
		assert_true(serve(&fixture, 5000));
	}
	assert_int_equal(fixture.probes[2].state, PROBE_CLOSING);
	probe_take(&fixture.prober, &fixture.probes[3], &fixture.prober, &fixture.probes[2],
		fixture.now_ns);
	pass(&fixture, SECOND / 2);
	assert_int_equal(fixture.probes[3].state, PROBE_WAITING);
	(void)close(listener);
	end(&fixture);
}

static void a_closed_port_is_refused_again_and_again(void **state)
{
	struct fixture fixture;
	int port;

	(void)state;
	begin(&fixture);
	port = make_address(&fixture, false);
	probe_start(&fixture.prober, &fixture.probes[0], fixture.now_ns);
	for (uint32_t n = 1; n <= 5; n++) {
		const uint64_t before_ns = fixture.now_ns;

		pass(&fixture, timers_next(&fixture.timers) - fixture.now_ns);
		while (fixture.results[CHECK_REFUSED] < n && serve(&fixture, 5000)) {
		}
		assert_int_equal(fixture.results[CHECK_REFUSED], n);
		assert_string_equal(fixture.last.reason, "refused");
		assert_true(fixture.now_ns - before_ns >= 900 * MS);
		assert_true(fixture.now_ns - before_ns <= 1100 * MS);
	}
	probe_stop(&fixture.prober, &fixture.probes[0]);
	assert_int_equal(timers_next(&fixture.timers), UINT64_MAX);
	(void)close(port);
	end(&fixture);
}

/* A UNIX listener with a full queue does not answer; the probe must end by itself. */
static void what_does_not_answer_is_a_timeout(void **state)
{
	struct fixture fixture;
	int listener;
	int queued[2];

	(void)state;
	begin(&fixture);
	fixture.address = (struct sockaddr_any){.local = {.sun_family = AF_UNIX}};
	(void)snprintf(fixture.address.local.sun_path + 1, 64, "loble-probe-%d", getpid());
	fixture.address.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
		strlen(fixture.address.local.sun_path + 1));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, &fixture.address.generic, fixture.address.length), 0);
	assert_int_equal(listen(listener, 0), 0);
	for (int i = 0; i < 2; i++) {
		queued[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(queued[i], &fixture.address.generic, fixture.address.length);
	}
	probe_at_once(&fixture.prober, &fixture.probes[0], fixture.now_ns);
	pass(&fixture, 0);
	assert_int_equal(fixture.results[CHECK_TIMEOUT], 1);
	(void)close(queued[0]);
	(void)close(queued[1]);
	(void)close(listener);
	end(&fixture);
}

static void local_trouble_is_no_evidence(void **state)
{
	struct fixture fixture;

	(void)state;
	begin(&fixture);
	fixture.address = (struct sockaddr_any){
		.length = sizeof fixture.address.ip4,
		.ip4 = {.sin_family = AF_INET, .sin_addr.s_addr = INADDR_BROADCAST, .sin_port = 9},
	};
	probe_start(&fixture.prober, &fixture.probes[0], fixture.now_ns);
	pass(&fixture, 2 * SECOND);
	assert_int_equal(fixture.results[CHECK_ERROR], 1);
	assert_int_equal(fixture.probes[0].state, PROBE_WAITING);
	end(&fixture);
}

static void only_so_many_run_at_once(void **state)
{
	struct fixture fixture;
	int listener;

	(void)state;
	begin(&fixture);
	listener = make_address(&fixture, true);
	for (uint32_t i = 0; i < PROBES; i++) {
		probe_at_once(&fixture.prober, &fixture.probes[i], fixture.now_ns);
	}
	pass(&fixture, 0);
	assert_int_equal(fixture.prober.active, PROBES_AT_ONCE);
	assert_non_null(fixture.prober.queue_last);
	probe_stop(&fixture.prober, fixture.prober.queue_last);
	while (fixture.results[CHECK_SUCCESS] < PROBES - 1) {
		(void)serve(&fixture, 100);
		pass(&fixture, 300 * MS);
		assert_true(fixture.prober.active <= PROBES_AT_ONCE);
	}
	(void)close(listener);
	end(&fixture);
}

static void the_wait_grows_with_the_outage(void **state)
{
	struct rng rng;

	(void)state;
	assert_int_equal(probe_delay(SECOND, 0), SECOND);
	assert_int_equal(probe_delay(SECOND, 30 * SECOND), SECOND);
	assert_int_equal(probe_delay(SECOND, 60 * SECOND), 2 * SECOND);
	assert_int_equal(probe_delay(SECOND, 300 * SECOND), 10 * SECOND);
	assert_int_equal(probe_delay(SECOND, 30000 * SECOND), 10 * SECOND);
	assert_int_equal(probe_delay(60 * SECOND, 30000 * SECOND), 60 * SECOND);
	rng_init(&rng, 1);
	for (int i = 0; i < 10000; i++) {
		const uint64_t delay_ns = probe_jitter(&rng, SECOND);

		assert_true(delay_ns >= 900 * MS && delay_ns <= 1100 * MS);
	}
}

static void errors_are_told_apart(void **state)
{
	static const struct {
		int code;
		enum check_result result;
	} cases[] = {
		{0, CHECK_SUCCESS},
		{ECONNREFUSED, CHECK_REFUSED},
		{ECONNRESET, CHECK_REFUSED},
		{ENOENT, CHECK_REFUSED},
		{ETIMEDOUT, CHECK_TIMEOUT},
		{EHOSTUNREACH, CHECK_TIMEOUT},
		{EAGAIN, CHECK_TIMEOUT},
		{EMFILE, CHECK_ERROR},
		{ENFILE, CHECK_ERROR},
		{EADDRNOTAVAIL, CHECK_ERROR},
		{ENETUNREACH, CHECK_ERROR},
		{EPERM, CHECK_ERROR},
		{EACCES, CHECK_ERROR},
		{ENOMEM, CHECK_ERROR},
		{ENOBUFS, CHECK_ERROR},
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		assert_int_equal(probe_classify(cases[i].code), cases[i].result);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backend_that_accepts_is_a_success_and_sees_a_fin),
		cmocka_unit_test(a_backend_that_never_says_goodbye_is_left_alone),
		cmocka_unit_test(a_successor_goes_on_with_the_same_connect_and_in_the_same_time),
		cmocka_unit_test(a_closed_port_is_refused_again_and_again),
		cmocka_unit_test(what_does_not_answer_is_a_timeout),
		cmocka_unit_test(local_trouble_is_no_evidence),
		cmocka_unit_test(only_so_many_run_at_once),
		cmocka_unit_test(the_wait_grows_with_the_outage),
		cmocka_unit_test(errors_are_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
