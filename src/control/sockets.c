#include "control/sockets.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log.h"
#include "config/config.h"
#include "control/sockets_internal.h"
#include "control/spread.h"
#include "model/shm.h"
#include "os/socket.h"

/* ":80" stands for two addresses. */
enum { ADDRESSES_MAX = 2, PORT_UNPRIVILEGED = 1024 };

static void any_address(int family, uint16_t port, struct sockaddr_any *ret_address)
{
	*ret_address = (struct sockaddr_any){.length = sizeof ret_address->ip4};
	if (family == AF_INET) {
		ret_address->ip4.sin_family = AF_INET;
		ret_address->ip4.sin_port = htons(port);
		return;
	}
	ret_address->length = sizeof ret_address->ip6;
	ret_address->ip6.sin6_family = AF_INET6;
	ret_address->ip6.sin6_addr = in6addr_any;
	ret_address->ip6.sin6_port = htons(port);
}

/* Whether the system lets us use IPv6 at all: ":80" is 0.0.0.0 alone where it does not. */
static bool has_ip6(void)
{
	struct sockaddr_any address;
	const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool usable;

	any_address(AF_INET6, 0, &address);
	usable = fd >= 0 && bind(fd, &address.generic, address.length) == 0;
	socket_close(fd);
	return usable;
}

static uint32_t addresses_of(
	const struct config_listener *listener, struct sockaddr_any ret[static ADDRESSES_MAX])
{
	if (listener->address.kind != ADDRESS_ANY) {
		ret[0] = listener->address.numeric;
		return 1;
	}
	any_address(AF_INET, listener->address.port, &ret[0]);
	any_address(AF_INET6, listener->address.port, &ret[1]);
	return has_ip6() ? 2 : 1;
}

static struct listen_spec spec_of(const struct config *config,
	const struct config_listener *listener, const struct sockaddr_any *address)
{
	return (struct listen_spec){
		.address = *address,
		.backlog = listener->backlog > INT32_MAX ? INT32_MAX : (int)listener->backlog,
		.share_port = true,
		.freebind = listener->freebind,
		.mode = listener->mode,
		.keepalive_s = (uint32_t)((config->keepalive_ms + 999) / 1000),
		.max_buffered = listener->max_buffered,
	};
}

/* The socket of the n-th worker: one of its own, or for a UNIX socket a duplicate of the first. */
static int open_for(const struct listen_spec *spec, int first_fd, int *ret_fd, struct error *err)
{
	if (first_fd < 0 || spec->address.generic.sa_family != AF_UNIX) {
		return socket_listen(spec, ret_fd, err);
	}
	*ret_fd = dup(first_fd);
	return *ret_fd < 0 ? error_set(err, errno, "cannot share a listening socket") : 0;
}

/* One address that is wanted. */
struct wanted {
	const struct config_listener *config;
	struct listen_spec spec;
	uint32_t listener; /* index of its listener_entry */
	uint32_t number;   /* of its records */
	bool fresh;        /* to be put on record; else it is there */
	bool again;        /* the file of the one that is on record is gone: made again */
	uint32_t before;   /* its number */
	int *fds;          /* of a fresh one, by worker; -1: none */
};

enum number_use { NUMBER_FREE, NUMBER_UNWANTED, NUMBER_WANTED, NUMBER_CLOSING };

/* What is known of a number that is on record. */
struct number {
	enum number_use use;
	struct sockaddr_any address;
};

struct sockets_plan {
	struct shm *shm;
	const struct config *config;
	const struct config *old;
	uint32_t count;
	struct wanted *wanted; /* owned */
	uint32_t number_count;
	struct number *numbers; /* owned */
};

static bool is_wildcard(const struct sockaddr_any *address)
{
	return address->generic.sa_family == AF_INET
		? address->ip4.sin_addr.s_addr == htonl(INADDR_ANY)
		: IN6_IS_ADDR_UNSPECIFIED(&address->ip6.sin6_addr);
}

/* Whether one of the two stands in the other's way when it is bound. */
static bool overlap(const struct sockaddr_any *a, const struct sockaddr_any *b)
{
	if (a->generic.sa_family != b->generic.sa_family || a->generic.sa_family == AF_UNIX) {
		return false;
	}
	return sockaddr_port(a) == sockaddr_port(b) &&
		(is_wildcard(a) || is_wildcard(b) || sockaddr_equal(a, b));
}

/* A number is closing as long as any worker has not closed its socket. */
static void look_at_number(struct sockets_plan *plan, uint32_t number)
{
	struct number *entry = &plan->numbers[number];

	entry->use = NUMBER_FREE;
	for (uint32_t worker = 0; worker < plan->shm->workers; worker++) {
		const struct listen_record *record = shm_listen_record(plan->shm, worker, number);
		const enum listen_state state = listen_record_state(record);

		if (state == LISTEN_OPEN || state == LISTEN_REFUSING) {
			entry->address.length = sizeof entry->address.local;
			(void)getsockname(
				record->fd, &entry->address.generic, &entry->address.length);
		}
		if (state == LISTEN_OPEN && (listen_record_flags(record) & LISTEN_RETIRED) == 0) {
			entry->use = entry->use == NUMBER_FREE ? NUMBER_UNWANTED : entry->use;
		} else if (state != LISTEN_FREE) {
			entry->use = NUMBER_CLOSING;
		}
	}
}

static struct sockets_plan *make_plan(
	const struct config *config, const struct config *old, struct shm *shm)
{
	struct sockets_plan *plan = calloc(1, sizeof *plan);

	if (plan == NULL) {
		return NULL;
	}
	plan->shm = shm;
	plan->config = config;
	plan->old = old;
	plan->number_count = shm_listen_limit(shm);
	plan->numbers = calloc(plan->number_count + 1U, sizeof *plan->numbers);
	plan->wanted =
		calloc((size_t)ADDRESSES_MAX * config->listener_count + 1, sizeof *plan->wanted);
	if (plan->numbers == NULL || plan->wanted == NULL) {
		sockets_abandon(plan);
		return NULL;
	}
	for (uint32_t i = 0; i < plan->number_count; i++) {
		look_at_number(plan, i);
	}
	return plan;
}

/*
 * Somebody has deleted the file of a UNIX socket, and nobody can connect any more. A file that is
 * there stays as it is, also one that is not ours. Only at a reload: a successor goes on with what
 * there is.
 */
static bool is_lost(const struct sockets_plan *plan, const struct wanted *wanted)
{
	return plan->old != NULL && socket_file_is_gone(&wanted->spec.address);
}

/*
 * Returns 0, or -EINPROGRESS when the address is being closed. A UNIX socket that was made again
 * may serve while the one before it is still being emptied: then there is nothing to wait for.
 */
static int find_number(struct sockets_plan *plan, struct wanted *wanted, enum plan_rule rule)
{
	bool closing = false;

	wanted->fresh = true;
	for (uint32_t i = 0; i < plan->number_count; i++) {
		struct number *entry = &plan->numbers[i];

		if (entry->use == NUMBER_FREE ||
			!sockets_same_address(&entry->address, &wanted->spec.address)) {
			continue;
		}
		if (entry->use == NUMBER_UNWANTED && is_lost(plan, wanted)) {
			wanted->again = true;
			wanted->before = i;
			return 0;
		}
		if (entry->use == NUMBER_UNWANTED) {
			entry->use = NUMBER_WANTED;
			wanted->number = i;
			wanted->fresh = false;
			return 0;
		}
		closing |= entry->use == NUMBER_CLOSING;
	}
	return closing && rule == PLAN_WAIT ? -EINPROGRESS : 0;
}

/* Those that the file names; the ones that are kept for their sessions have no sockets any more. */
static int list_wanted(struct sockets_plan *plan, enum plan_rule rule, struct error *err)
{
	const struct config *config = plan->config;
	const uint32_t own = config->listener_count - config->kept_listener_count;
	int r = 0;

	for (uint32_t i = 0; i < own; i++) {
		const struct config_listener *listener = &config->listeners[i];
		struct sockaddr_any addresses[ADDRESSES_MAX];
		const uint32_t count = addresses_of(listener, addresses);
		const int index = shm_listener_index(plan->shm, listener->name);

		if (index < 0) {
			return error_say(err, ENOSPC, "more than %d listeners", LISTENERS_MAX);
		}
		for (uint32_t k = 0; k < count; k++) {
			struct wanted *wanted = &plan->wanted[plan->count++];
			int busy;

			*wanted = (struct wanted){
				.config = listener,
				.spec = spec_of(config, listener, &addresses[k]),
				.listener = (uint32_t)index,
			};
			busy = find_number(plan, wanted, rule);
			r = busy < 0 ? busy : r;
		}
	}
	return r < 0 ? error_say(err, -r, "an address is still being closed") : 0;
}

/*
 * Nobody else may listen there. Sockets of our own that are about to go stand in the way of the
 * proof, and not of the bind: then it is left out.
 */
static int prove_free(
	const struct sockets_plan *plan, const struct listen_spec *spec, struct error *err)
{
	for (uint32_t i = 0; i < plan->number_count; i++) {
		const struct number *entry = &plan->numbers[i];

		if ((entry->use == NUMBER_UNWANTED || entry->use == NUMBER_CLOSING) &&
			overlap(&entry->address, &spec->address)) {
			return 0;
		}
	}
	return socket_prove_free(spec, err);
}

static int open_wanted(struct sockets_plan *plan, struct wanted *wanted, struct error *err)
{
	const uint32_t workers = plan->shm->workers;
	int r;

	wanted->fds = malloc(workers * sizeof *wanted->fds);
	if (wanted->fds == NULL) {
		return error_set(err, ENOMEM, "cannot open a listener");
	}
	for (uint32_t worker = 0; worker < workers; worker++) {
		wanted->fds[worker] = -1;
	}
	r = prove_free(plan, &wanted->spec, err);
	for (uint32_t worker = 0; r == 0 && worker < workers; worker++) {
		r = open_for(&wanted->spec, wanted->fds[0], &wanted->fds[worker], err);
	}
	return r;
}

/* What an operator can do about it goes with it. */
static int explain(const struct wanted *wanted, int r, const struct error *why, struct error *err)
{
	const uint16_t port = sockaddr_port(&wanted->spec.address);
	const bool low = r == -EACCES && port > 0 && port < PORT_UNPRIVILEGED;

	return error_say(err, -r, "listener \"%s\": %s%s", wanted->config->name, why->text,
		low ? " (a port below 1024 takes CAP_NET_BIND_SERVICE)" : "");
}

static void close_wanted(const struct sockets_plan *plan, const struct wanted *wanted)
{
	const bool bound = wanted->fds != NULL && wanted->fds[0] >= 0;

	for (uint32_t worker = 0; bound && worker < plan->shm->workers; worker++) {
		socket_close(wanted->fds[worker]);
	}
	if (bound && wanted->spec.address.generic.sa_family == AF_UNIX) {
		socket_remove_stale(&wanted->spec.address);
	}
}

/* It cannot be made again: no reason to refuse what the reload is about. */
static void leave_lost(struct sockets_plan *plan, struct wanted *wanted, const struct error *why)
{
	log_message(LOG_WARN, "listener_lost",
		"listener \"%s\": its file was deleted and cannot be made again: %s",
		wanted->config->name, why->text);
	close_wanted(plan, wanted);
	free(wanted->fds);
	wanted->fds = NULL;
	wanted->fresh = false;
	wanted->again = false;
	wanted->number = wanted->before;
	plan->numbers[wanted->before].use = NUMBER_WANTED;
}

static int open_fresh(struct sockets_plan *plan, struct error *err)
{
	uint32_t next = 0;

	for (uint32_t i = 0; i < plan->count; i++) {
		struct wanted *wanted = &plan->wanted[i];
		struct error why = {.code = 0};
		int number;
		int r;

		if (!wanted->fresh) {
			continue;
		}
		number = shm_listen_number(plan->shm, next);
		if (number < 0) {
			return error_say(
				err, ENOSPC, "more than %d listening sockets", LISTEN_SOCKETS_MAX);
		}
		wanted->number = (uint32_t)number;
		next = wanted->number + 1;
		r = open_wanted(plan, wanted, &why);
		if (r < 0 && wanted->again) {
			leave_lost(plan, wanted, &why);
		} else if (r < 0) {
			return explain(wanted, r, &why, err);
		}
	}
	return 0;
}

bool sockets_are_lost(const struct config *config)
{
	for (uint32_t i = 0; i < config->listener_count - config->kept_listener_count; i++) {
		const struct address *address = &config->listeners[i].address;

		if (address->kind == ADDRESS_LOCAL && socket_file_is_gone(&address->numeric)) {
			return true;
		}
	}
	return false;
}

int sockets_plan(const struct config *config, const struct config *old, struct shm *shm,
	enum plan_rule rule, struct sockets_plan **ret_plan, struct error *err)
{
	struct sockets_plan *plan = make_plan(config, old, shm);
	int r;

	if (plan == NULL) {
		return error_set(err, ENOMEM, "cannot open the listeners");
	}
	r = list_wanted(plan, rule, err);
	if (r == 0) {
		r = open_fresh(plan, err);
	}
	if (r < 0) {
		sockets_abandon(plan);
		return r;
	}
	*ret_plan = plan;
	return 0;
}

static void free_plan(struct sockets_plan *plan)
{
	for (uint32_t i = 0; plan->wanted != NULL && i < plan->count; i++) {
		free(plan->wanted[i].fds);
	}
	free(plan->wanted);
	free(plan->numbers);
	free(plan);
}

void sockets_abandon(struct sockets_plan *plan)
{
	for (uint32_t i = 0; plan->wanted != NULL && i < plan->count; i++) {
		close_wanted(plan, &plan->wanted[i]);
	}
	free_plan(plan);
}

static void put_on_record(const struct sockets_plan *plan, const struct wanted *wanted)
{
	const bool local = wanted->spec.address.generic.sa_family == AF_UNIX;

	assert(wanted->fds != NULL);
	if (wanted->again) {
		log_message(LOG_WARN, "listener_remade",
			"listener \"%s\": its file was deleted; made again", wanted->config->name);
	}
	for (uint32_t worker = 0; worker < plan->shm->workers; worker++) {
		listen_record_open(shm_listen_record(plan->shm, worker, wanted->number),
			wanted->fds[worker], wanted->listener, local ? LISTEN_LOCAL : 0,
			socket_cookie(wanted->fds[worker]));
	}
	if (!local) {
		spread_clients(plan->shm, wanted->number,
			plan->old == NULL ? SPREAD_AT_START : SPREAD_AT_RELOAD);
	}
}

/* What the listener's sockets were like until now; NULL: it is new. */
static const struct config_listener *find_old(const struct config *old, const char *name)
{
	for (uint32_t i = 0; old != NULL && i < old->listener_count; i++) {
		if (strcmp(old->listeners[i].name, name) == 0) {
			return &old->listeners[i];
		}
	}
	return NULL;
}

static bool needs_adjusting(const struct sockets_plan *plan, const struct wanted *wanted)
{
	const struct config_listener *now = wanted->config;
	const struct config_listener *before = find_old(plan->old, now->name);

	if (plan->old == NULL) {
		return false; /* a predecessor has opened them, for this configuration */
	}
	return before == NULL || before->backlog != now->backlog || before->mode != now->mode ||
		before->max_buffered != now->max_buffered ||
		plan->old->keepalive_ms != plan->config->keepalive_ms;
}

/* Its sockets stay, perhaps under another name and with other options. */
static void keep_on_record(const struct sockets_plan *plan, const struct wanted *wanted)
{
	const bool adjust = needs_adjusting(plan, wanted);

	for (uint32_t worker = 0; worker < plan->shm->workers; worker++) {
		struct listen_record *record = shm_listen_record(plan->shm, worker, wanted->number);
		const int r = adjust ? socket_adjust(record->fd, &wanted->spec) : 0;

		if (r < 0 && worker == 0) {
			log_message(LOG_WARN, "listener_not_adjusted", "listener \"%s\": %s",
				wanted->config->name, strerrordesc_np(-r));
		}
		atomic_store_explicit(&record->listener, wanted->listener, memory_order_release);
	}
}

static void retire(struct shm *shm, uint32_t number)
{
	for (uint32_t worker = 0; worker < shm->workers; worker++) {
		struct listen_record *record = shm_listen_record(shm, worker, number);

		atomic_store_explicit(&record->flags, listen_record_flags(record) | LISTEN_RETIRED,
			memory_order_release);
	}
}

bool sockets_commit(struct sockets_plan *plan, struct sockets_closing *closing)
{
	bool changed = false;

	for (uint32_t i = 0; i < plan->count; i++) {
		const struct wanted *wanted = &plan->wanted[i];

		if (wanted->fresh) {
			if (wanted->again) {
				/* First: a successor must not take it for the one that serves. */
				retire(plan->shm, wanted->before);
			}
			put_on_record(plan, wanted);
			changed = true;
		} else {
			keep_on_record(plan, wanted);
		}
	}
	for (uint32_t i = 0; i < plan->number_count; i++) {
		if (plan->numbers[i].use == NUMBER_UNWANTED) {
			retire(plan->shm, i);
			sockets_remember_closing(closing, i, &plan->numbers[i].address);
			changed = true;
		}
	}
	free_plan(plan);
	return changed;
}

void sockets_find_closing(struct shm *shm, struct sockets_closing *closing)
{
	const struct config none = {.listener_count = 0};
	struct sockets_plan *plan = make_plan(&none, NULL, shm);

	for (uint32_t i = 0; plan != NULL && i < plan->number_count; i++) {
		if (plan->numbers[i].use == NUMBER_CLOSING) {
			sockets_remember_closing(closing, i, &plan->numbers[i].address);
		}
	}
	if (plan != NULL) {
		free_plan(plan);
	}
}

int sockets_open(const struct config *config, struct shm *shm, struct error *err)
{
	struct sockets_closing none = {.count = 0};
	struct sockets_plan *plan = NULL;
	const int r = sockets_plan(config, NULL, shm, PLAN_BESIDE, &plan, err);

	if (r < 0) {
		return r;
	}
	assert(plan != NULL);
	(void)sockets_commit(plan, &none);
	sockets_closing_done(&none);
	return 0;
}
