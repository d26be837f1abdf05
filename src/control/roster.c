#include "control/roster.h"

#include <errno.h>
#include <stdlib.h>

#include "base/error.h"
#include "config/config.h"
#include "control/resolve.h"
#include "model/shm.h"
#include "os/clock.h"
#include "os/host.h"
#include "os/socket.h"

static const uint64_t MS_NS = 1000000;
/* A last backend that fails all the time, but answers probes, is not probed at each failure. */
static const uint64_t CONFIRM_GAP_NS = 100 * 1000000ULL;

void roster_cut_failed(struct roster *roster, struct outbox *outbox)
{
	for (uint32_t i = 0; i < roster->registry.backend_count && roster->cut_count > 0; i++) {
		const struct command command = {
			.kind = COMMAND_CUT_SLOT,
			.argument = roster->registry.backends[i].slot,
			.reason = CLOSE_KILLED,
		};

		if (roster->cut[i]) {
			roster->cut[i] = false;
			roster->cut_count--;
			outbox_post(outbox, &command);
		}
	}
}

static void want_cut(struct roster *roster, uint32_t backend)
{
	if (!roster->cut[backend]) {
		roster->cut[backend] = true;
		roster->cut_count++;
	}
}

/*
 * The command to cut them is lost with the process that was to give it, or to obey it. A backend
 * drains until it has been obeyed; those that came to it later, for want of a better one, stay.
 */
void roster_cut_inherited(struct roster *roster)
{
	const struct registry *registry = &roster->registry;

	for (uint32_t i = 0; i < registry->backend_count; i++) {
		const struct registry_backend *entry = &registry->backends[i];

		if (entry->kept && registry->health[i].health.state == HEALTH_DRAINING &&
			registry->pools[entry->pool].config->on_unhealthy == CONFIG_CLOSE &&
			shm_slot_sessions(registry->shm, entry->slot) > 0) {
			want_cut(roster, i);
		}
	}
}

static void confirm(struct roster *roster, uint32_t backend, uint64_t now_ns)
{
	if (now_ns - roster->confirmed_ns[backend] >= CONFIRM_GAP_NS) {
		roster->confirmed_ns[backend] = now_ns;
		probe_at_once(&roster->prober, &roster->probes[backend], now_ns);
	}
}

static void on_step(void *context, uint32_t backend, const struct health_step *step)
{
	struct roster *roster = context;
	const struct registry_backend *entry = &roster->registry.backends[backend];
	const struct config_pool *pool = roster->registry.pools[entry->pool].config;
	struct probe *probe = &roster->probes[backend];
	const uint64_t now_ns = clock_monotonic_ns();

	if ((step->actions & HEALTH_DO_REST) != 0) {
		probe_stop(&roster->prober, probe);
	}
	if ((step->actions & HEALTH_DO_PROBE) != 0) {
		probe_start(&roster->prober, probe, now_ns);
	}
	if ((step->actions & HEALTH_DO_CONFIRM) != 0) {
		confirm(roster, backend, now_ns);
	}
	if (step->from == HEALTH_HEALTHY && step->to != HEALTH_HEALTHY &&
		pool->on_unhealthy == CONFIG_CLOSE) {
		want_cut(roster, backend);
	}
}

static void on_probed(void *context, uint32_t backend, const struct probe_outcome *outcome)
{
	struct roster *roster = context;
	struct slot *slot = &roster->registry.shm->slots[roster->registry.backends[backend].slot];
	const struct observation observation = {
		.signal = outcome->result == CHECK_SUCCESS ? SIGNAL_PROBE_SUCCESS
							   : SIGNAL_PROBE_FAILURE,
		.cause = CAUSE_PROBE,
		.reason = outcome->reason,
		.now_ns = outcome->now_ns,
		.started_ns = outcome->started_ns,
	};

	counter_add(&slot->checks[outcome->result], 1);
	if (outcome->result != CHECK_ERROR) {
		registry_feed(&roster->registry, backend, &observation);
	}
}

static void set_up_probes(struct roster *roster, const struct roster_setup *setup)
{
	const struct registry *registry = &roster->registry;

	roster->prober = (struct prober){
		.epoll_fd = setup->epoll_fd,
		.epoll_tag = setup->probe_tag,
		.timers = &roster->timers,
		.on_done = on_probed,
		.context = roster,
	};
	rng_init(&roster->prober.rng, setup->seed);
	for (uint32_t i = 0; i < registry->backend_count; i++) {
		const struct config_health *health =
			&registry->pools[registry->backends[i].pool].config->health;

		roster->probes[i] = (struct probe){
			.timer = {.kind = TIMER_PROBE, .index = i},
			.fd = -1,
			.interval_ns = health->probe_interval_ms * MS_NS,
			.timeout_ns = health->probe_timeout_ms * MS_NS,
			.address = &registry->places[i].address,
		};
	}
}

static int allocate(struct roster *roster, struct error *err)
{
	const uint32_t count = roster->registry.backend_count;

	roster->resolve_timers = calloc(count, sizeof *roster->resolve_timers);
	roster->unresolved = calloc(count, sizeof *roster->unresolved);
	roster->probes = calloc(count, sizeof *roster->probes);
	roster->confirmed_ns = calloc(count, sizeof *roster->confirmed_ns);
	roster->cut = calloc(count, sizeof *roster->cut);
	if (roster->resolve_timers == NULL || roster->unresolved == NULL ||
		roster->probes == NULL || roster->confirmed_ns == NULL || roster->cut == NULL ||
		timers_init(&roster->timers, 2 * count) < 0 ||
		intake_init(&roster->intake, &roster->registry) < 0) {
		return error_set(err, ENOMEM, "cannot set up the backends");
	}
	return 0;
}

/*
 * While nobody listens at a port that connects choose theirs from, one may choose that very port
 * and meet itself. Of all others workers need not ask.
 */
void roster_note_place(struct roster *roster, uint32_t backend)
{
	struct builder_backend *place = &roster->registry.places[backend];
	const int64_t port = sockaddr_port(&place->address);

	place->may_be_self = (roster->port_last < 0 ||
				     (port >= roster->port_first && port <= roster->port_last)) &&
		socket_starts_there(&place->address);
}

static void note_places(struct roster *roster)
{
	host_local_ports("", &roster->port_first, &roster->port_last);
	for (uint32_t i = 0; i < roster->registry.backend_count; i++) {
		if (roster->registry.health[i].resolved) {
			roster_note_place(roster, i);
		}
	}
}

int roster_create(const struct roster_setup *setup, uint64_t now_ns, struct roster **ret_roster,
	struct error *err)
{
	struct roster *roster = calloc(1, sizeof *roster);
	int r;

	if (roster == NULL) {
		return error_set(err, ENOMEM, "cannot set up the backends");
	}
	r = registry_prepare(
		&roster->registry, setup->shm, setup->config, setup->events, now_ns, err);
	if (r < 0) {
		free(roster);
		return r;
	}
	r = allocate(roster, err);
	if (r < 0) {
		roster_free(roster);
		return r;
	}
	note_places(roster);
	set_up_probes(roster, setup);
	registry_set_on_step(&roster->registry, on_step, roster);
	*ret_roster = roster;
	return 0;
}

void roster_free(struct roster *roster)
{
	if (roster == NULL) {
		return;
	}
	for (uint32_t i = 0; roster->prober.timers != NULL && i < roster->registry.backend_count;
		i++) {
		probe_abandon(&roster->prober, &roster->probes[i]);
	}
	intake_done(&roster->intake);
	timers_done(&roster->timers);
	resolver_free(roster->resolver);
	registry_done(&roster->registry);
	free(roster->resolve_timers);
	free(roster->unresolved);
	free(roster->probes);
	free(roster->confirmed_ns);
	free(roster->cut);
	free(roster);
}

void roster_take_over(struct roster *roster, uint64_t now_ns)
{
	registry_take_over(&roster->registry, now_ns);
}

void roster_take_begun(struct roster *roster, struct roster *old, uint64_t now_ns)
{
	for (uint32_t i = 0; i < roster->registry.backend_count; i++) {
		const uint32_t before = old->registry.by_slot[roster->registry.backends[i].slot];

		if (before != REGISTRY_NONE && old->cut[before]) {
			want_cut(roster, i);
		}
		if (before != REGISTRY_NONE && roster->registry.health[i].resolved &&
			old->registry.health[before].resolved &&
			sockaddr_equal(&roster->registry.places[i].address,
				&old->registry.places[before].address)) {
			probe_take(&roster->prober, &roster->probes[i], &old->prober,
				&old->probes[before], now_ns);
		}
	}
}

void roster_begin(struct roster *roster, uint64_t now_ns)
{
	registry_begin(&roster->registry, now_ns);
	for (uint32_t i = 0; i < roster->registry.backend_count; i++) {
		const struct backend_health *health = &roster->registry.health[i];

		if (health->health.state != HEALTH_HEALTHY && health->resolved &&
			!roster->probes[i].wanted) {
			probe_start(&roster->prober, &roster->probes[i], now_ns);
		}
	}
}

void roster_drop_kept(struct roster *roster, struct config *config, uint64_t now_ns)
{
	const uint32_t count = roster->registry.backend_count;

	registry_drop_kept(&roster->registry, config, now_ns);
	for (uint32_t i = roster->registry.backend_count; i < count; i++) {
		probe_abandon(&roster->prober, &roster->probes[i]);
		timers_cancel(&roster->timers, &roster->resolve_timers[i]);
		if (roster->cut[i]) {
			roster->cut[i] = false;
			roster->cut_count--;
		}
	}
	probe_begin_queued(&roster->prober, now_ns); /* into the places of those that are gone */
}
