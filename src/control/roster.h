/*
 * All that control has for the backends of one configuration: health, probes, timers, names.
 *
 * A reload makes a new roster on the same shared memory, where the slots say how each backend
 * stands, and drops the old one: nothing is carried over from one to the other by hand.
 *
 * Owner:    control. The configuration and the shared memory are borrowed and outlive it.
 * Threads:  control alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/intake.h"
#include "control/outbox.h"
#include "control/probe.h"
#include "control/registry.h"
#include "control/timers.h"

struct resolver;

enum control_timer { TIMER_PROBE, TIMER_RESOLVE };

/* Why a backend with a name has no address; zero: it has one, or nothing has been said yet. */
enum no_address {
	NO_ADDRESS_UNKNOWN = 1, /* the name does not resolve */
	NO_ADDRESS_TWIN,        /* it is the address of another backend of the pool */
};

struct roster {
	struct registry registry;
	struct timers timers;
	struct prober prober;
	int64_t port_first; /* connects choose their own ports from these; negative: not known */
	int64_t port_last;
	struct probe *probes;   /* owned; by backend */
	uint64_t *confirmed_ns; /* owned; by backend: when a probe was last sent out of turn */
	struct intake intake;
	struct resolver *resolver;    /* owned; NULL: all addresses are numeric */
	struct timer *resolve_timers; /* owned; by backend */
	enum no_address *unresolved;  /* owned; by backend: why it has none, as was said */
	bool *cut;                    /* owned; by backend: its sessions are to be cut */
	uint32_t cut_count;
};

struct roster_setup {
	struct shm *shm;
	const struct config *config;
	struct event_log *events;
	int epoll_fd; /* borrowed: where probes are watched */
	uint64_t probe_tag;
	uint64_t seed;
};

/*
 * Makes one that nobody sees yet: shared memory is read and not written. Returns 0 or a negative
 * errno with nothing left behind.
 */
int roster_create(const struct roster_setup *setup, uint64_t now_ns, struct roster **ret_roster,
	struct error *err);

/* Where the backend is has become known, or another place. */
void roster_note_place(struct roster *roster, uint32_t backend);

/* Closes its probes. NULL is allowed. */
void roster_free(struct roster *roster);

/* Writes it to shared memory (registry_take_over()); from here on it may be fed. */
void roster_take_over(struct roster *roster, uint64_t now_ns);

/*
 * Goes on with what the roster that it replaces had begun: with the cuts, and with the probes where
 * a backend is still in the same place. Before roster_begin().
 */
void roster_take_begun(struct roster *roster, struct roster *old, uint64_t now_ns);

/* Once names have been looked up: says how pools stand, and probes whatever is not healthy. */
void roster_begin(struct roster *roster, uint64_t now_ns);

/* Drops what the configuration keeps of a former one: nobody needs it any more. */
void roster_drop_kept(struct roster *roster, struct config *config, uint64_t now_ns);

/* After the start as a successor: sessions may be left on backends that have failed before. */
void roster_cut_inherited(struct roster *roster);

/* Commands the cuts that failed backends have been given, after the grace period. */
void roster_cut_failed(struct roster *roster, struct outbox *outbox);
