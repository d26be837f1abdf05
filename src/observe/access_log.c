#include "observe/access_log.h"

#include <string.h>

#include "base/log.h"
#include "base/sockaddr.h"
#include "model/access.h"
#include "model/session_record.h"
#include "model/shm.h"
#include "observe/client_text.h"
#include "observe/log_writer.h"
#include "os/clock.h"

static const double NS_PER_MS = 1e6;

static void write_line(
	const struct shm *shm, const struct access_record *record, struct log_writer *writer)
{
	char client[SOCKADDR_TEXT_MAX];
	struct log_line line;

	client_text(record->client_address, record->local, client);
	log_begin_as(&line, log_writer_format(writer), LOG_INFO, "session", record->wall_ns);
	log_text(&line, "listener", shm->listeners[record->listener].identity.name);
	log_text(&line, "pool", shm->pools[record->pool].identity.name);
	log_text(&line, "backend",
		record->slot == RECORD_NONE ? "" : shm->slots[record->slot].identity.name);
	log_text(&line, "client", client);
	log_number(&line, "tries", record->tries);
	log_decimal(&line, "connect_ms", (double)record->connect_ns / NS_PER_MS);
	log_number(&line, "received_bytes", record->received_bytes);
	log_number(&line, "sent_bytes", record->sent_bytes);
	log_decimal(&line, "duration_ms", (double)record->duration_ns / NS_PER_MS);
	log_text(&line, "closed_by", closed_by_name((enum closed_by)record->by));
	log_text(&line, "reason", close_reason_name((enum close_reason)record->reason));
	log_finish(&line);
	log_writer_put(writer, LOG_INFO, line.text, line.length);
}

/* What a worker could not leave here is missing in the log like any other dropped line. */
static void tell_lost(struct access_log *log)
{
	uint64_t lost = 0;
	struct log_line line;

	for (uint32_t worker = 0; worker < log->shm->workers; worker++) {
		lost += access_dropped(log->rings[worker]);
	}
	(void)atomic_fetch_add_explicit(&log->shm->header->process.log_lines_dropped,
		lost - log->counted, memory_order_relaxed);
	log->counted = lost;
	if (lost == log->told || !log_writer_has_room(log->writer)) {
		return; /* told once there is room again */
	}
	log_begin_as(
		&line, log_writer_format(log->writer), LOG_WARN, "log_dropped", clock_wall_ns());
	log_number(&line, "lines", lost - log->told);
	log_finish(&line);
	log_writer_put(log->writer, LOG_WARN, line.text, line.length);
	log->told = lost;
}

/* At most a ring's worth: a worker that fills it as fast as we empty it must not hold us. */
static bool drain_ring(const struct access_log *log, struct access_ring *ring)
{
	struct access_record record;

	for (uint32_t i = 0; i < ACCESS_RING_SIZE; i++) {
		if (!log_writer_has_room(log->writer)) {
			return false;
		}
		if (!access_pop(ring, &record)) {
			return true;
		}
		write_line(log->shm, &record, log->writer);
	}
	return true;
}

bool access_log_drain(struct access_log *log)
{
	bool emptied = true;

	for (uint32_t worker = 0; worker < log->shm->workers && emptied; worker++) {
		emptied = drain_ring(log, log->rings[worker]);
	}
	tell_lost(log);
	return emptied;
}
