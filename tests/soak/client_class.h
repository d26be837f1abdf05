/*
 * How clients of each class behave. Functions over one peer; the client's thread.
 */
#pragma once

#include "client.h"
#include "peer.h"

enum client_step {
	STEP_GO_ON,
	STEP_ANSWERED, /* a response is complete */
	STEP_ABORT,    /* the time has come for the reset */
	STEP_STRANGE,  /* the greeting is none */
};

/* Whether it asks and gets answers. */
bool client_class_asks(enum session_class class);

/* A new peer, connecting: sets its paces, its time and its keys. */
void client_class_begin(struct stage *stage, const struct client_setup *setup, struct peer *peer);

/* It is connected. `stopping`: only to end at once. */
void client_class_connected(
	struct stage *stage, const struct client_setup *setup, struct peer *peer, bool stopping);

/* What is to be done now, after something came or time has passed. */
enum client_step client_class_step(
	struct stage *stage, const struct client_setup *setup, struct peer *peer);

/* It is to end in order, soon. */
void client_class_stop(struct stage *stage, struct peer *peer);

/* Whether something has to come or to happen, and since when it is waited for. */
bool client_class_waits(const struct peer *peer, uint64_t *ret_since_ns);
