#include "control/reload_keep.h"

#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "control/control_internal.h"

static const uint64_t MS_NS = 1000000;
/* For the queues of the sockets, and for workers that were asleep. */
static const uint64_t MARGIN_NS = 2000 * 1000000ULL;
static const uint64_t AGAIN_NS = 1000 * 1000000ULL;

bool reload_has_listener(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->listener_count - config->kept_listener_count; i++) {
		if (strcmp(config->listeners[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

static bool has_pool(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->pool_count - config->kept_pool_count; i++) {
		if (strcmp(config->pools[i].name, name) == 0) {
			return true;
		}
	}
	return false;
}

/* How long a session may take to get to its backend, in any pool that somebody may be using. */
static uint64_t longest_connect_ns(const struct config *running)
{
	uint64_t longest_ms = 0;

	for (uint32_t i = 0; i < running->pool_count; i++) {
		if (running->pools[i].connect_total_ms > longest_ms) {
			longest_ms = running->pools[i].connect_total_ms;
		}
	}
	return longest_ms * MS_NS;
}

/* What is on the way from one configuration to the next. */
struct keeping {
	const struct config *running;
	const struct config *next;
	const struct kept *before; /* for how long the running one keeps what it does not name */
	uint64_t now_ns;
	uint64_t lost_until_ns; /* what is lost now is kept until then */
	const struct config_listener **listeners;
	const struct config_pool **pools;
	bool *pool_needed; /* by pool of the running one: a listener is kept that uses it */
	uint32_t listener_count;
	uint32_t pool_count;
};

static uint64_t until_of(
	const struct keeping *keeping, const uint64_t *before, uint32_t own, uint32_t index)
{
	return index < own ? keeping->lost_until_ns : before[index - own];
}

static void keep_listeners(struct keeping *keeping, struct kept *kept)
{
	const struct config *running = keeping->running;
	const uint32_t own = running->listener_count - running->kept_listener_count;

	for (uint32_t i = 0; i < running->listener_count; i++) {
		const struct config_listener *listener = &running->listeners[i];
		const uint64_t until_ns = until_of(keeping, keeping->before->listeners, own, i);

		if (until_ns > keeping->now_ns &&
			!reload_has_listener(keeping->next, listener->name)) {
			kept->listeners[keeping->listener_count] = until_ns;
			keeping->listeners[keeping->listener_count++] = listener;
			keeping->pool_needed[listener->pool] = true;
		}
	}
}

static void keep_pools(struct keeping *keeping, struct kept *kept)
{
	const struct config *running = keeping->running;
	const uint32_t own = running->pool_count - running->kept_pool_count;

	for (uint32_t i = 0; i < running->pool_count; i++) {
		const uint64_t until_ns = until_of(keeping, keeping->before->pools, own, i);

		if ((until_ns > keeping->now_ns || keeping->pool_needed[i]) &&
			!has_pool(keeping->next, running->pools[i].name)) {
			kept->pools[keeping->pool_count] = until_ns;
			keeping->pools[keeping->pool_count++] = &running->pools[i];
		}
	}
}

static uint64_t latest(const uint64_t *times, uint32_t count, uint64_t latest_ns)
{
	for (uint32_t i = 0; i < count; i++) {
		latest_ns = times[i] > latest_ns ? times[i] : latest_ns;
	}
	return latest_ns;
}

void kept_done(struct kept *kept)
{
	free(kept->listeners);
	free(kept->pools);
	*kept = (struct kept){.until_ns = UINT64_MAX};
}

bool reload_keep(
	struct control *control, struct config *next, uint64_t now_ns, struct kept *ret_kept)
{
	const struct config *running = control->setup.config;
	struct keeping keeping = {
		.running = running,
		.next = next,
		.before = &control->reload.kept,
		.now_ns = now_ns,
		.lost_until_ns = now_ns + longest_connect_ns(running) + MARGIN_NS,
		.listeners = calloc(running->listener_count, sizeof *keeping.listeners),
		.pools = calloc(running->pool_count, sizeof *keeping.pools),
		.pool_needed = calloc(running->pool_count, sizeof *keeping.pool_needed),
	};
	struct kept kept = {
		.until_ns = UINT64_MAX,
		.listeners = calloc(running->listener_count, sizeof *kept.listeners),
		.pools = calloc(running->pool_count, sizeof *kept.pools),
	};
	bool done = false;

	if (keeping.listeners != NULL && keeping.pools != NULL && keeping.pool_needed != NULL &&
		kept.listeners != NULL && kept.pools != NULL) {
		keep_listeners(&keeping, &kept);
		keep_pools(&keeping, &kept);
		if (keeping.listener_count + keeping.pool_count > 0) {
			kept.until_ns = latest(kept.listeners, keeping.listener_count, now_ns);
			kept.until_ns = latest(kept.pools, keeping.pool_count, kept.until_ns);
		}
		done = config_keep(next, running, keeping.listeners, keeping.listener_count,
			keeping.pools, keeping.pool_count);
	}
	free(keeping.listeners);
	free(keeping.pools);
	free(keeping.pool_needed);
	if (done) {
		*ret_kept = kept;
	} else {
		kept_done(&kept);
	}
	return done;
}

void reload_drop_kept(struct control *control, uint64_t now_ns)
{
	struct reload *reload = &control->reload;

	sockets_check_closing(control->setup.shm, &control->closing);
	/* Who was ejected in this very turn has its grace period at the end of it. */
	if (control->closing.count > 0 || control->failed_snapshot ||
		control->roster->registry.ungraced_count > 0) {
		reload->kept.until_ns = now_ns + AGAIN_NS;
		return;
	}
	kept_done(&reload->kept);
	roster_drop_kept(control->roster, control->owned_config, now_ns);
	control->drain_next_ns = 0;
	control_publish(control, now_ns);
}
