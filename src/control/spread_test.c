/* Real sockets on loopback, and workers of which there are but the loads. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/sockets.h"
#include "control/spread.h"
#include "control/testing.h"
#include "os/socket.h"
#include "os/steering.h"

enum { CLIENTS = 40 };

static int array_of(const struct shm *shm)
{
	return atomic_load(&shm->header->process.steering_fd);
}

static uint32_t error_of(const struct shm *shm)
{
	return atomic_load(&shm->header->process.steering_error);
}

/* Takes the first number on record. */
static void listen_with_all(struct shm *shm)
{
	struct listen_spec spec = {.backlog = 1024, .share_port = true};

	spec.address.length = sizeof spec.address.ip4;
	spec.address.ip4.sin_family = AF_INET;
	spec.address.ip4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(shm_listen_number(shm, 0), 0);
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		int fd;

		assert_int_equal(socket_listen(&spec, &fd, NULL), 0);
		assert_int_equal(getsockname(fd, &spec.address.generic, &spec.address.length), 0);
		listen_record_open(shm_listen_record(shm, worker, 0), fd, 0, 0, socket_cookie(fd));
	}
	spread_clients(shm, 0, SPREAD_AT_START);
}

/* Loads of 1000 and 0: all clients have to come to the second worker. */
static uint32_t count_at_the_idle_one(const struct shm *shm)
{
	const struct listen_record *record = shm_listen_record(shm, 1, 0);
	struct steering steering;
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	int clients[CLIENTS];
	uint32_t taken = 0;

	assert_int_equal(steering_map(array_of(shm), shm->workers, &steering, NULL), 0);
	steering_load(&steering.entries[0], 1000);
	steering_load(&steering.entries[1], 0);
	assert_int_equal(getsockname(record->fd, (struct sockaddr *)&address, &length), 0);
	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(clients[i], (struct sockaddr *)&address, length), 0);
	}
	for (;;) {
		const int fd = accept4(record->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			break;
		}
		taken++;
		(void)close(fd);
	}
	for (int i = 0; i < CLIENTS; i++) {
		(void)close(clients[i]);
	}
	steering_unmap(&steering);
	return taken;
}

static void the_array_is_there_before_any_listener(void **state)
{
	struct shm shm;
	int fd;

	(void)state;
	assert_int_equal(shm_create(2, 1, &shm, NULL), 0);
	spread_prepare(&shm);
	fd = array_of(&shm);
	assert_true(steering_is_array(fd));
	spread_prepare(&shm);
	assert_int_equal(array_of(&shm), fd);
	listen_with_all(&shm);
	assert_int_equal(array_of(&shm), fd);
	assert_int_equal(count_at_the_idle_one(&shm), CLIENTS);
	sockets_close(&shm);
	(void)close(fd);
	shm_destroy(&shm);
}

static void one_worker_needs_none(void **state)
{
	struct shm shm;

	(void)state;
	assert_int_equal(shm_create(1, 1, &shm, NULL), 0);
	spread_prepare(&shm);
	assert_int_equal(array_of(&shm), 0);
	shm_destroy(&shm);
}

/* As after a crash that has damaged the number, and with it closed the descriptor. */
static void listeners_get_another_array_when_theirs_is_lost(void **state)
{
	struct shm shm;

	(void)state;
	assert_int_equal(shm_create(2, 1, &shm, NULL), 0);
	listen_with_all(&shm);
	(void)close(array_of(&shm));
	atomic_store(&shm.header->process.steering_fd, 0);
	spread_prepare(&shm);
	assert_true(steering_is_array(array_of(&shm)));
	assert_int_equal(count_at_the_idle_one(&shm), CLIENTS);
	assert_int_equal(error_of(&shm), 0);
	sockets_close(&shm);
	(void)close(array_of(&shm));
	shm_destroy(&shm);
}

/* Whoever has no listener for TCP has nothing to be told. */
static void what_fails_is_kept_for_the_first_listener(void **state)
{
	struct shm shm;
	uint32_t before;

	(void)state;
	assert_int_equal(shm_create(2, 1, &shm, NULL), 0);
	spread_prepare(&shm);
	before = error_of(&shm);
	assert_int_equal(array_of(&shm), 0);
	listen_with_all(&shm);
	assert_int_equal(before, 0);
	assert_int_equal(error_of(&shm), EPERM);
	sockets_close(&shm);
	shm_destroy(&shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_array_is_there_before_any_listener),
		cmocka_unit_test(one_worker_needs_none),
		cmocka_unit_test(listeners_get_another_array_when_theirs_is_lost),
	};
	const struct CMUnitTest without_rights[] = {
		cmocka_unit_test(one_worker_needs_none),
		cmocka_unit_test(what_fails_is_kept_for_the_first_listener),
	};

	if (steering_try(NULL) == -EPERM) {
		return cmocka_run_group_tests(without_rights, NULL, NULL);
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
