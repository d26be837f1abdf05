#include "model/slot.h"

#include <assert.h>
#include <errno.h>

enum { US = 1000, MS = 1000 * US };

const uint64_t connect_bucket_ns[CONNECT_BUCKET_COUNT] = {
	100ULL * US,
	250ULL * US,
	500ULL * US,
	1ULL * MS,
	2500ULL * US,
	5ULL * MS,
	10ULL * MS,
	25ULL * MS,
	50ULL * MS,
	100ULL * MS,
	250ULL * MS,
	500ULL * MS,
	1000ULL * MS,
	2500ULL * MS,
	5000ULL * MS,
	10000ULL * MS,
};

const uint64_t session_bucket_ns[SESSION_BUCKET_COUNT] = {
	1ULL * MS,
	10ULL * MS,
	100ULL * MS,
	1000ULL * MS,
	10000ULL * MS,
	100000ULL * MS,
	1000000ULL * MS,
	10000000ULL * MS,
	86400000ULL * MS,
};

static const char *const health_names[HEALTH_STATE_COUNT] = {
	[HEALTH_UNSET] = "unset",
	[HEALTH_HEALTHY] = "healthy",
	[HEALTH_DRAINING] = "draining",
	[HEALTH_UNHEALTHY] = "unhealthy",
};

static const char *const admin_names[ADMIN_STATE_COUNT] = {
	[ADMIN_READY] = "ready",
	[ADMIN_DRAIN] = "drain",
	[ADMIN_MAINTENANCE] = "maintenance",
};

static const char *const failure_names[FAILURE_REASON_COUNT] = {
	[FAILURE_REFUSED] = "refused",
	[FAILURE_TIMEOUT] = "timeout",
	[FAILURE_UNREACHABLE] = "unreachable",
	[FAILURE_RESET] = "reset",
	[FAILURE_RESOURCE] = "resource",
};

static const char *const check_names[CHECK_RESULT_COUNT] = {
	[CHECK_SUCCESS] = "success",
	[CHECK_REFUSED] = "refused",
	[CHECK_TIMEOUT] = "timeout",
	[CHECK_ERROR] = "error",
};

static const char *const by_names[CLOSED_BY_COUNT] = {
	[CLOSED_BY_CLIENT] = "client",
	[CLOSED_BY_BACKEND] = "backend",
	[CLOSED_BY_PROXY] = "proxy",
};

static const char *const close_names[CLOSE_REASON_COUNT] = {
	[CLOSE_END] = "end",
	[CLOSE_RESET] = "reset",
	[CLOSE_IDLE_TIMEOUT] = "idle_timeout",
	[CLOSE_HALF_CLOSE_TIMEOUT] = "half_close_timeout",
	[CLOSE_CONNECT_FAILED] = "connect_failed",
	[CLOSE_NO_BACKEND] = "no_backend",
	[CLOSE_DRAIN] = "drain",
	[CLOSE_KILLED] = "killed",
	[CLOSE_ERROR] = "error",
};

static const char *const reject_names[REJECT_REASON_COUNT] = {
	[REJECT_LIMIT] = "limit",
	[REJECT_DESCRIPTORS] = "descriptors",
	[REJECT_MEMORY] = "memory",
};

static const char *const accept_names[ACCEPT_ERROR_COUNT] = {
	[ACCEPT_EMFILE] = "EMFILE",
	[ACCEPT_ENFILE] = "ENFILE",
	[ACCEPT_ENOBUFS] = "ENOBUFS",
	[ACCEPT_ENOMEM] = "ENOMEM",
	[ACCEPT_ECONNABORTED] = "ECONNABORTED",
	[ACCEPT_EPROTO] = "EPROTO",
	[ACCEPT_OTHER] = "other",
};

const char *health_state_name(enum health_state state)
{
	assert(state < HEALTH_STATE_COUNT);
	return health_names[state];
}

const char *admin_state_name(enum admin_state state)
{
	assert(state < ADMIN_STATE_COUNT);
	return admin_names[state];
}

const char *failure_reason_name(enum failure_reason reason)
{
	assert(reason < FAILURE_REASON_COUNT);
	return failure_names[reason];
}

const char *check_result_name(enum check_result result)
{
	assert(result < CHECK_RESULT_COUNT);
	return check_names[result];
}

const char *closed_by_name(enum closed_by by)
{
	assert(by < CLOSED_BY_COUNT);
	return by_names[by];
}

const char *close_reason_name(enum close_reason reason)
{
	assert(reason < CLOSE_REASON_COUNT);
	return close_names[reason];
}

const char *reject_reason_name(enum reject_reason reason)
{
	assert(reason < REJECT_REASON_COUNT);
	return reject_names[reason];
}

const char *accept_error_name(enum accept_error error)
{
	assert(error < ACCEPT_ERROR_COUNT);
	return accept_names[error];
}

enum failure_reason failure_reason_of_errno(int code)
{
	switch (code) {
	case ECONNREFUSED:
	case ENOENT: /* the path of a UNIX socket is gone */
	case ENOTSOCK:
	case EPROTOTYPE:
		return FAILURE_REFUSED;
	case ETIMEDOUT:
	case EAGAIN: /* a UNIX socket whose queue is full: somebody is there, but does not accept */
		return FAILURE_TIMEOUT;
	case EHOSTUNREACH:
	case EHOSTDOWN:
	case ENONET:
		return FAILURE_UNREACHABLE;
	case ECONNRESET:
	case ECONNABORTED:
	case EPIPE:
	case EPROTO:
		return FAILURE_RESET;
	default: /* ports, descriptors, memory, routes, rights: our own trouble */
		return FAILURE_RESOURCE;
	}
}

/* FNV-1a over words (Fowler, Noll, Vo; public domain algorithm). */
static uint64_t mix(uint64_t hash, uint64_t word)
{
	return (hash ^ word) * 0x100000001b3U;
}

static uint64_t check_of(const struct slot *slot, const struct slot_recall *values)
{
	uint64_t hash = 0xcbf29ce484222325U;

	hash = mix(hash, atomic_load_explicit(&slot->health, memory_order_relaxed));
	hash = mix(hash, values->changed_ns);
	hash = mix(hash, values->recovered_ns);
	hash = mix(hash, values->held_until_ns);
	hash = mix(hash, values->failures);
	hash = mix(hash, values->successes);
	return mix(hash, values->holds);
}

void slot_keep(struct slot *slot, const struct slot_recall *values)
{
	struct slot_memory *memory = &slot->memory;

	counter_set(&memory->changed_ns, values->changed_ns);
	counter_set(&memory->recovered_ns, values->recovered_ns);
	counter_set(&memory->held_until_ns, values->held_until_ns);
	atomic_store_explicit(&memory->failures, values->failures, memory_order_relaxed);
	atomic_store_explicit(&memory->successes, values->successes, memory_order_relaxed);
	atomic_store_explicit(&memory->holds, values->holds, memory_order_relaxed);
	atomic_store_explicit(&memory->check, check_of(slot, values), memory_order_release);
}

bool slot_recall(const struct slot *slot, struct slot_recall *ret_values)
{
	const struct slot_memory *memory = &slot->memory;
	const uint64_t check = atomic_load_explicit(&memory->check, memory_order_acquire);
	const struct slot_recall values = {
		.changed_ns = counter_get(&memory->changed_ns),
		.recovered_ns = counter_get(&memory->recovered_ns),
		.held_until_ns = counter_get(&memory->held_until_ns),
		.failures = atomic_load_explicit(&memory->failures, memory_order_relaxed),
		.successes = atomic_load_explicit(&memory->successes, memory_order_relaxed),
		.holds = atomic_load_explicit(&memory->holds, memory_order_relaxed),
	};

	if (check != check_of(slot, &values)) {
		return false;
	}
	*ret_values = values;
	return true;
}
