#include "model/listen_record.h"

void listen_record_open(
	struct listen_record *record, int fd, uint32_t listener, uint32_t flags, uint64_t cookie)
{
	assert(listen_record_state(record) == LISTEN_FREE);
	record->fd = fd;
	atomic_store_explicit(&record->flags, flags, memory_order_relaxed);
	record->cookie = cookie;
	record->quiet_since_ns = 0;
	atomic_store_explicit(&record->listener, listener, memory_order_relaxed);
	listen_record_set_state(record, LISTEN_OPEN);
}
