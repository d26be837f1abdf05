/*
 * The names of backends, looked up before a configuration is applied: at the start and at a reload.
 *
 * A lookup asks for all names of a configuration and collects the answers, without touching
 * anything else; so what it finds can still be refused. What has no answer in time is applied
 * without: the resolver goes over to the roster, and answers when it can.
 *
 * Owner and thread: control.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "control/resolve.h"

struct config;
struct control;
struct error;
struct registry;

enum { LOOKUP_WAIT_MS = 5000 };

/* When an answer came: before the configuration was applied, or later. */
enum lookup_time { LOOKUP_BEFORE, LOOKUP_LATER };

struct lookup {
	const struct config *config; /* borrowed */
	uint32_t count;              /* backends of all pools */
	uint32_t open;               /* questions without an answer yet */
	struct resolver *resolver;   /* owned until lookup_apply(); NULL: there are no names */
	/* Owned; by backend, counted over all pools in the order of the configuration. */
	struct resolve_answer *answers;
	bool *answered;
};

/* Whether any backend has a name. */
bool lookup_is_needed(const struct config *config);

/* Returns 0 or a negative errno with nothing left behind. */
int lookup_create(const struct config *config, struct lookup *ret_lookup, struct error *err);
void lookup_done(struct lookup *lookup);

/* Asks for all names; with a registry, not for what goes on from before. */
void lookup_ask(struct lookup *lookup, const struct registry *registry);

/* Takes what has been answered. Returns whether that is all. */
bool lookup_collect(struct lookup *lookup);

/* Two backends of a pool with one address are an error. Returns 0 or -EINVAL. */
int lookup_refuse_twins(const struct lookup *lookup, struct error *err);

/* Gives the answers, in the order of the configuration, and the resolver to control's roster. */
void lookup_apply(struct control *control, struct lookup *lookup, uint64_t now_ns);
