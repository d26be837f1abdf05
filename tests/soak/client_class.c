#include "client_class.h"

#include <string.h>

enum {
	/* Faster sent than read, so that something is held back all the time. */
	SLOW_BURST_BYTES = 128 * 1024,
	SLOW_BURST_MS = 30,
	SLOW_READ_BYTES = 6000,
	SLOW_READ_MS = 40,
	TRICKLE_BYTES = 3000,
	TRICKLE_MS = 50,
	HALF_CLOSED_BYTES = 20000,
	HOLD_MIN_MS = 200,
	GREETING_WAIT_MS = 10,
};

bool client_class_asks(enum session_class class)
{
	return class == CLASS_PROBE || class == CLASS_PING || class == CLASS_SHORT;
}

static bool bulk_up(enum session_class class)
{
	return class == CLASS_BULK_UP || class == CLASS_BULK_BOTH;
}

static bool bulk_down(enum session_class class)
{
	return class == CLASS_BULK_DOWN || class == CLASS_BULK_BOTH;
}

/* What the backend is told. */
static struct hello hello_of(
	struct stage *stage, const struct client_setup *setup, const struct peer *peer)
{
	const enum session_class class = (enum session_class)peer->class;
	struct hello hello = {.session = peer->session, .class = peer->class};

	if (bulk_down(class)) {
		hello.burst = setup->burst;
		hello.every_ms = setup->every_ms;
	}
	if (class == CLASS_SLOW_CLIENT) {
		hello.burst = SLOW_BURST_BYTES;
		hello.every_ms = SLOW_BURST_MS;
	}
	if (class == CLASS_SLOW_BACKEND) {
		hello.read_bytes = SLOW_READ_BYTES;
		hello.read_every_ms = SLOW_READ_MS;
	}
	if (class == CLASS_HALF_UP || class == CLASS_ABORTED) {
		hello.burst = TRICKLE_BYTES;
		hello.every_ms = TRICKLE_MS;
		hello.hold_ms = stage_between(stage, HOLD_MIN_MS, setup->hold_ms);
	}
	if (class == CLASS_HALF_DOWN) {
		hello.burst = HALF_CLOSED_BYTES;
		hello.every_ms = 1;
		hello.limit = HALF_CLOSED_BYTES;
	}
	return hello;
}

/* Its own sending. */
static struct pace pace_of(const struct client_setup *setup, const struct peer *peer)
{
	const enum session_class class = (enum session_class)peer->class;

	if (bulk_up(class)) {
		return (struct pace){.bytes = setup->burst, .every_ms = setup->every_ms};
	}
	if (class == CLASS_SLOW_BACKEND) {
		return (struct pace){.bytes = SLOW_BURST_BYTES, .every_ms = SLOW_BURST_MS};
	}
	if (class == CLASS_HALF_DOWN || class == CLASS_ABORT) {
		return (struct pace){.bytes = TRICKLE_BYTES, .every_ms = TRICKLE_MS};
	}
	if (class == CLASS_HALF_UP) {
		return (struct pace){.bytes = HALF_CLOSED_BYTES, .every_ms = 1};
	}
	return (struct pace){0};
}

void client_class_begin(struct stage *stage, const struct client_setup *setup, struct peer *peer)
{
	const enum session_class class = (enum session_class)peer->class;
	const struct hello hello = hello_of(stage, setup, peer);

	peer->in.key = pattern_key(peer->session, DIRECTION_DOWN);
	peer->in.prefix_length = GREETING_BYTES;
	peer->out.key = pattern_key(peer->session, DIRECTION_UP);
	memcpy(peer->out.prefix, &hello, sizeof hello);
	if (class == CLASS_SLOW_CLIENT) {
		peer->read = (struct pace){.bytes = SLOW_READ_BYTES, .every_ms = SLOW_READ_MS};
	}
}

static uint64_t after_ms(const struct stage *stage, uint32_t ms)
{
	return stage->now_ns + ms * NS_PER_MS;
}

/* When it ends: some live on until all end, the rest for a while. */
static uint64_t end_of(
	struct stage *stage, const struct client_setup *setup, const struct peer *peer)
{
	switch ((enum session_class)peer->class) {
	case CLASS_PROBE:
	case CLASS_SHORT:
	case CLASS_HALF_UP:
	case CLASS_ABORTED:
		return NEVER;
	case CLASS_ABORT:
	case CLASS_HALF_DOWN:
		return after_ms(stage, stage_between(stage, HOLD_MIN_MS, setup->hold_ms));
	case CLASS_PING:
	case CLASS_BULK_UP:
	case CLASS_BULK_DOWN:
	case CLASS_BULK_BOTH:
	case CLASS_SLOW_CLIENT:
	case CLASS_SLOW_BACKEND:
	case CLASS_IDLE:
	case CLASS_SILENT:
	case CLASS_COUNT:
		break;
	}
	if (stage_between(stage, 0, 1) == 0) {
		return NEVER;
	}
	return after_ms(stage, stage_between(stage, setup->life_ms / 2, setup->life_ms * 3 / 2));
}

/* The hello goes out, with the number of the greeting or without. */
static void say_hello(const struct client_setup *setup, struct peer *peer)
{
	struct hello hello;

	memcpy(&hello, peer->out.prefix, sizeof hello);
	hello.nonce = peer->nonce;
	wire_seal(&hello);
	memcpy(peer->out.prefix, &hello, sizeof hello);
	peer->out.prefix_length = HELLO_BYTES;
	peer->send = pace_of(setup, peer);
	peer->limit = peer->class == CLASS_HALF_UP ? HALF_CLOSED_BYTES : 0;
}

/* Whether it waits to be spoken to first: half of them do. */
static bool listens_first(const struct peer *peer)
{
	return peer->session % 2 == 0 || peer->class == CLASS_SILENT;
}

void client_class_connected(
	struct stage *stage, const struct client_setup *setup, struct peer *peer, bool stopping)
{
	peer->moved_ns = stage->now_ns;
	peer->end_ns = end_of(stage, setup, peer);
	if (!listens_first(peer)) {
		say_hello(setup, peer);
	}
	if (stopping) {
		client_class_stop(stage, peer);
	}
}

/* The greeting is there. False: it is none. */
static bool on_greeting(struct peer *peer)
{
	struct greeting greeting;

	memcpy(&greeting, peer->in.prefix, sizeof greeting);
	if (!wire_greeting_ok(&greeting)) {
		return false;
	}
	peer->nonce = greeting.nonce;
	return true;
}

static void ask(struct stage *stage, struct peer *peer)
{
	const enum session_class class = (enum session_class)peer->class;

	peer->out.target += wire_request_bytes(class, peer->session, peer->round);
	peer->need += wire_response_bytes(class, peer->session, peer->round);
	peer->round++;
	peer->asked = true;
	if (class != CLASS_SHORT) {
		peer->since_ns = stage->now_ns; /* of a short one: connect() */
	}
}

/* Requests and responses, with time to think between them. */
static enum client_step converse(
	struct stage *stage, const struct client_setup *setup, struct peer *peer)
{
	enum client_step step = STEP_GO_ON;

	if (peer->asked && peer->in.position == peer->need) {
		peer->asked = false;
		step = STEP_ANSWERED;
		peer->wake_ns = after_ms(stage,
			peer->class == CLASS_PING ? stage_between(stage, 0, 2 * setup->think_ms)
						  : setup->probe_ms);
		peer->quitting |= peer->class == CLASS_SHORT;
	}
	if (peer->asked || peer->out.ending) {
		return step;
	}
	if (peer->quitting && peer->round > 0) {
		peer->wake_ns = NEVER;
		peer_finish(peer);
	} else if (peer->wake_ns == NEVER || stage->now_ns >= peer->wake_ns) {
		peer->wake_ns = NEVER;
		ask(stage, peer);
	}
	return step;
}

enum client_step client_class_step(
	struct stage *stage, const struct client_setup *setup, struct peer *peer)
{
	const enum session_class class = (enum session_class)peer->class;
	const bool due = stage->now_ns >= peer->end_ns;

	if (peer->nonce == 0 && peer->in.prefix_got == GREETING_BYTES && !on_greeting(peer)) {
		return STEP_STRANGE;
	}
	if (due && class == CLASS_ABORT) {
		return STEP_ABORT;
	}
	if (peer->out.prefix_length == 0) {
		if (peer->nonce == 0 || (class == CLASS_SILENT && !due)) {
			peer->end_ns = due ? after_ms(stage, GREETING_WAIT_MS) : peer->end_ns;
			return STEP_GO_ON;
		}
		say_hello(setup, peer);
	}
	if (due) {
		peer->end_ns = NEVER;
		peer->read = (struct pace){0};
		peer->quitting = true;
		if (!client_class_asks(class)) {
			peer_finish(peer);
		}
	}
	return client_class_asks(class) ? converse(stage, setup, peer) : STEP_GO_ON;
}

void client_class_stop(struct stage *stage, struct peer *peer)
{
	if (peer->class != CLASS_HALF_UP && peer->class != CLASS_ABORTED && !peer->quitting) {
		peer->end_ns = stage->now_ns;
	}
}

bool client_class_waits(const struct peer *peer, uint64_t *ret_since_ns)
{
	const enum session_class class = (enum session_class)peer->class;

	if (peer->connecting || peer->asked) {
		*ret_since_ns = peer->since_ns;
		return true;
	}
	if (peer->ended) {
		return false;
	}
	if (bulk_down(class) || class == CLASS_SLOW_CLIENT || class == CLASS_HALF_UP ||
		class == CLASS_ABORTED) {
		*ret_since_ns = peer->moved_ns;
		return true;
	}
	*ret_since_ns = peer->since_ns;
	/* A slow backend has a lot to read before it sees the end. */
	return peer->out.finished && class != CLASS_SLOW_BACKEND;
}
