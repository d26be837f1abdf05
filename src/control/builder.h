/*
 * Configuration and health into an immutable snapshot, pure: equal inputs give equal snapshots.
 *
 * Control builds one when something may have changed and publishes it only if it differs from
 * the current one (builder_same()), so the data plane never sees churn. What is built lies in an
 * arena of its own and refers to nothing of the input but the algorithms, which are constants.
 *
 * Threads: control alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/sockaddr.h"

struct balance_algorithm;
struct config_listener;
struct config_pool;
struct pool_health;
struct snapshot;

struct builder_backend {
	uint32_t slot;
	struct sockaddr_any address; /* read only when the backend takes sessions */
	bool may_be_self;            /* likewise */
};

struct builder_pool {
	uint32_t id; /* index of its pool_entry */
	const struct config_pool *config;
	const struct balance_algorithm *algorithm;
	const struct pool_health *health;
	const struct builder_backend *backends; /* as many, and in the order, of config */
	bool leaving;
};

struct builder_listener {
	uint32_t id;   /* index of its listener_entry */
	uint32_t pool; /* id of its pool */
	const struct config_listener *config;
	bool leaving;
};

struct builder_input {
	uint64_t version;    /* higher than that of any snapshot before */
	uint64_t generation; /* of the configuration; another one may differ in what follows */
	uint32_t keepalive_s;
	uint64_t busy_poll_ns;
	uint64_t coalesce_ns;
	bool access_enabled;
	double access_sample;
	uint32_t listener_count;
	const struct builder_listener *listeners;
	uint32_t pool_count;
	const struct builder_pool *pools;
};

/* Owned by the caller until snapshot_publish(). NULL when there is no memory. */
struct snapshot *builder_build(const struct builder_input *input);

/* Whether the data plane could tell them apart by anything but the version. */
bool builder_same(const struct snapshot *a, const struct snapshot *b);
