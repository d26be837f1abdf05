#include "bench/load.h"
#include "bench/net.h"

static void succeed(struct load *load, const struct client *client, uint64_t now)
{
	load->done++;
	load->end_ns = now;
	histogram_add(&load->latency, now - client->due_ns);
}

/* Sessions one after the other, as many at a time as there are clients. */

static void start_session(struct load *load, struct client *client)
{
	while (load_goes_on(load, net_now())) {
		load->begun++;
		if (load_open(load, client)) {
			load->active++;
			return;
		}
	}
}

static void sessions_begin(struct load *load)
{
	for (uint32_t i = 0; i < load->options.connections; i++) {
		start_session(load, &load->clients[i]);
	}
}

static void sessions_on_event(struct load *load, struct client *client, enum client_event event)
{
	load->active--;
	if (event == CLIENT_FAILED) {
		load_fail(load, client, client->failure);
	} else {
		load->complete += client->received == client->receive_until;
		succeed(load, client, net_now());
		load_finish(load, client);
	}
	start_session(load, client);
}

/* Requests one after the other on each of the open sessions. */

static void start_request(struct load *load, struct client *client, uint64_t now)
{
	if (client->fd >= 0 && load_goes_on(load, now)) {
		load->begun++;
		client->due_ns = now;
		load->active += load_ask(load, client);
	}
}

static void requests_begin(struct load *load)
{
	for (uint32_t i = 0; i < load->options.connections; i++) {
		start_request(load, &load->clients[i], net_now());
	}
}

static void requests_on_event(struct load *load, struct client *client, enum client_event event)
{
	const uint64_t now = net_now();

	load->active--;
	if (event == CLIENT_FAILED) {
		load_fail(load, client, client->failure);
		return;
	}
	succeed(load, client, now);
	start_request(load, client, now);
}

/* One more request on each of the open sessions: they have lived through the wait. */

static void once_begin(struct load *load)
{
	for (uint32_t i = 0; i < load->options.connections; i++) {
		struct client *client = &load->clients[i];
		if (client->fd >= 0) {
			client->due_ns = net_now();
			load->active += load_ask(load, client);
		}
	}
}

static void once_on_event(struct load *load, struct client *client, enum client_event event)
{
	load->active--;
	if (event == CLIENT_FAILED) {
		load_fail(load, client, client->failure);
		return;
	}
	succeed(load, client, net_now());
}

/* The transfers that have been stalled since before "ready" go on to their ends. */

static void release_begin(struct load *load)
{
	for (uint32_t i = 0; i < load->options.connections; i++) {
		struct client *client = &load->clients[i];
		if (client->fd >= 0) {
			client->due_ns = net_now();
			client->holding = false;
			load->active++;
			client_watch(client, load->epoll_fd);
		}
	}
}

static void release_on_event(struct load *load, struct client *client, enum client_event event)
{
	load->active--;
	if (event == CLIENT_FAILED) {
		load_fail(load, client, client->failure);
		return;
	}
	succeed(load, client, net_now());
	load_finish(load, client);
}

/*
 * The open loop: requests are due at times that nothing here can move, and their latency runs from
 * then. One for which no client is free waits in a queue, and its wait counts.
 */

static void put_free(struct load *load, const struct client *client)
{
	const uint32_t at = (load->free_head + load->free_count++) % LOAD_CLIENTS_MAX;

	load->free[at] = (uint32_t)(client - load->clients);
}

static struct client *take_free(struct load *load)
{
	struct client *client = &load->clients[load->free[load->free_head]];

	load->free_head = (load->free_head + 1) % LOAD_CLIENTS_MAX;
	load->free_count--;
	return client;
}

static void rate_begin(struct load *load)
{
	for (uint32_t i = 0; i < load->options.connections; i++) {
		put_free(load, &load->clients[i]);
	}
	arrivals_init(&load->arrivals, (double)load->options.rate, load->options.seed);
	load->next_due_ns = load->begin_ns + arrivals_next(&load->arrivals);
}

static void queue_due(struct load *load, uint64_t now)
{
	while (load->next_due_ns <= now && load->next_due_ns < load->stop_ns) {
		load->offered++;
		if (load->pending_count < LOAD_PENDING_MAX) {
			load->pending[(load->pending_head + load->pending_count) %
				LOAD_PENDING_MAX] = load->next_due_ns;
			load->pending_count++;
		} else {
			load->failures[FAILURE_LATE]++;
		}
		load->next_due_ns = load->begin_ns + arrivals_next(&load->arrivals);
	}
}

static void send_due(struct load *load, struct client *client, uint64_t due_ns)
{
	const bool sent = client->fd < 0 ? load_open(load, client) : load_ask(load, client);

	client->due_ns = due_ns;
	if (!sent) {
		load->active--;
		put_free(load, client);
	}
}

static uint64_t rate_turn(struct load *load, uint64_t now)
{
	const uint32_t before = load->pending_count;

	queue_due(load, now);
	load->active += load->pending_count - before; /* waiting is work under way too */
	while (load->pending_count > 0 && load->free_count > 0) {
		const uint64_t due_ns = load->pending[load->pending_head];
		load->pending_head = (load->pending_head + 1) % LOAD_PENDING_MAX;
		load->pending_count--;
		send_due(load, take_free(load), due_ns);
	}
	return load->next_due_ns < load->stop_ns ? load->next_due_ns : UINT64_MAX;
}

static void rate_on_event(struct load *load, struct client *client, enum client_event event)
{
	load->active--;
	if (event == CLIENT_FAILED) {
		load_fail(load, client, client->failure);
	} else {
		succeed(load, client, net_now());
		if (load->options.fresh != 0) {
			load_finish(load, client);
		}
	}
	put_free(load, client);
}

const struct load_mode load_modes[] = {
	{
		.name = "churn",
		.summary = "a session for each request",
		.kind = HELLO_EXCHANGE,
		.begin = sessions_begin,
		.on_event = sessions_on_event,
	},
	{
		.name = "pingpong",
		.summary = "one request after the other on open sessions",
		.kind = HELLO_EXCHANGE,
		.opens_first = true,
		.begin = requests_begin,
		.on_event = requests_on_event,
	},
	{
		.name = "rate",
		.summary = "requests at a fixed rate, whatever comes back: an open loop",
		.kind = HELLO_EXCHANGE,
		.opens_first = true,
		.begin = rate_begin,
		.turn = rate_turn,
		.on_event = rate_on_event,
	},
	{
		.name = "download",
		.summary = "transfers to the client",
		.kind = HELLO_DOWNLOAD,
		.end = END_FOLLOWS,
		.begin = sessions_begin,
		.on_event = sessions_on_event,
	},
	{
		.name = "upload",
		.summary = "transfers to the backend, each with a receipt",
		.kind = HELLO_UPLOAD,
		.end = END_FOLLOWS,
		.half_close = true,
		.begin = sessions_begin,
		.on_event = sessions_on_event,
	},
	{
		.name = "idle",
		.summary = "open sessions that wait, and are still good afterwards",
		.kind = HELLO_EXCHANGE,
		.opens_first = true,
		.begin = once_begin,
		.on_event = once_on_event,
	},
	{
		.name = "early",
		.summary = "uploads that the backend answers and ends half-way",
		.kind = HELLO_EARLY,
		.end = END_BREAKS,
		.begin = sessions_begin,
		.on_event = sessions_on_event,
	},
	{
		.name = "stall-read",
		.summary = "downloads that the client does not read for a while",
		.kind = HELLO_DOWNLOAD,
		.end = END_FOLLOWS,
		.holding = true,
		.opens_first = true,
		.begin = release_begin,
		.on_event = release_on_event,
	},
	{
		.name = "stall-write",
		.summary = "uploads that the backend does not read before SIGUSR1",
		.kind = HELLO_UPLOAD_LATER,
		.end = END_FOLLOWS,
		.half_close = true,
		.opens_first = true,
		.begin = release_begin,
		.on_event = release_on_event,
	},
};

const size_t load_mode_count = sizeof load_modes / sizeof *load_modes;
