/* The fields of all that lies in the shared memory: constants (see shm_layout.h for the rule). */
#include "base/array.h"
#include "model/shm.h"
#include "model/shm_layout.h"

/* NOLINTBEGIN(bugprone-macro-parentheses): types and members stand in none. */
#define SIZE_OF(type, member) sizeof(((const type *)NULL)->member)

/* A member that is one number, or one run of bytes. */
#define ONE(part_id, field_id, what, type, member)                                    \
	.part = (part_id), .id = (field_id), .kind = LAYOUT_##what,                   \
	.offset = offsetof(type, member), .bytes = SIZE_OF(type, member), .count = 1, \
	.stride = SIZE_OF(type, member)

/* A member that is an array of them, of one or more dimensions. */
#define MANY(part_id, field_id, what, type, member, element)               \
	.part = (part_id), .id = (field_id), .kind = LAYOUT_##what,        \
	.offset = offsetof(type, member), .bytes = SIZE_OF(type, element), \
	.count = SIZE_OF(type, member) / SIZE_OF(type, element), .stride = SIZE_OF(type, element)

/* A member of each structure of an array of structures. */
#define EACH(part_id, field_id, what, type, array, member)                                  \
	.part = (part_id), .id = (field_id), .kind = LAYOUT_##what,                         \
	.offset = offsetof(type, array[0].member), .bytes = SIZE_OF(type, array[0].member), \
	.count = SIZE_OF(type, array) / SIZE_OF(type, array[0]), .stride = SIZE_OF(type, array[0])

/* All of the entry. */
#define RAW(part_id, field_id, size)                                                            \
	.part = (part_id), .id = (field_id), .kind = LAYOUT_BYTES, .bytes = (size), .count = 1, \
	.stride = (size)

/* NOLINTEND(bugprone-macro-parentheses) */

static const uint64_t NONE = UINT64_MAX; /* as an index, and as a descriptor */

/* Numbers that are spent: none so far. Write them here as part: numbers. */

const struct layout_field shm_fields[] = {
	{ONE(PART_HEADER, 1, UNSIGNED, struct shm_header, process.phase)},
	{ONE(PART_HEADER, 2, UNSIGNED, struct shm_header, process.reload_successful)},
	{ONE(PART_HEADER, 3, UNSIGNED, struct shm_header, process.snapshot_version)},
	{ONE(PART_HEADER, 4, UNSIGNED, struct shm_header, process.config_generation)},
	{ONE(PART_HEADER, 5, UNSIGNED, struct shm_header, process.reload_wall_ns)},
	{ONE(PART_HEADER, 6, UNSIGNED, struct shm_header, process.worker_restarts)},
	{ONE(PART_HEADER, 7, UNSIGNED, struct shm_header, process.upgrades)},
	{ONE(PART_HEADER, 8, UNSIGNED, struct shm_header, process.log_lines_dropped)},
	{ONE(PART_HEADER, 9, UNSIGNED, struct shm_header, process.listen_limit)},
	{ONE(PART_HEADER, 10, UNSIGNED, struct shm_header, process.started_ns)},
	{ONE(PART_HEADER, 11, UNSIGNED, struct shm_header, process.drain_since_ns)},
	{ONE(PART_HEADER, 12, SIGNED, struct shm_header, process.steering_fd)},
	{ONE(PART_HEADER, 13, UNSIGNED, struct shm_header, process.steering_error)},
	{ONE(PART_HEADER, 14, UNSIGNED, struct shm_header, process.upgrades_wanted)},
	{ONE(PART_HEADER, 15, UNSIGNED, struct shm_header, process.upgrade_attempts)},
	{ONE(PART_HEADER, 16, UNSIGNED, struct shm_header, process.upgrade_state)},
	{ONE(PART_HEADER, 17, BYTES, struct shm_header, process.upgrade_reason)},
	{ONE(PART_HEADER, 18, UNSIGNED, struct shm_header, process.past_cpu_ns)},
#if RECORD_LAYOUT_ALTERNATE
	{ONE(PART_HEADER, FIELD_MARK, UNSIGNED, struct shm_header, process.mark), .initial = 77},
#endif

	{ONE(PART_LISTENERS, 1, UNSIGNED, struct listener_entry, identity.used)},
	{ONE(PART_LISTENERS, 2, UNSIGNED, struct listener_entry, identity.parent)},
	{ONE(PART_LISTENERS, 3, BYTES, struct listener_entry, identity.name)},
	{ONE(PART_LISTENERS, 4, UNSIGNED, struct listener_entry, open)},
	{ONE(PART_LISTENERS, 5, UNSIGNED, struct listener_entry, idle_ns)},
	{ONE(PART_LISTENERS, 6, UNSIGNED, struct listener_entry, half_close_ns)},
	{ONE(PART_LISTENERS, 7, UNSIGNED, struct listener_entry, identity.gone)},

	{ONE(PART_POOLS, 1, UNSIGNED, struct pool_entry, identity.used)},
	{ONE(PART_POOLS, 2, UNSIGNED, struct pool_entry, identity.parent)},
	{ONE(PART_POOLS, 3, BYTES, struct pool_entry, identity.name)},
	{ONE(PART_POOLS, 4, UNSIGNED, struct pool_entry, turn)},
	{ONE(PART_POOLS, 5, UNSIGNED, struct pool_entry, failed)},
	{ONE(PART_POOLS, 6, UNSIGNED, struct pool_entry, identity.gone)},

	{ONE(PART_SLOTS, 1, UNSIGNED, struct slot, identity.used)},
	{ONE(PART_SLOTS, 2, UNSIGNED, struct slot, identity.parent)},
	{ONE(PART_SLOTS, 3, BYTES, struct slot, identity.name)},
	{ONE(PART_SLOTS, 4, UNSIGNED, struct slot, health)},
	{ONE(PART_SLOTS, 5, UNSIGNED, struct slot, admin)},
	{ONE(PART_SLOTS, 6, UNSIGNED, struct slot, weight)},
	{ONE(PART_SLOTS, 7, UNSIGNED, struct slot, wants_success)},
	{MANY(PART_SLOTS, 8, UNSIGNED, struct slot, transitions, transitions[0][0])},
	{MANY(PART_SLOTS, 9, UNSIGNED, struct slot, checks, checks[0])},
	{ONE(PART_SLOTS, 10, UNSIGNED, struct slot, since_ns)},
	{ONE(PART_SLOTS, 11, UNSIGNED, struct slot, memory.changed_ns)},
	{ONE(PART_SLOTS, 12, UNSIGNED, struct slot, memory.recovered_ns)},
	{ONE(PART_SLOTS, 13, UNSIGNED, struct slot, memory.held_until_ns)},
	{ONE(PART_SLOTS, 14, UNSIGNED, struct slot, memory.failures)},
	{ONE(PART_SLOTS, 15, UNSIGNED, struct slot, memory.successes)},
	{ONE(PART_SLOTS, 16, UNSIGNED, struct slot, memory.holds)},
	{ONE(PART_SLOTS, 17, UNSIGNED, struct slot, memory.check)},
	{ONE(PART_SLOTS, 18, UNSIGNED, struct slot, configured_weight)},
	{ONE(PART_SLOTS, 19, BYTES, struct slot, configured_address)},
	{ONE(PART_SLOTS, 20, UNSIGNED, struct slot, place.length)},
	{ONE(PART_SLOTS, 21, BYTES, struct slot, place.local)},
	{ONE(PART_SLOTS, 22, UNSIGNED, struct slot, drain_end_ns)},
	{ONE(PART_SLOTS, 23, UNSIGNED, struct slot, backend_drain_ns)},
	{ONE(PART_SLOTS, 24, UNSIGNED, struct slot, identity.gone)},
#if RECORD_LAYOUT_ALTERNATE
	{ONE(PART_SLOTS, FIELD_MARK, UNSIGNED, struct slot, mark), .initial = 78},
#endif

	{ONE(PART_EVENT_RING, 1, UNSIGNED, struct event_ring, last)},

	{ONE(PART_EVENTS, 1, UNSIGNED, struct event, number)},
	{ONE(PART_EVENTS, 2, UNSIGNED, struct event, wall_ns)},
	{ONE(PART_EVENTS, 3, UNSIGNED, struct event, kind)},
	{ONE(PART_EVENTS, 4, UNSIGNED, struct event, cause)},
	{ONE(PART_EVENTS, 5, UNSIGNED, struct event, subject)},
	{ONE(PART_EVENTS, 6, UNSIGNED, struct event, from)},
	{ONE(PART_EVENTS, 7, UNSIGNED, struct event, to)},
	{ONE(PART_EVENTS, 8, UNSIGNED, struct event, failures)},
	{ONE(PART_EVENTS, 9, UNSIGNED, struct event, successes)},
	{ONE(PART_EVENTS, 10, UNSIGNED, struct event, threshold)},
	{ONE(PART_EVENTS, 11, UNSIGNED, struct event, sessions)},
	{ONE(PART_EVENTS, 12, UNSIGNED, struct event, generation)},
	{ONE(PART_EVENTS, 13, UNSIGNED, struct event, hold_down_ms)},
	{ONE(PART_EVENTS, 14, BYTES, struct event, reason)},
	{ONE(PART_EVENTS, 15, BYTES, struct event, pool)},
	{ONE(PART_EVENTS, 16, BYTES, struct event, name)},
	{ONE(PART_EVENTS, 17, BYTES, struct event, detail)},

	{ONE(PART_WORKERS, 1, UNSIGNED, struct worker_state, heartbeat)},
	{ONE(PART_WORKERS, 2, UNSIGNED, struct worker_state, sessions)},
	{ONE(PART_WORKERS, 3, UNSIGNED, struct worker_state, listeners_open)},
	{ONE(PART_WORKERS, 4, UNSIGNED, struct worker_state, stopped)},
	{ONE(PART_WORKERS, 5, UNSIGNED, struct worker_state, awake)},
	{ONE(PART_WORKERS, 6, UNSIGNED, struct worker_state, thread_id)},
	{ONE(PART_WORKERS, 7, UNSIGNED, struct worker_state, records_used)},
	{ONE(PART_WORKERS, 8, UNSIGNED, struct worker_state, chunks_used)},
	{ONE(PART_WORKERS, 9, UNSIGNED, struct worker_state, pipes_used)},
	{ONE(PART_WORKERS, 10, SIGNED, struct worker_state, epoll_fd)},
	{ONE(PART_WORKERS, 11, SIGNED, struct worker_state, wake_fd)},
	{MANY(PART_WORKERS, 12, UNSIGNED, struct worker_state, continued, continued[0])},
	{MANY(PART_WORKERS, 13, UNSIGNED, struct worker_state, lost, lost[0])},
	{ONE(PART_WORKERS, 14, UNSIGNED, struct worker_state, accepting)},
#if RECORD_LAYOUT_ALTERNATE
	{ONE(PART_WORKERS, FIELD_MARK, UNSIGNED, struct worker_state, mark), .initial = 79},
#endif

	{ONE(PART_EVIDENCE, 1, UNSIGNED, struct evidence_ring, ring.tail)},
	{ONE(PART_EVIDENCE, 2, UNSIGNED, struct evidence_ring, ring.dropped)},
	{ONE(PART_EVIDENCE, 3, UNSIGNED, struct evidence_ring, ring.head)},
	{EACH(PART_EVIDENCE, 4, UNSIGNED, struct evidence_ring, entries, kind)},
	{EACH(PART_EVIDENCE, 5, UNSIGNED, struct evidence_ring, entries, reason)},
	{EACH(PART_EVIDENCE, 6, UNSIGNED, struct evidence_ring, entries, slot)},
	{EACH(PART_EVIDENCE, 7, UNSIGNED, struct evidence_ring, entries, generation)},
	{EACH(PART_EVIDENCE, 8, UNSIGNED, struct evidence_ring, entries, started_ns)},
	{ONE(PART_EVIDENCE, 9, UNSIGNED, struct evidence_ring, ring.noticed)},

	{ONE(PART_COMMANDS, 1, UNSIGNED, struct command_ring, ring.tail)},
	{ONE(PART_COMMANDS, 2, UNSIGNED, struct command_ring, ring.head)},
	{EACH(PART_COMMANDS, 3, UNSIGNED, struct command_ring, entries, kind)},
	{EACH(PART_COMMANDS, 4, UNSIGNED, struct command_ring, entries, argument)},
	{EACH(PART_COMMANDS, 5, UNSIGNED, struct command_ring, entries, reason)},
	{ONE(PART_COMMANDS, 6, UNSIGNED, struct command_ring, ring.dropped)},
	{ONE(PART_COMMANDS, 7, UNSIGNED, struct command_ring, ring.noticed)},

	{ONE(PART_LISTENER_COUNTERS, 1, UNSIGNED, struct listener_counters, connections)},
	{ONE(PART_LISTENER_COUNTERS, 2, UNSIGNED, struct listener_counters, closed)},
	{ONE(PART_LISTENER_COUNTERS, 3, UNSIGNED, struct listener_counters, claimed)},
	{ONE(PART_LISTENER_COUNTERS, 4, UNSIGNED, struct listener_counters, released)},
	{ONE(PART_LISTENER_COUNTERS, 5, UNSIGNED, struct listener_counters, received_bytes)},
	{ONE(PART_LISTENER_COUNTERS, 6, UNSIGNED, struct listener_counters, sent_bytes)},
	{MANY(PART_LISTENER_COUNTERS, 7, UNSIGNED, struct listener_counters, rejected,
		rejected[0])},
	{MANY(PART_LISTENER_COUNTERS, 8, UNSIGNED, struct listener_counters, accept_errors,
		accept_errors[0])},

	{ONE(PART_POOL_COUNTERS, 1, UNSIGNED, struct pool_counters, retries)},
	{ONE(PART_POOL_COUNTERS, 2, UNSIGNED, struct pool_counters, no_backend)},
	{MANY(PART_POOL_COUNTERS, 3, UNSIGNED, struct pool_counters, closed, closed[0][0])},
	{MANY(PART_POOL_COUNTERS, 4, UNSIGNED, struct pool_counters, duration, duration[0])},
	{ONE(PART_POOL_COUNTERS, 5, UNSIGNED, struct pool_counters, duration_sum_ns)},

	{ONE(PART_SLOT_COUNTERS, 1, UNSIGNED, struct slot_counters, started)},
	{ONE(PART_SLOT_COUNTERS, 2, UNSIGNED, struct slot_counters, finished)},
	{ONE(PART_SLOT_COUNTERS, 3, UNSIGNED, struct slot_counters, established)},
	{ONE(PART_SLOT_COUNTERS, 4, UNSIGNED, struct slot_counters, received_bytes)},
	{ONE(PART_SLOT_COUNTERS, 5, UNSIGNED, struct slot_counters, sent_bytes)},
	{MANY(PART_SLOT_COUNTERS, 6, UNSIGNED, struct slot_counters, failures, failures[0])},
	{MANY(PART_SLOT_COUNTERS, 7, UNSIGNED, struct slot_counters, connect, connect[0])},
	{ONE(PART_SLOT_COUNTERS, 8, UNSIGNED, struct slot_counters, connect_sum_ns)},

	{ONE(PART_SESSIONS, 1, UNSIGNED, struct session_record, state), .flags = LAYOUT_NEEDED},
	{ONE(PART_SESSIONS, 2, UNSIGNED, struct session_record, generation),
		.flags = LAYOUT_NEEDED},
	{ONE(PART_SESSIONS, 3, UNSIGNED, struct session_record, check), .flags = LAYOUT_NEEDED},
	{MANY(PART_SESSIONS, 4, SIGNED, struct session_record, fd, fd[0]), .flags = LAYOUT_NEEDED,
		.initial = NONE},
	{MANY(PART_SESSIONS, 5, UNSIGNED, struct session_record, cookie, cookie[0]),
		.flags = LAYOUT_NEEDED},
	{ONE(PART_SESSIONS, 6, INDEX, struct session_record, listener), .initial = NONE},
	{ONE(PART_SESSIONS, 7, INDEX, struct session_record, pool), .initial = NONE},
	{ONE(PART_SESSIONS, 8, INDEX, struct session_record, slot), .initial = NONE},
	{ONE(PART_SESSIONS, 9, UNSIGNED, struct session_record, flags), .flags = LAYOUT_NEEDED},
	{ONE(PART_SESSIONS, 10, UNSIGNED, struct session_record, attempts)},
	{ONE(PART_SESSIONS, 11, UNSIGNED, struct session_record, tries)},
	{ONE(PART_SESSIONS, 12, UNSIGNED, struct session_record, started_ns),
		.flags = LAYOUT_NEEDED},
	{MANY(PART_SESSIONS, 13, UNSIGNED, struct session_record, moved, moved[0]),
		.flags = LAYOUT_NEEDED},
	{MANY(PART_SESSIONS, 14, UNSIGNED, struct session_record, preamble, preamble[0]),
		.flags = LAYOUT_NEEDED},
	{MANY(PART_SESSIONS, 15, INDEX, struct session_record, chunk, chunk[0]),
		.flags = LAYOUT_NEEDED, .initial = NONE},
	{ONE(PART_SESSIONS, 16, BYTES, struct session_record, client_address)},
	{MANY(PART_SESSIONS, 17, INDEX, struct session_record, pipe, pipe[0]),
		.flags = LAYOUT_NEEDED, .initial = NONE},
	{ONE(PART_SESSIONS, 18, UNSIGNED, struct session_record, by)},
	{ONE(PART_SESSIONS, 19, UNSIGNED, struct session_record, reason)},
	{ONE(PART_SESSIONS, 20, UNSIGNED, struct session_record, connect_us)},
#if RECORD_LAYOUT_ALTERNATE
	{ONE(PART_SESSIONS, FIELD_MARK, UNSIGNED, struct session_record, mark), .initial = 80},
#endif

	{ONE(PART_JOURNALS, 1, UNSIGNED, struct journal, position), .flags = LAYOUT_NEEDED},
	{ONE(PART_JOURNALS, 2, UNSIGNED, struct journal, check), .flags = LAYOUT_NEEDED},
	{ONE(PART_JOURNALS, 3, UNSIGNED, struct journal, key), .flags = LAYOUT_NEEDED},

	{MANY(PART_PIPES, 1, SIGNED, struct pipe_record, fd, fd[0]), .flags = LAYOUT_NEEDED,
		.initial = NONE},
	{ONE(PART_PIPES, 2, INDEX, struct pipe_record, owner), .initial = NONE},
	{ONE(PART_PIPES, 3, UNSIGNED, struct pipe_record, identity), .flags = LAYOUT_NEEDED},
	{ONE(PART_PIPES, 4, UNSIGNED, struct pipe_record, check), .flags = LAYOUT_NEEDED},

	{ONE(PART_CHUNKS, 1, UNSIGNED, struct chunk, position), .flags = LAYOUT_NEEDED},
	{ONE(PART_CHUNKS, 2, UNSIGNED, struct chunk, length), .flags = LAYOUT_NEEDED},
	{ONE(PART_CHUNKS, 3, INDEX, struct chunk, owner), .initial = NONE},

	{RAW(PART_RECEIVE_BUFFERS, 1, RECEIVE_BUFFER_BYTES), .flags = LAYOUT_NEEDED},
	{RAW(PART_CHUNK_BYTES, 1, CHUNK_BYTES), .flags = LAYOUT_NEEDED},

	{ONE(PART_CONFIG_TEXT, 1, UNSIGNED, struct config_text, current)},
	{EACH(PART_CONFIG_TEXT, 2, UNSIGNED, struct config_text, copies, length)},
	{EACH(PART_CONFIG_TEXT, 3, UNSIGNED, struct config_text, copies, check)},
	{EACH(PART_CONFIG_TEXT, 4, BYTES, struct config_text, copies, bytes)},

	{ONE(PART_LISTEN_RECORDS, 1, UNSIGNED, struct listen_record, state)},
	{ONE(PART_LISTEN_RECORDS, 2, SIGNED, struct listen_record, fd), .initial = NONE},
	{ONE(PART_LISTEN_RECORDS, 3, INDEX, struct listen_record, listener), .initial = NONE},
	{ONE(PART_LISTEN_RECORDS, 4, UNSIGNED, struct listen_record, flags)},
	{ONE(PART_LISTEN_RECORDS, 5, UNSIGNED, struct listen_record, cookie)},
	{ONE(PART_LISTEN_RECORDS, 6, UNSIGNED, struct listen_record, quiet_since_ns)},

	{ONE(PART_LANES, 1, UNSIGNED, struct journal, position)},
	{ONE(PART_LANES, 2, UNSIGNED, struct journal, check)},
	{ONE(PART_LANES, 3, UNSIGNED, struct journal, key)},

	{RAW(PART_LANE_BYTES, 1, LANE_BYTES)},
};

const uint32_t shm_field_count = ARRAY_COUNT(shm_fields);
