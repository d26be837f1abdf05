/*
 * The list of sessions: made while it is sent, so that a million of them take no memory, and read
 * from the records in shared memory without a lock, so that no worker notices.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "model/shm.h"
#include "observe/api_internal.h"
#include "observe/client_text.h"
#include "os/clock.h"

enum {
	COPY_TRIES = 3,
	ID_TEXT_MAX = 40,
	/* Records that are looked at before the server turns to its other clients. */
	RECORDS_PER_READ = 4096,
};

static const uint64_t NS_PER_MS = 1000000;

enum listing_phase { LISTING_HEAD, LISTING_RECORDS, LISTING_TAIL, LISTING_END };

struct listing {
	const struct shm *shm; /* borrowed */
	char *pool;            /* owned, as the two below; NULL: any */
	char *backend;
	char *listener;
	uint64_t limit;
	uint64_t shown;
	enum listing_phase phase;
	uint32_t worker; /* the record that comes next */
	uint32_t index;
	struct page page; /* text that was made; `sent` of it has been handed out */
	size_t sent;
};

/* One session, at one moment. */
struct view {
	struct session_record record;
	uint32_t worker;
	uint32_t index;
	char listener[IDENTITY_NAME_MAX];
	char pool[IDENTITY_NAME_MAX];
	char backend[IDENTITY_NAME_MAX]; /* empty: none yet */
};

typedef uint64_t __attribute__((may_alias)) word_t;

/*
 * The worker may write at this very moment: what is torn is found out by the caller. Whole words
 * at a time, so that the counters among them are never torn.
 */
__attribute__((no_sanitize("thread"))) static void copy_words(
	const struct session_record *from, struct session_record *to)
{
	const volatile word_t *source = (const volatile word_t *)from;
	word_t *target = (word_t *)to;

	for (size_t i = 0; i < sizeof *from / sizeof(word_t); i++) {
		target[i] = source[i];
	}
}

static bool is_live(uint32_t state)
{
	return state == RECORD_CONNECTING || state == RECORD_OPEN;
}

/* Whether the record was live and whole while it was copied. */
static bool copy_record(
	const struct session_record *from, uint32_t index, struct session_record *ret_record)
{
	for (int i = 0; i < COPY_TRIES; i++) {
		const uint32_t state = atomic_load_explicit(&from->state, memory_order_acquire);

		if (!is_live(state)) {
			return false;
		}
		copy_words(from, ret_record);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&from->state, memory_order_relaxed) == state &&
			session_record_valid(ret_record, index)) {
			return true;
		}
	}
	return false;
}

__attribute__((no_sanitize("thread"))) static bool is_same(
	const struct session_record *now, const struct session_record *then)
{
	atomic_thread_fence(memory_order_acquire);
	return is_live(atomic_load_explicit(&now->state, memory_order_acquire)) &&
		now->generation == then->generation && now->fd[0] == then->fd[0] &&
		now->fd[1] == then->fd[1];
}

static void copy_name(const struct identity *identity, char name[static IDENTITY_NAME_MAX])
{
	const uint32_t used = atomic_load_explicit(&identity->used, memory_order_acquire);

	name[0] = '\0';
	if (used == 0) {
		return;
	}
	memcpy(name, identity->name, IDENTITY_NAME_MAX - 1);
	name[IDENTITY_NAME_MAX - 1] = '\0';
	atomic_thread_fence(memory_order_acquire);
	if (atomic_load_explicit(&identity->used, memory_order_relaxed) != used) {
		name[0] = '\0'; /* it went, and another came in its place */
	}
}

static void look_up_names(const struct shm *shm, struct view *view)
{
	const struct session_record *record = &view->record;

	view->listener[0] = '\0';
	view->pool[0] = '\0';
	view->backend[0] = '\0';
	if (record->listener < LISTENERS_MAX) {
		copy_name(&shm->listeners[record->listener].identity, view->listener);
	}
	if (record->pool < POOLS_MAX) {
		copy_name(&shm->pools[record->pool].identity, view->pool);
	}
	if (record->slot < SLOTS_MAX) {
		copy_name(&shm->slots[record->slot].identity, view->backend);
	}
}

static bool is_wanted(const struct listing *listing, const struct view *view)
{
	return (listing->listener == NULL || strcmp(listing->listener, view->listener) == 0) &&
		(listing->pool == NULL || strcmp(listing->pool, view->pool) == 0) &&
		api_is_backend(listing->backend, view->pool, view->backend);
}

/* Milliseconds since something came from the peer of a TCP socket; UINT64_MAX: unknown. */
static uint64_t silent_ms(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;

	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0) {
		return UINT64_MAX;
	}
	return info.tcpi_last_data_recv;
}

/*
 * For how long neither side has sent anything. Null where the kernel does not tell (UNIX sockets),
 * or where the session ended meanwhile: the descriptors may have been another's.
 */
static json_t *idle(const struct listing *listing, const struct view *view)
{
	const struct session_record *record = &view->record;
	const uint64_t client_ms = silent_ms(record->fd[SIDE_CLIENT]);
	const uint64_t backend_ms = silent_ms(record->fd[SIDE_BACKEND]);
	const uint64_t ms = client_ms < backend_ms ? client_ms : backend_ms;

	if ((record->flags & (RECORD_LOCAL_CLIENT | RECORD_LOCAL_BACKEND)) != 0 ||
		ms == UINT64_MAX ||
		!is_same(shm_record(listing->shm, view->worker, view->index), record)) {
		return json_null();
	}
	return json_seconds(ms * NS_PER_MS);
}

static json_t *describe(const struct listing *listing, const struct view *view)
{
	const struct session_record *record = &view->record;
	const uint32_t state = atomic_load_explicit(&record->state, memory_order_relaxed);
	const uint64_t now_ns = clock_monotonic_ns();
	char client[SOCKADDR_TEXT_MAX];
	char id[ID_TEXT_MAX];

	client_text(record->client_address, (record->flags & RECORD_LOCAL_CLIENT) != 0, client);
	(void)snprintf(id, sizeof id, "%u.%u.%u", view->worker, view->index, record->generation);
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:o, s:o, s:I, s:I}", "id", id,
		"state", state == RECORD_OPEN ? "open" : "connecting", "client", client, "listener",
		json_text(view->listener), "pool", json_text(view->pool), "backend",
		json_text_or_null(view->backend), "tries", (int)record->tries, "age_seconds",
		json_seconds(now_ns > record->started_ns ? now_ns - record->started_ns : 0),
		"idle_seconds", idle(listing, view), "received_bytes",
		(json_int_t)record->moved[SIDE_CLIENT], "sent_bytes",
		(json_int_t)record->moved[SIDE_BACKEND]);
}

static void show(struct listing *listing, const struct view *view)
{
	page_add(&listing->page, listing->shown > 0 ? ",\n" : "\n", listing->shown > 0 ? 2 : 1);
	json_add(&listing->page, describe(listing, view));
	listing->shown++;
}

/* Records above have never been used: to read them would allocate memory that nobody needs. */
static uint32_t records_used(const struct shm *shm, uint32_t worker)
{
	const uint32_t used = atomic_load_explicit(
		&shm->worker_states[worker].records_used, memory_order_acquire);

	return used < shm->sessions_per_worker ? used : shm->sessions_per_worker;
}

/* Looks at one record, or goes on to the next worker. */
static void step(struct listing *listing)
{
	struct view view;

	if (listing->shown >= listing->limit || listing->worker >= listing->shm->workers) {
		listing->phase = LISTING_TAIL;
		return;
	}
	if (listing->index >= records_used(listing->shm, listing->worker)) {
		listing->worker++;
		listing->index = 0;
		return;
	}
	view.worker = listing->worker;
	view.index = listing->index;
	listing->index++;
	if (!copy_record(
		    shm_record(listing->shm, view.worker, view.index), view.index, &view.record)) {
		return;
	}
	look_up_names(listing->shm, &view);
	if (is_wanted(listing, &view)) {
		show(listing, &view);
	}
}

static void write_tail(struct listing *listing)
{
	char tail[64];
	const int length = snprintf(tail, sizeof tail, "],\"shown\":%llu,\"sessions_now\":%llu}\n",
		(unsigned long long)listing->shown, (unsigned long long)shm_sessions(listing->shm));

	page_add(&listing->page, tail, (size_t)length);
	listing->phase = LISTING_END;
}

/* Makes about `size` bytes of text, or looks at a bounded number of records. */
static void make_text(struct listing *listing, size_t size)
{
	static const char head[] = "{\"sessions\":[";

	listing->sent = 0;
	listing->page.length = 0;
	if (listing->phase == LISTING_HEAD) {
		page_add(&listing->page, head, sizeof head - 1);
		listing->phase = LISTING_RECORDS;
	}
	for (int i = 0; i < RECORDS_PER_READ && listing->phase == LISTING_RECORDS &&
		listing->page.length < size;
		i++) {
		step(listing);
	}
	if (listing->phase == LISTING_TAIL) {
		write_tail(listing);
	}
	if (listing->page.length == 0 && listing->phase != LISTING_END) {
		page_add(&listing->page, "\n", 1); /* nothing to say yet, and not the end */
	}
}

static ssize_t read_listing(void *context, char *text, size_t size)
{
	struct listing *listing = context;
	size_t n;

	if (listing->sent == listing->page.length) {
		if (listing->phase == LISTING_END) {
			return 0;
		}
		make_text(listing, size);
	}
	if (listing->page.failed) {
		return -ENOMEM;
	}
	n = listing->page.length - listing->sent;
	n = n < size ? n : size;
	memcpy(text, listing->page.text + listing->sent, n);
	listing->sent += n;
	return (ssize_t)n;
}

static void free_listing(void *context)
{
	struct listing *listing = context;

	page_done(&listing->page);
	free(listing->pool);
	free(listing->backend);
	free(listing->listener);
	free(listing);
}

/* A copy of the parameter. Returns false without memory. */
static bool keep(const struct http_call *call, const char *name, char **ret_value)
{
	const char *value = route_parameter(call, name);

	*ret_value = value == NULL ? NULL : strdup(value);
	return value == NULL || *ret_value != NULL;
}

static bool parse_limit(const char *text, uint64_t *ret_limit)
{
	char *end;

	*ret_limit = UINT64_MAX;
	if (text == NULL) {
		return true;
	}
	errno = 0;
	*ret_limit = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && *ret_limit > 0;
}

struct answer api_sessions(const struct http_call *call)
{
	const struct api *api = call->context;
	struct listing *listing;
	struct answer refusal;
	uint64_t limit;

	if (!parse_limit(route_parameter(call, "limit"), &limit)) {
		return answer_error(HTTP_BAD_REQUEST, "limit: a number from 1 is expected");
	}
	if (!api_knows_names(call, &refusal)) {
		return refusal;
	}
	listing = calloc(1, sizeof *listing);
	if (listing == NULL) {
		return answer_error(HTTP_UNAVAILABLE, "out of memory");
	}
	listing->shm = api->shm;
	listing->limit = limit;
	listing->page = page_begin();
	if (!keep(call, "pool", &listing->pool) || !keep(call, "backend", &listing->backend) ||
		!keep(call, "listener", &listing->listener)) {
		free_listing(listing);
		return answer_error(HTTP_UNAVAILABLE, "out of memory");
	}
	return (struct answer){
		.status = HTTP_OK,
		.type = "application/json",
		.stream = {.read = read_listing, .free = free_listing, .context = listing},
	};
}
