/* What the unit tests of control run on; a fixture belongs to the one thread of its test. */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/testing.h"
#include "config/config.h"
#include "config/diag.h"
#include "control/registry.h"
#include "model/shm.h"

enum { TEST_WORKERS = 2 };

struct fixture {
	struct config *config;
	struct shm shm;
	struct event_log events;
	struct registry registry;
	uint64_t now_ns;
};

static inline struct config *test_config(const char *text)
{
	struct diag *diag = diag_create();
	struct config *config = config_load_text(text, strlen(text), "test", diag);

	if (config == NULL) {
		diag_print(diag, stderr);
	}
	diag_free(diag);
	assert_non_null(config);
	return config;
}

static inline void test_begin(struct fixture *fixture, const char *text)
{
	*fixture = (struct fixture){.config = test_config(text), .now_ns = 1000000000};
	assert_int_equal(shm_create(TEST_WORKERS, 16, &fixture->shm, NULL), 0);
	fixture->events = (struct event_log){.ring = fixture->shm.events};
	assert_int_equal(registry_init(&fixture->registry, &fixture->shm, fixture->config,
				 &fixture->events, fixture->now_ns, NULL),
		0);
}

static inline void test_end(struct fixture *fixture)
{
	registry_done(&fixture->registry);
	shm_destroy(&fixture->shm);
	config_free(fixture->config);
}

/* One observation, a nanosecond after the last. */
static inline void test_feed(struct fixture *fixture, uint32_t backend, enum health_signal signal)
{
	const struct observation observation = {
		.signal = signal,
		.cause = CAUSE_TRAFFIC,
		.reason = "refused",
		.now_ns = ++fixture->now_ns,
		.started_ns = fixture->now_ns,
	};

	registry_feed(&fixture->registry, backend, &observation);
}

/* The last event, which must be of that kind. */
static inline struct event test_last_event(const struct fixture *fixture, enum event_kind kind)
{
	struct event event;

	assert_true(
		event_read(fixture->shm.events, atomic_load(&fixture->shm.events->last), &event));
	assert_int_equal(event.kind, kind);
	return event;
}
