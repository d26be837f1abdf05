/* Listening sockets on their way out; the functions are declared in control/sockets.h. */
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "control/sockets.h"
#include "control/sockets_internal.h"
#include "model/shm.h"
#include "os/socket.h"

bool sockets_same_address(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	/* The kernel counts the NUL behind a path, and others do not. */
	if (a->generic.sa_family == AF_UNIX && b->generic.sa_family == AF_UNIX &&
		a->local.sun_path[0] != '\0') {
		return strncmp(a->local.sun_path, b->local.sun_path, sizeof a->local.sun_path) == 0;
	}
	return sockaddr_equal(a, b);
}

/* Without memory a file of a UNIX socket may be left behind: whoever binds it next replaces it. */
void sockets_remember_closing(
	struct sockets_closing *closing, uint32_t number, const struct sockaddr_any *address)
{
	if (closing->count == closing->room) {
		const uint32_t room = 2 * closing->room + 8;
		struct closing_socket *list = realloc(closing->list, room * sizeof *list);

		if (list == NULL) {
			return;
		}
		closing->list = list;
		closing->room = room;
	}
	closing->list[closing->count++] =
		(struct closing_socket){.number = number, .address = *address};
}

static bool is_closed(const struct shm *shm, uint32_t number)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		if (listen_record_state(shm_listen_record(shm, worker, number)) != LISTEN_FREE) {
			return false;
		}
	}
	return true;
}

/* By a socket of our own that stays: the file is that one's. */
static bool is_listened_on(const struct shm *shm, const struct sockaddr_any *address)
{
	for (uint32_t i = 0; i < shm_listen_limit(shm); i++) {
		const struct listen_record *record = shm_listen_record(shm, 0, i);
		struct sockaddr_any other = {.length = sizeof other.local};

		if (listen_record_state(record) == LISTEN_OPEN &&
			(listen_record_flags(record) & LISTEN_RETIRED) == 0 &&
			getsockname(record->fd, &other.generic, &other.length) == 0 &&
			sockets_same_address(&other, address)) {
			return true;
		}
	}
	return false;
}

void sockets_check_closing(struct shm *shm, struct sockets_closing *closing)
{
	for (uint32_t i = 0; i < closing->count;) {
		const struct closing_socket *entry = &closing->list[i];

		if (!is_closed(shm, entry->number)) {
			i++;
			continue;
		}
		if (entry->address.generic.sa_family == AF_UNIX &&
			!is_listened_on(shm, &entry->address)) {
			socket_remove_stale(&entry->address);
		}
		closing->list[i] = closing->list[--closing->count];
	}
}

void sockets_closing_done(struct sockets_closing *closing)
{
	free(closing->list);
	*closing = (struct sockets_closing){.list = NULL};
}

void sockets_close(struct shm *shm)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		for (uint32_t i = 0; i < shm_listen_limit(shm); i++) {
			struct listen_record *record = shm_listen_record(shm, worker, i);

			if (listen_record_is_live(record)) {
				socket_close(record->fd);
				listen_record_set_state(record, LISTEN_FREE);
			}
		}
	}
}

void sockets_unlink(const struct config *config)
{
	for (uint32_t i = 0; i < config->listener_count; i++) {
		const struct address *address = &config->listeners[i].address;

		/* Another process may have taken the path over meanwhile: then it is live. */
		if (address->kind == ADDRESS_LOCAL) {
			socket_remove_stale(&address->numeric);
		}
	}
}
