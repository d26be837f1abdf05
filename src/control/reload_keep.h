/*
 * What a reload keeps of the configuration that it replaces: listeners and pools that the new one
 * does not name, for as long as a session may still be on its way to a backend.
 *
 * Threads: control alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct config;
struct control;

/* Until when, for each listener and pool that a configuration keeps, in their order. */
struct kept {
	uint64_t *listeners; /* owned; monotonic ns */
	uint64_t *pools;     /* owned */
	uint64_t until_ns;   /* all of them may be dropped then; UINT64_MAX: there is nothing */
};

/*
 * Adds to `next` what is lost of the running configuration, and what that one keeps and is not
 * over. Returns false when there is no memory.
 */
bool reload_keep(
	struct control *control, struct config *next, uint64_t now_ns, struct kept *ret_kept);
void kept_done(struct kept *kept);

/* Its time is over: drops it, or tries again later when something is still on the way. */
void reload_drop_kept(struct control *control, uint64_t now_ns);

/* Whether the configuration itself names it. */
bool reload_has_listener(const struct config *config, const char *name);
